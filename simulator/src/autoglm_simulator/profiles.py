"""GPU and model profiles: memory sizes and speeds as data, each number with its source.

Sources, by the names used in the comments:

* **reference plant**: the first-order plant of an 8B model on one H100-class GPU, with 1,000 prompt and 250 output
  tokens: inter-token latency 15 + 0.15 x batch ms, prefill 0.135 ms per token.
* **latency table**: llm-d-inference-sim's FP16 figures for 7-8B models at batch 1: inter-token latency 10-15 ms (H100)
  and 25-35 ms (L40S), prefill overhead 25-40 ms, prefill per token 0.15-0.30 ms (H100) and 0.65-1.0 ms (L40S).
* **data sheet**: NVIDIA's memory bandwidth: H100 SXM 3.35, H200 4.8, L40S 0.864 TB/s.
* **model definition**: AutoGLM-Phone-9B: 40 layers, 2 KV heads of dimension 128; 10.29 B parameters.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

BLOCK_TOKENS: Final = 16
"""Tokens per KV block: vLLM's usual block size."""

_GIB: Final = 2**30


@dataclass(frozen=True, slots=True)
class Speed:
    """How long an iteration takes, in seconds.

    Attributes:
        decode_base: Fixed part of an iteration that decodes, whatever its batch.
        decode_per_sequence: Added for each decoding sequence.
        decode_per_context_token: Added for each token of context that a decoding sequence attends to.
        prefill_base: Fixed part of an iteration that only prefills.
        prefill_per_token: Added for each prompt token computed.
        prefill_per_context_token: Added for each token that a computed one attends to: in long prompts a token takes
            longer than in short ones. 0 in the profiles whose sources do not tell.
    """

    decode_base: float
    decode_per_sequence: float
    decode_per_context_token: float
    prefill_base: float
    prefill_per_token: float
    prefill_per_context_token: float = 0.0

    def iteration(self, sequences: int, context: int, prefill: int, attended: float = 0.0) -> float:
        """Return the duration of one iteration.

        Args:
            sequences: That decode.
            context: Tokens that they attend to, together.
            prefill: Prompt tokens that are computed.
            attended: Tokens that these attend to, summed over them.
        """
        fixed = self.decode_base if sequences else self.prefill_base
        return (
            fixed
            + self.decode_per_sequence * sequences
            + self.decode_per_context_token * context
            + self.prefill_per_token * prefill
            + self.prefill_per_context_token * attended
        )

    def decode_run(self, iterations: int, sequences: int, context: int) -> float:
        """Return the duration of `iterations` in a row without prefill; the context grows by one token per sequence."""
        grown = sequences * iterations * (iterations - 1) / 2
        return iterations * self.iteration(sequences, context, 0) + self.decode_per_context_token * grown


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU type: product name and memory in GiB."""

    name: str
    memory_gib: float


@dataclass(frozen=True, slots=True)
class Model:
    """What a model needs of GPU memory.

    Attributes:
        weights_gib: Weights by quantization; the empty key is the checkpoint's own type.
        kv_bytes_per_token: KV cache per token over all ranks, 16-bit.
        kv_heads: Heads that tensor parallelism can divide; beyond that each rank holds a copy.
        max_model_len: Context length when no flag sets it.
    """

    weights_gib: Mapping[str, float]
    kv_bytes_per_token: int
    kv_heads: int
    max_model_len: int


@dataclass(frozen=True, slots=True)
class Profile:
    """One model on one GPU type.

    Attributes:
        reserve_gib: GPU memory for activations, CUDA graphs and context, per GPU.
        max_num_seqs: Default of `--max-num-seqs`.
        max_num_batched_tokens: Default of `--max-num-batched-tokens`.
    """

    gpu: Gpu
    model: Model
    speed: Speed
    reserve_gib: float
    max_num_seqs: int
    max_num_batched_tokens: int

    def kv_blocks(self, utilization: float, quantization: str, tensor_parallel: int, kv_bytes_per_element: int) -> int:
        """Return the KV blocks that fit beside weights and reserve; 0 or less when nothing fits.

        Args:
            utilization: Share of the GPU's memory that the engine may take (0-1).
            quantization: Key of `Model.weights_gib`.
            tensor_parallel: GPUs over which weights and KV heads are divided.
            kv_bytes_per_element: 2 for a 16-bit cache, 1 for FP8.
        """
        free = self.gpu.memory_gib * utilization - self.reserve_gib
        free -= self.model.weights_gib[quantization] / tensor_parallel
        heads = max(1, self.model.kv_heads // tensor_parallel)
        token = self.model.kv_bytes_per_token * heads / self.model.kv_heads * kv_bytes_per_element / 2
        return math.floor(free * _GIB / (token * BLOCK_TOKENS))


H100: Final = Gpu("NVIDIA-H100-80GB-HBM3", 81_559 / 1024)  # gpu.memory label, MiB
H200: Final = Gpu("NVIDIA-H200", 143_771 / 1024)  # gpu.memory label, MiB
L40S: Final = Gpu("NVIDIA-L40S", 46_068 / 1024)  # gpu.memory label, MiB (not seen on a node by us)
DEMO_GPU: Final = Gpu("demonstration", 8.0)  # invented

AUTOGLM_9B: Final = Model(
    # Model definition: BF16 20.59 GB; FP8 leaves embeddings, head and vision tower in BF16: 12.4 GB.
    weights_gib={"": 19.17, "fp8": 11.6},
    kv_bytes_per_token=40_960,  # model definition: 40 layers x 2 heads x (128 + 128) x 2 bytes
    kv_heads=2,
    max_model_len=65_536,  # max_position_embeddings of the released config
)
DEMO_MODEL: Final = Model(weights_gib={"": 5.1}, kv_bytes_per_token=40_960, kv_heads=2, max_model_len=8192)  # invented

_PLANT_CONTEXT: Final = 1125
"""Mean context of a decoding sequence in the reference plant: 1,000 prompt tokens and half of 250."""


def _speed(
    decode_base: float, decode_per_sequence: float, bandwidth: float, prefill_base: float, prefill_per_token: float
) -> Speed:
    """Return a speed whose per-sequence cost is split into a part that grows with context and one that does not.

    The published slopes hold at the plant's mean context; reading the KV cache of that context is part of them.
    """
    per_context_token = AUTOGLM_9B.kv_bytes_per_token / bandwidth
    flat = decode_per_sequence - _PLANT_CONTEXT * per_context_token
    return Speed(decode_base, flat, per_context_token, prefill_base, prefill_per_token)


PROFILES: Final[Mapping[str, Profile]] = {
    "h100-autoglm-9b": Profile(
        gpu=H100,
        model=AUTOGLM_9B,
        # Reference plant; prefill base: WVA's published TTFT constant (14.8 ms).
        speed=_speed(15e-3, 0.15e-3, 3.35e12, 14.8e-3, 0.135e-3),
        reserve_gib=4.0,  # rule of thumb for a 9B vision model: 1.5-4 activations, 0.5-2 graphs, 0.5-1 context
        max_num_seqs=1024,  # vLLM 0.33.0's default from 70 GiB on
        max_num_batched_tokens=8192,  # the same, below 160 GiB
    ),
    "h200-autoglm-9b": Profile(
        gpu=H200,
        model=AUTOGLM_9B,
        # Derived, not measured: the H100's compute, so its prefill; decode scaled by bandwidth 3.35 / 4.8 (data sheet).
        speed=_speed(15e-3 * 3.35 / 4.8, 0.15e-3 * 3.35 / 4.8, 4.8e12, 14.8e-3, 0.135e-3),
        reserve_gib=4.0,
        max_num_seqs=1024,
        max_num_batched_tokens=8192,
    ),
    "l40s-autoglm-9b": Profile(
        gpu=L40S,
        model=AUTOGLM_9B,
        # Middle of the latency table's ranges (30 ms, 32.5 ms, 0.8 ms per token); the slope is not published:
        # the plant's, scaled by bandwidth 3.35 / 0.864 (data sheet).
        speed=_speed(30e-3, 0.15e-3 * 3.35 / 0.864, 0.864e12, 32.5e-3, 0.8e-3),
        reserve_gib=4.0,
        max_num_seqs=256,  # vLLM 0.33.0's defaults below 70 GiB
        max_num_batched_tokens=2048,
    ),
    # Invented for demonstrations on a 2-core machine without a GPU; it resembles no hardware. One replica keeps a TTFT
    # of 2 s at P99 up to about 4 requests/s of 100 prompt and 32 output tokens, or 1.5 of 256 and 64. The small budget
    # cuts prompts, so that the inter-token latency stays below 100 ms however many wait.
    "tiny-demo": Profile(
        gpu=DEMO_GPU,
        model=DEMO_MODEL,
        speed=Speed(20e-3, 3e-3, 0.0, 20e-3, 0.5e-3),
        reserve_gib=1.0,
        max_num_seqs=16,
        max_num_batched_tokens=64,
    ),
}

"""How each engine shares out a GPU's memory: pure."""

import re
from dataclasses import dataclass
from typing import Final

from autoglm_operator.api.quantity import GIBIBYTE, MEBIBYTE
from autoglm_operator.api.v1alpha1 import EngineType, Spec
from autoglm_operator.decide.fit.gpus import Gpu
from autoglm_operator.decide.fit.vision import Vision

#: Since this vLLM the default share is 0.92, and the memory of CUDA graphs counts as used; before, 0.90 without them.
_GRAPHS_COUNT_SINCE: Final = (0, 20)
#: Since this vLLM, GPUs of 160 GiB have a larger batch.
_LARGE_SINCE: Final = (0, 28)
_LARGE: Final = 160 * GIBIBYTE
_MIDDLE: Final = 70 * GIBIBYTE
#: Bytes for each entry of the sampler's logits: the row itself, in float32, sorted with its places, and cumulated.
#: From start-up logs: Qwen3-8B-FP8 on vLLM 0.11 takes 1.40 GiB for 256 rows of 151,936; gpt-oss-20b on 0.19 1.08 GiB
#: for 256 of 201,088; Qwen3-8B on 0.24 0.8 GiB.
_SAMPLER_BYTES: Final = 22
_OLD_SAMPLER_BYTES: Final = 39
_SAMPLER_SINCE: Final = (0, 19)
_VLLM_SHARE: Final = 0.92
_VLLM_OLD_SHARE: Final = 0.90

#: SGLang: (GPU memory below, prefill chunk, largest CUDA graph with tp < 4, with more).
_SGLANG_STEPS: Final = (
    (20 * GIBIBYTE, 2048, 8, 8),
    (35 * GIBIBYTE, 4096, 48, 160),
    (60 * GIBIBYTE, 4096, 32, 160),
    (160 * GIBIBYTE, 8192, 256, 512),
)
#: Releases before this gave GPUs of its second row less.
_SGLANG_NEWER: Final = (0, 5, 20)
_SGLANG_OLD_STEP: Final = (35 * GIBIBYTE, 2048, 24, 80)
_SGLANG_LARGEST: Final = (16_384, 512, 512)
_SGLANG_FLOOR_FROM: Final = 60 * GIBIBYTE
_SGLANG_FLOOR: Final = 10 * GIBIBYTE
#: What CUDA's context takes of a GPU, and NCCL with its buffers where there are several GPUs.
CONTEXT_BYTES: Final = GIBIBYTE // 2
NCCL_BYTES: Final = GIBIBYTE
#: Factor for multimodal models by the size of the vision tower; `depth` is not what SGLang reads, hence 24 layers.
_VIT_LAYERS: Final = 24
_VIT_BASE: Final = 24 * 1024**2


@dataclass(frozen=True, slots=True)
class Rules:
    """What an engine does with a GPU.

    Attributes:
        budget: bytes that weights, KV cache and what `counts` says may take together.
        batched_tokens: most tokens of one iteration.
        sequences: most requests of one iteration.
        counts_activations: whether the budget must hold activations and overhead too.
        counts_graphs: whether it must hold CUDA graphs too.
        page: tokens of a block of the KV cache.
        sampler_bytes: that the sampler takes for each sequence and entry of the vocabulary.
    """

    budget: int
    batched_tokens: int
    sequences: int
    counts_activations: bool
    counts_graphs: bool
    page: int
    sampler_bytes: int


def rules(spec: Spec, gpu: Gpu, version: str, vision: Vision | None) -> Rules:
    """Return what the engine of `spec` does with `gpu`.

    Args:
        spec: what is wanted.
        gpu: it runs on.
        version: of the engine; an unreadable one is taken for the newest.
        vision: tower of the model.
    """
    percent = spec.engine.kv_cache.utilization_percent
    if spec.engine.type is EngineType.SGLANG:
        return _sglang(spec, gpu, percent, vision, _numbers(version))
    return _vllm(spec, gpu, percent, _numbers(version))


def _vllm(spec: Spec, gpu: Gpu, percent: int | None, version: tuple[int, ...]) -> Rules:
    batching = spec.engine.batching
    newer = version >= _GRAPHS_COUNT_SINCE
    share = percent / 100 if percent else _VLLM_SHARE if newer else _VLLM_OLD_SHARE
    middle = gpu.visible >= _MIDDLE and "a100" not in gpu.name.lower()
    tokens, sequences = (8192, 1024) if middle else (2048, 256)
    if gpu.visible >= _LARGE and version >= _LARGE_SINCE:
        tokens = 16_384
    return Rules(
        budget=int(gpu.visible * share),
        batched_tokens=batching.max_batched_tokens or tokens,
        sequences=batching.max_num_seqs or sequences,
        counts_activations=True,
        counts_graphs=newer,
        page=16,
        sampler_bytes=_SAMPLER_BYTES if version >= _SAMPLER_SINCE else _OLD_SAMPLER_BYTES,
    )


def _sglang(spec: Spec, gpu: Gpu, percent: int | None, vision: Vision | None, version: tuple[int, ...]) -> Rules:
    parallelism, batching = spec.resources.parallelism, spec.engine.batching
    first, second, *others = _SGLANG_STEPS
    steps = (first, second if version >= _SGLANG_NEWER else _SGLANG_OLD_STEP, *others)
    chunk, small, large = next((row[1:] for row in steps if gpu.visible < row[0]), _SGLANG_LARGEST)
    graph = small if parallelism.tensor < 4 else large  # noqa: PLR2004  # as SGLang has it
    chunk = batching.max_batched_tokens or chunk
    reserve = 512 + 1.5 * max(chunk, 2048) + parallelism.tensor * parallelism.pipeline / 8 * 1024 + 2 * graph
    reserved = reserve * MEBIBYTE
    if gpu.visible > _SGLANG_FLOOR_FROM:
        reserved = max(reserved, _SGLANG_FLOOR)
    share = max(0.0, gpu.visible - reserved) / gpu.visible if gpu.visible else 0.0
    # The share is of what is free before the weights come: CUDA's context, and NCCL's buffers, are gone by then.
    several = parallelism.tensor * parallelism.pipeline * parallelism.data > 1
    free = max(0, gpu.visible - CONTEXT_BYTES - (NCCL_BYTES if several else 0))
    if vision is not None:
        score = _VIT_LAYERS * vision.hidden**2 / _VIT_BASE
        share *= 0.95 * max(0.8, min(1.05, 1 - 0.1 * (score - 1)))
    return Rules(
        budget=int(free * (percent / 100 if percent else share)),
        batched_tokens=chunk,
        sequences=batching.max_num_seqs or graph,
        counts_activations=False,
        counts_graphs=False,
        page=1,
        sampler_bytes=_SAMPLER_BYTES,
    )


def _numbers(version: str) -> tuple[int, ...]:
    found = re.findall(r"[0-9]+", version)
    return tuple(int(part) for part in found[:3]) if len(found) > 1 else (1 << 16,)

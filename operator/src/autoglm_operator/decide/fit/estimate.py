"""What a model takes on each GPU, part by part: pure."""

from dataclasses import dataclass
from typing import Final

from autoglm_operator.api.quantity import MEBIBYTE, byte_count
from autoglm_operator.api.v1alpha1 import EngineType, KvCacheDType, Spec, SpeculativeMethod
from autoglm_operator.decide.fit.architecture import Architecture
from autoglm_operator.decide.fit.engines import NCCL_BYTES, Rules
from autoglm_operator.decide.fit.models import is_autoglm_phone
from autoglm_operator.decide.fit.weights import Split, Stage, Weights, eagle_bytes, lora_bytes, stages

#: Pixels of the largest image: as AutoGLM-Phone is served, and where nothing says (16,384 tokens of Qwen2.5-VL).
_AUTOGLM_PIXELS: Final = 5_000_000
_IMAGE_PIXELS: Final = 12_845_056
#: Buffers of a layer's input, output and residual that live at once.
_STREAMS: Final = 4
#: What CUDA's libraries take beside the context.
_LIBRARY_BYTES: Final = 150 * MEBIBYTE
#: Of one captured batch size and layer; vLLM captures about 86 sizes.
_GRAPH_BYTES: Final = int(0.18 * MEBIBYTE)
_GRAPHS: Final = 86
_FP8_KV: Final = (KvCacheDType.FP8_E4M3, KvCacheDType.FP8_E5M2)
#: The scale of an FP8 vector, and the values that share one.
_SCALE_BYTES: Final = 4
_SCALED: Final = 128


@dataclass(frozen=True, slots=True)
class Draft:
    """A model that guesses tokens ahead.

    Attributes:
        model: of a draft model; `None` for a head of the model itself.
    """

    method: SpeculativeMethod
    model: Architecture | None = None


@dataclass(frozen=True, slots=True)
class Parts:
    """What is taken on each GPU of the fullest stage, in bytes.

    Attributes:
        weights: of the model, its vision tower, adapters and draft.
        offloaded: of the weights, kept in CPU memory instead.
        activations: most that one iteration takes beside.
        graphs: captured CUDA graphs.
        overhead: of CUDA's and NCCL's libraries.
        kv_per_sequence: of the KV cache for one sequence of the context length.
        context: that length in tokens.
        budget: that the engine may take.
        fixed: of the above, what the engine takes from its budget before the KV cache.
    """

    weights: int
    offloaded: int
    activations: int
    graphs: int
    overhead: int
    kv_per_sequence: int
    context: int
    budget: int
    fixed: int

    @property
    def kv(self) -> int:
        """Return what is left for the KV cache."""
        return max(0, self.budget - self.fixed)

    @property
    def needed(self) -> int:
        """Return what one sequence needs."""
        return self.fixed + self.kv_per_sequence

    @property
    def tokens(self) -> int:
        """Return the tokens that the KV cache holds, as vLLM counts them: sequences times their length."""
        return self.kv * self.context // max(1, self.kv_per_sequence)


@dataclass(frozen=True, slots=True)
class Setup:
    """What is estimated.

    Attributes:
        weights: of the model, with how they are stored.
        rules: of the engine on the GPU.
    """

    spec: Spec
    weights: Weights
    rules: Rules
    draft: Draft | None

    @property
    def model(self) -> Architecture:
        """Return the model."""
        return self.weights.model

    @property
    def context(self) -> int:
        """Return the tokens of the longest sequence."""
        return self.spec.model.context_length or self.model.max_context

    @property
    def split(self) -> Split:
        """Return how the replica's weights are shared out."""
        parallelism = self.spec.resources.parallelism
        expert = parallelism.tensor
        if self.spec.engine.type is not EngineType.SGLANG:
            # vLLM shares out the experts over all ranks, with and without expert parallelism.
            expert *= parallelism.data
        whole = is_autoglm_phone(self.spec.model)
        return Split(parallelism.tensor, parallelism.pipeline, expert, encoder_whole=whole)


def estimate(setup: Setup) -> Parts:
    """Return the parts on the GPUs of the stage that holds the fewest tokens."""
    found = (_stage(setup, stage) for stage in stages(setup.model.layers, setup.split.pipeline))
    return min(found, key=lambda parts: (parts.tokens, parts.budget - parts.needed))


def _stage(setup: Setup, stage: Stage) -> Parts:
    spec, rules = setup.spec, setup.rules
    total = _weights(setup, stage)
    offloaded = min(total, float(byte_count(spec.engine.cpu_offload))) if spec.engine.cpu_offload else 0.0
    activations = _activations(setup, stage)
    graphs = _GRAPHS * len(stage.layers) * _GRAPH_BYTES
    overhead = _LIBRARY_BYTES + (NCCL_BYTES if spec.resources.gpu.count > 1 else 0)
    fixed = total - offloaded
    fixed += activations + overhead if rules.counts_activations else 0
    fixed += graphs if rules.counts_graphs else 0
    kv = kv_per_sequence(spec, setup.model, len(stage.layers), setup.context, rules) + _draft_kv(setup, stage)
    return Parts(
        weights=round(total),
        offloaded=round(offloaded),
        activations=round(activations),
        graphs=graphs,
        overhead=overhead,
        kv_per_sequence=kv,
        context=setup.context,
        budget=rules.budget,
        fixed=round(fixed),
    )


def _weights(setup: Setup, stage: Stage) -> float:
    weights, split, lora, draft = setup.weights, setup.split, setup.spec.engine.lora, setup.draft
    total = weights.stage(stage, split)
    if lora is not None:
        total += lora_bytes(setup.model, split.tensor, len(stage.layers), lora.max_rank, lora.max_loras)
    if draft is None or not stage.last:
        return total
    if draft.model is not None and draft.method is SpeculativeMethod.DRAFT_MODEL:
        other = Weights(draft.model, draft.model.checkpoint, weights.value_bytes)
        alone = Split(split.tensor, 1, split.tensor, encoder_whole=False)
        return total + other.stage(stages(draft.model.layers, 1)[0], alone)
    if draft.method is SpeculativeMethod.MTP:
        return total + weights.mtp(split)
    if draft.method in {SpeculativeMethod.EAGLE, SpeculativeMethod.EAGLE3}:
        return total + eagle_bytes(setup.model, split.tensor, weights.value_bytes)
    return total


def _draft_kv(setup: Setup, stage: Stage) -> int:
    draft, spec, model = setup.draft, setup.spec, setup.model
    if draft is None or draft.method is SpeculativeMethod.NGRAM or not stage.last:
        return 0
    if draft.model is not None and draft.method is SpeculativeMethod.DRAFT_MODEL:
        return kv_per_sequence(spec, draft.model, draft.model.layers, setup.context, setup.rules)
    return kv_per_sequence(spec, model, max(1, model.mtp_layers), setup.context, setup.rules)


def kv_per_token(spec: Spec, model: Architecture) -> int:
    """Return the bytes that one token takes in one layer's KV cache, on each GPU."""
    short = spec.engine.kv_cache.dtype in _FP8_KV
    value = 1 if short else model.value_bytes
    latent = model.latent
    if latent is None:
        heads = max(1, -(-model.kv_heads // spec.resources.parallelism.tensor))
        return heads * 2 * model.head_width * value
    if not latent.indexer_heads:
        return (latent.rank + latent.rope) * value
    index = latent.indexer_width + _SCALE_BYTES
    if not short:
        return (latent.rank + latent.rope) * value + index
    # The format fp8_ds_mla: FP8 values with a scale for each 128, and positions in 16 bits.
    return latent.rank + -(-latent.rank // _SCALED) * _SCALE_BYTES + 2 * latent.rope + index


def kv_per_sequence(spec: Spec, model: Architecture, layers: int, tokens: int, rules: Rules) -> int:
    """Return the bytes that a sequence of `tokens` takes in the KV cache of `layers` layers, on each GPU."""
    each = kv_per_token(spec, model)
    windowed = round(layers * model.windowed_layers / model.layers)
    page = rules.page
    whole = -(-tokens // page) * page
    # A window moves with the tokens of an iteration, and starts anywhere in its first block.
    kept = min(whole, (-(-min(tokens, model.window - 1 + rules.batched_tokens) // page) + 1) * page) if windowed else 0
    return ((layers - windowed) * whole + windowed * kept) * each


def _activations(setup: Setup, stage: Stage) -> float:
    """Return the most that one iteration takes beside weights and cache: in the layers, the sampler or the tower."""
    model, rules, value = setup.model, setup.rules, setup.weights.value_bytes
    tokens, experts, tensor = rules.batched_tokens, model.experts, setup.split.tensor
    inner = 3 * model.ffn / tensor
    if experts is not None:
        inner = experts.active * (max(2 * experts.width / tensor, model.hidden) + experts.width / tensor)
    heads = 3 * model.heads * model.head_width / tensor
    forward = tokens * value * (_STREAMS * model.hidden + max(inner, heads))
    sampler = min(rules.sequences, tokens) * model.vocabulary * rules.sampler_bytes if stage.last else 0
    vision = 0.0
    if (tower := model.vision) is not None and stage.first:
        pixels = _AUTOGLM_PIXELS if is_autoglm_phone(setup.spec.model) else _IMAGE_PIXELS
        patches = max(pixels // tower.patch**2, tokens * tower.merge**2)
        vision = patches * value * (6 * tower.hidden + 3 * tower.ffn)
    return max(forward, sampler, vision)

"""Bytes of weights: on each GPU of a layout, and of the whole checkpoint; pure."""

from dataclasses import dataclass
from typing import Final

from autoglm_operator.decide.fit.architecture import Architecture, Experts
from autoglm_operator.decide.fit.checkpoint import Checkpoint
from autoglm_operator.decide.fit.parameters import Attention, Mixture, Parameters, dense_ffn

#: Engines pad the vocabulary to a multiple of this before ranks share it out.
_VOCABULARY_STEP: Final = 64
_LORA_BYTES: Final = 2
#: vLLM's kernels for MXFP4 want these multiples; without them gpt-oss-20b would take 12.8 instead of 13.7 GiB.
_MXFP4_HIDDEN_STEP: Final = 256
_MXFP4_WIDTH_STEP: Final = 128


@dataclass(frozen=True, slots=True)
class Split:
    """How one replica's weights are shared out.

    Attributes:
        expert: ranks that share out the experts.
        encoder_whole: whether each rank has the vision tower whole.
        stored: whether this is about the files, which no kernel has padded.
    """

    tensor: int
    pipeline: int
    expert: int
    encoder_whole: bool
    stored: bool = False


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage of the pipeline.

    Attributes:
        layers: numbers of its layers, from the first up to the one before the last number.
        first: whether it has the input embedding and the vision tower.
        last: whether it has the output embedding and the head that guesses further tokens.
    """

    layers: range
    first: bool
    last: bool


def stages(layers: int, pipeline: int) -> tuple[Stage, ...]:
    """Return the stages as vLLM cuts them: layers that are left over go to the later stages, but not to the last."""
    each, over = divmod(layers, pipeline)
    counts = [each] * pipeline
    for extra in range(over):
        counts[max(0, pipeline - 2 - extra)] += 1
    found, start = [], 0
    for index, count in enumerate(counts):
        found.append(Stage(range(start, start + count), first=index == 0, last=index == pipeline - 1))
        start += count
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Weights:
    """What one number of each kind takes.

    Attributes:
        checkpoint: how the quantized ones are stored.
        value_bytes: of a number that is not quantized.
    """

    model: Architecture
    checkpoint: Checkpoint
    value_bytes: int

    @property
    def linear_bytes(self) -> float:
        """Return those of a number in a linear layer."""
        only_experts = self.checkpoint.method == "mxfp4"
        return self.checkpoint.weight_bytes if self.checkpoint.quantized and not only_experts else self.value_bytes

    @property
    def expert_bytes(self) -> float:
        """Return those of a number in an expert."""
        return self.checkpoint.weight_bytes if self.checkpoint.quantized else self.value_bytes

    @property
    def attention_bytes(self) -> float:
        """Return those of a number in a projection of the attention."""
        return self.value_bytes if self.checkpoint.keeps_attention(self.model.layers) else self.linear_bytes

    @property
    def vision_bytes(self) -> int:
        """Return those of the whole vision tower, which nobody quantizes."""
        return self.model.vision.parameters * self.value_bytes if self.model.vision else 0

    def table_bytes(self, tensor: int) -> float:
        """Return a rank's part of an embedding."""
        padded = -(-self.model.vocabulary // _VOCABULARY_STEP) * _VOCABULARY_STEP
        return -(-padded // tensor) * self.model.hidden * self.value_bytes

    def attention(self, tensor: int) -> float:
        """Return a rank's part of the attention of one layer."""
        parts = Attention.of(self.model)
        kv_ranks = min(tensor, self.model.kv_heads)
        numbers = parts.split / tensor + parts.kv / kv_ranks + parts.whole
        again = parts.absorbed / tensor + parts.small
        return numbers * self.attention_bytes + again * self.value_bytes

    @property
    def _dense_layers(self) -> int:
        return self.model.experts.dense_layers if self.model.experts else 0

    def inner(self, layer: int, split: Split) -> float:
        """Return a rank's part of the feed-forward or the experts of a layer."""
        experts = self.model.experts
        if experts is None or layer < experts.dense_layers:
            return dense_ffn(self.model) / split.tensor * self.linear_bytes
        mixture = Mixture.of(self.model)
        routed = mixture.routed / split.expert * self.expert_bytes * self._padding(experts, split)
        return routed + mixture.shared / split.tensor * self.linear_bytes + mixture.router * self.value_bytes

    def _padding(self, experts: Experts, split: Split) -> float:
        """Return by how much the kernels for MXFP4 widen the experts: 1 for other formats."""
        if self.checkpoint.method != "mxfp4" or split.stored:
            return 1.0
        # Each rank has a slice of every expert, or, where ranks share out whole experts, whole ones.
        width = max(1, experts.width // split.tensor)
        hidden = -(-self.model.hidden // _MXFP4_HIDDEN_STEP) * _MXFP4_HIDDEN_STEP
        return hidden / self.model.hidden * (-(-width // _MXFP4_WIDTH_STEP) * _MXFP4_WIDTH_STEP) / width

    def stage(self, stage: Stage, split: Split) -> float:
        """Return the bytes on each GPU of a stage."""
        model = self.model
        total = len(stage.layers) * (
            self.attention(split.tensor) + model.traits.norms * model.hidden * self.value_bytes
        )
        # Not layer by layer: a file that claims a trillion of them must not take longer.
        dense = len(range(stage.layers.start, min(stage.layers.stop, self._dense_layers)))
        total += dense * self.inner(0, split) + (len(stage.layers) - dense) * self.inner(model.layers, split)
        if stage.first:
            total += self.table_bytes(split.tensor)
            total += self.vision_bytes / (1 if split.encoder_whole else split.tensor)
        if stage.last and not (model.tied and stage.first):
            total += self.table_bytes(split.tensor)
        return total

    def mtp(self, split: Split) -> float:
        """Return a rank's part of the head that guesses further tokens; its embeddings are the model's own."""
        model = self.model
        joining = 2 * model.hidden * model.hidden * self.value_bytes
        return model.mtp_layers * (self.attention(split.tensor) + self.inner(model.layers, split) + joining)

    def checkpoint_bytes(self) -> int:
        """Return those of all files of the checkpoint, the head that guesses further tokens among them."""
        one = Split(1, 1, 1, encoder_whole=True, stored=True)
        attention = Attention.of(self.model)
        twice = (self.model.layers + self.model.mtp_layers) * attention.absorbed * self.value_bytes
        copies = self.model.mtp_layers * 2 * Parameters.of(self.model).embedding * self.value_bytes
        whole = self.stage(stages(self.model.layers, 1)[0], one) - twice
        return round(whole + self.mtp(one) + copies)


def eagle_bytes(model: Architecture, tensor: int, value_bytes: int) -> float:
    """Return a rank's part of an EAGLE head, which is about one layer of the model without its experts."""
    dense = 3 * model.hidden * max(model.ffn, model.hidden)
    return (Attention.of(model).total + dense) / tensor * value_bytes + 2 * model.hidden * model.hidden * value_bytes


def lora_bytes(model: Architecture, tensor: int, layers: int, rank: int, adapters: int) -> float:
    """Return what vLLM and SGLang set aside on a rank for `adapters` of `rank` in use at once."""
    hidden, heads, experts = model.hidden, model.heads * model.head_width, model.experts
    kv = model.kv_heads * model.head_width / min(tensor, model.kv_heads)
    attention = 3 * hidden + heads / tensor + 2 * kv + heads / tensor + hidden
    width, count = (experts.width, experts.count) if experts else (model.ffn, 1)
    inner = count * (2 * hidden + 2 * width / tensor + width / tensor + hidden)
    return adapters * rank * _LORA_BYTES * (layers * (attention + inner) + hidden + model.vocabulary)

"""How many parameters a model has, by what they are for: pure."""

from dataclasses import dataclass
from typing import Self

from autoglm_operator.decide.fit.architecture import Architecture, Latent


@dataclass(frozen=True, slots=True)
class Attention:
    """Parameters of the attention of one layer.

    Attributes:
        split: of projections that tensor-parallel ranks share out by heads.
        kv: of the key and value projections, of which each rank has at least one head.
        whole: of projections that each rank has whole.
        absorbed: of those that engines keep a second time, ready to be multiplied into the queries.
        small: of biases and norms, which no format quantizes.
    """

    split: int
    kv: int
    whole: int
    absorbed: int
    small: int

    @property
    def total(self) -> int:
        """Return all of them once."""
        return self.split + self.kv + self.whole + self.small

    @classmethod
    def of(cls, model: Architecture) -> Self:
        """Return those of `model`."""
        if model.latent is not None:
            return cls(*_latent(model, model.latent))
        traits, hidden, width = model.traits, model.hidden, model.head_width
        qkv_bias = model.attention_bias if traits.qkv_bias is None else traits.qkv_bias
        out_bias = model.attention_bias if traits.out_bias is None else traits.out_bias
        qk_norm = model.use_qk_norm if traits.qk_norm is None else traits.qk_norm
        small = (model.heads + 2 * model.kv_heads) * width if qkv_bias else 0
        small += hidden if out_bias else 0
        small += 2 * width if qk_norm else 0
        small += model.heads if traits.sinks else 0
        return cls(2 * hidden * model.heads * width, 2 * hidden * model.kv_heads * width, 0, 0, small)


def _latent(model: Architecture, latent: Latent) -> tuple[int, int, int, int, int]:
    hidden, heads = model.hidden, model.heads
    query = heads * (latent.nope + latent.rope)
    expanded = latent.rank * heads * (latent.nope + latent.value)
    split = (latent.query_rank or hidden) * query + expanded + heads * latent.value * hidden
    whole = hidden * latent.query_rank + hidden * (latent.rank + latent.rope)
    small = latent.query_rank + latent.rank
    if latent.indexer_heads:
        width = latent.indexer_width
        whole += latent.query_rank * latent.indexer_heads * width + hidden * width + hidden * latent.indexer_heads
        small += 2 * width
    return split, 0, whole, expanded, small


@dataclass(frozen=True, slots=True)
class Mixture:
    """Parameters of the experts of one layer.

    Attributes:
        routed: of the experts to choose from.
        shared: of those that every token uses.
        router: that chooses.
    """

    routed: int
    shared: int
    router: int

    @classmethod
    def of(cls, model: Architecture) -> Self:
        """Return those of `model`; none for a dense one."""
        experts = model.experts
        if experts is None:
            return cls(0, 0, 0)
        one, bias = 3 * model.hidden * experts.width, model.traits.expert_bias
        one += 2 * experts.width + model.hidden if bias else 0
        router = experts.count * (model.hidden + (1 if bias else 0))
        return cls(experts.count * one, 3 * model.hidden * experts.shared_width, router)


@dataclass(frozen=True, slots=True)
class Parameters:
    """Parameters of a model by group; each is a count.

    Attributes:
        lm_head: 0 where the output embedding is the input one.
        experts: routed and shared.
        norms: with the routers.
        mtp: of the head that guesses further tokens, without the embeddings that it shares.
    """

    embedding: int
    lm_head: int
    attention: int
    dense_ffn: int
    experts: int
    norms: int
    vision: int
    mtp: int

    @property
    def total(self) -> int:
        """Return all but those of the head that guesses further tokens, which is loaded only when it is used."""
        groups = self.embedding, self.lm_head, self.attention, self.dense_ffn, self.experts, self.norms, self.vision
        return sum(groups)

    @classmethod
    def of(cls, model: Architecture) -> Self:
        """Count those of `model`."""
        attention, mixture = Attention.of(model), Mixture.of(model)
        sparse = model.layers - model.experts.dense_layers if model.experts else 0
        table = model.vocabulary * model.hidden
        norms = model.layers * model.traits.norms * model.hidden + model.hidden + sparse * mixture.router
        return cls(
            embedding=table,
            lm_head=0 if model.tied else table,
            attention=model.layers * attention.total,
            dense_ffn=(model.layers - sparse) * dense_ffn(model),
            experts=sparse * (mixture.routed + mixture.shared),
            norms=norms,
            vision=model.vision.parameters if model.vision else 0,
            mtp=model.mtp_layers * mtp_layer(model),
        )


def dense_ffn(model: Architecture) -> int:
    """Return the parameters of the feed-forward part of one layer without experts."""
    return 3 * model.hidden * model.ffn


def mtp_layer(model: Architecture) -> int:
    """Return the parameters of one layer that guesses a further token: a layer, a joining projection and norms."""
    mixture, hidden = Mixture.of(model), model.hidden
    inner = mixture.routed + mixture.shared + mixture.router if model.experts else dense_ffn(model)
    return Attention.of(model).total + inner + (model.traits.norms + 3) * hidden + 2 * hidden * hidden

"""What of a model's `config.json` decides its memory: pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from autoglm_operator.decide.fit.checkpoint import Checkpoint
from autoglm_operator.decide.fit.config import ConfigError, Reader
from autoglm_operator.decide.fit.vision import Vision
from autoglm_operator.decide.parallel import ModelShape


@dataclass(frozen=True, slots=True)
class Traits:
    """What a model type does beside the common transformer.

    Attributes:
        qkv_bias: whether queries, keys and values have a bias; `None` if `attention_bias` tells.
        out_bias: whether the output projection has one; `None` if `attention_bias` tells.
        qk_norm: whether each head's queries and keys are normalised; `None` if `use_qk_norm` tells.
        norms: of each layer.
        sinks: whether each head has a learned sink.
        expert_bias: whether experts and router have a bias.
        experts_key: where the number of routed experts is.
    """

    qkv_bias: bool | None = False
    out_bias: bool | None = False
    qk_norm: bool | None = False
    norms: int = 2
    sinks: bool = False
    expert_bias: bool = False
    experts_key: str = ""


_LLAMA: Final = Traits(qkv_bias=None, out_bias=None)
_QWEN2: Final = Traits(qkv_bias=True)
_QWEN3: Final = Traits(qkv_bias=None, out_bias=None, qk_norm=True)
_QWEN3_MOE: Final = Traits(qkv_bias=None, out_bias=None, qk_norm=True, experts_key="num_experts")
_GLM: Final = Traits(qkv_bias=None)
_GLM4: Final = Traits(qkv_bias=None, norms=4)
_GLM4_MOE: Final = Traits(qkv_bias=None, qk_norm=None, experts_key="n_routed_experts")
_MLA_MOE: Final = Traits(experts_key="n_routed_experts")

#: Each checked against the parameter count of transformers' own model (tests/unit/operator/fit/parameters.json).
TRAITS: Final[Mapping[str, Traits]] = {
    "llama": _LLAMA,
    "mistral": Traits(),
    "mixtral": Traits(experts_key="num_local_experts"),
    "qwen2": _QWEN2,
    "qwen2_5_vl": _QWEN2,
    "qwen3": _QWEN3,
    "qwen3_moe": _QWEN3_MOE,
    "qwen3_vl": _QWEN3,
    "qwen3_vl_moe": _QWEN3_MOE,
    "glm": _GLM,
    "glm4": _GLM4,
    "glm4v": Traits(qkv_bias=True, norms=4),
    "glm4_moe": _GLM4_MOE,
    "glm4v_moe": Traits(qkv_bias=True, qk_norm=None, experts_key="n_routed_experts"),
    "glm4_moe_lite": _MLA_MOE,
    "glm_moe_dsa": _MLA_MOE,
    "deepseek_v2": _MLA_MOE,
    "deepseek_v3": _MLA_MOE,
    "gpt_oss": Traits(qkv_bias=True, out_bias=True, sinks=True, expert_bias=True, experts_key="num_local_experts"),
}


@dataclass(frozen=True, slots=True)
class Latent:
    """Multi-head latent attention: keys and values are kept as one small vector for all heads.

    Attributes:
        query_rank: of the compressed queries; 0 if they are not.
        rank: of the compressed keys and values.
        rope: width of the part with positions.
        nope: width of the part of a key without.
        value: width of a head's value.
        indexer_heads: of the sparse attention's indexer; 0 without one.
        indexer_width: of one of its heads.
    """

    query_rank: int
    rank: int
    rope: int
    nope: int
    value: int
    indexer_heads: int = 0
    indexer_width: int = 0


@dataclass(frozen=True, slots=True)
class Experts:
    """Mixture of experts.

    Attributes:
        count: routed experts of a layer.
        active: of them, those that a token uses.
        width: inner width of one.
        shared_width: inner width of all shared ones together.
        dense_layers: first layers that have none.
    """

    count: int
    active: int
    width: int
    shared_width: int
    dense_layers: int


@dataclass(frozen=True, slots=True)
class Architecture:
    """A model, as far as its memory goes.

    Attributes:
        traits: what its type does beside the common transformer.
        hidden: width of the residual stream.
        ffn: inner width of a dense layer.
        head_width: of a query or key of one head.
        tied: whether output and input embedding are one.
        window: tokens that a layer with a sliding window keeps; 0 without such layers.
        windowed_layers: how many of them there are.
        mtp_layers: layers of the head that guesses further tokens.
        max_context: longest context it was made for.
        value_bytes: of a number of the unquantized checkpoint.
        checkpoint: how its weights are stored.
    """

    model_type: str
    traits: Traits
    layers: int
    hidden: int
    ffn: int
    vocabulary: int
    heads: int
    kv_heads: int
    head_width: int
    tied: bool
    max_context: int
    value_bytes: int
    checkpoint: Checkpoint
    latent: Latent | None = None
    experts: Experts | None = None
    vision: Vision | None = None
    window: int = 0
    windowed_layers: int = 0
    mtp_layers: int = 0
    attention_bias: bool = False
    use_qk_norm: bool = False

    @property
    def shape(self) -> ModelShape:
        """Return what limits how the model is spread."""
        return ModelShape(heads=self.heads, layers=self.layers, experts=self.experts.count if self.experts else 0)

    @classmethod
    def parse(cls, config: Mapping[str, Any]) -> Self:
        """Return the architecture in a `config.json`.

        Raises:
            ConfigError: it is not one of a known type, or lacks a number.
        """
        model_type = str(config.get("model_type", ""))
        if model_type not in TRAITS:
            raise ConfigError(f"model_type {model_type or '(none)'} is not one whose memory is known")
        inner = config.get("text_config")
        if inner is not None and not isinstance(inner, Mapping):
            raise ConfigError("text_config is no object")
        text = Reader({**config, **(inner or {})})
        traits = TRAITS[model_type]
        heads = text.number("num_attention_heads")
        layers = text.number("num_hidden_layers")
        hidden = text.number("hidden_size")
        window, windowed = _windows(text, model_type, layers)
        return cls(
            model_type=model_type,
            traits=traits,
            layers=layers,
            hidden=hidden,
            ffn=text.number("intermediate_size"),
            vocabulary=text.number("vocab_size"),
            heads=heads,
            kv_heads=text.number("num_key_value_heads", heads),
            head_width=text.number("head_dim", max(1, hidden // heads)),
            tied=bool(config.get("tie_word_embeddings", text.values.get("tie_word_embeddings", False))),
            max_context=text.number("max_position_embeddings"),
            value_bytes=4 if text.word("torch_dtype", "dtype") == "float32" else 2,
            checkpoint=Checkpoint.parse(config.get("quantization_config") or text.values.get("quantization_config")),
            latent=_latent(text),
            experts=_experts(text, traits, layers),
            vision=Vision.parse(model_type, config.get("vision_config")),
            window=window,
            windowed_layers=windowed,
            mtp_layers=text.number("num_nextn_predict_layers", 0, least=0),
            attention_bias=bool(text.values.get("attention_bias")),
            use_qk_norm=bool(text.values.get("use_qk_norm")),
        )


def _latent(text: Reader) -> Latent | None:
    if not text.values.get("kv_lora_rank"):
        return None
    return Latent(
        query_rank=text.number("q_lora_rank", 0, least=0),
        rank=text.number("kv_lora_rank"),
        rope=text.number("qk_rope_head_dim"),
        nope=text.number("qk_nope_head_dim"),
        value=text.number("v_head_dim"),
        indexer_heads=text.number("index_n_heads", 0, least=0),
        indexer_width=text.number("index_head_dim", 0, least=0),
    )


def _experts(text: Reader, traits: Traits, layers: int) -> Experts | None:
    if not traits.experts_key or not text.values.get(traits.experts_key):
        return None
    width = text.number("moe_intermediate_size", text.number("intermediate_size"))
    kinds = text.values.get("mlp_layer_types")
    dense = sum(kind == "dense" for kind in kinds) if isinstance(kinds, list) else 0
    count = text.number(traits.experts_key)
    return Experts(
        count=count,
        active=min(count, text.number("num_experts_per_tok", text.number("experts_per_token", 2))),
        width=width,
        shared_width=width * text.number("n_shared_experts", 0, least=0),
        dense_layers=min(layers, text.number("first_k_dense_replace", dense, least=0)),
    )


def _windows(text: Reader, model_type: str, layers: int) -> tuple[int, int]:
    """Return the window and how many layers have it."""
    window = text.number("sliding_window", 0, least=0)
    kinds = text.values.get("layer_types")
    if not window or text.values.get("use_sliding_window") is False:
        return 0, 0
    if isinstance(kinds, list):
        return window, min(layers, sum(kind == "sliding_attention" for kind in kinds))
    if model_type == "gpt_oss":
        return window, layers // 2
    return (window, layers) if model_type == "mistral" else (0, 0)

"""How the weights of a checkpoint are stored, by its `quantization_config`: pure."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from autoglm_operator.decide.fit.config import ConfigError

#: Bytes of the scale of a group, and of its zero point.
_SCALE_BYTES: Final = 2.0
_FLOAT_SCALE_BYTES: Final = 4.0
_DEFAULT_GROUP: Final = 128
_BITS: Final = {"fp8": 8, "mxfp4": 4, "nvfp4": 4, "fp4": 4, "int8": 8, "int4": 4, "awq": 4, "gptq": 4}
_MX_BYTES: Final = 0.5 + 1 / 32
_NV_BYTES: Final = 0.5 + 1 / 16
_ATTENTION: Final = re.compile(r"(^|\.)self_attn(\.\*|\.[qkvo]_proj)?\$?$")
_LAYER: Final = re.compile(r"\.[0-9]+\.")
_METHODS: Final = frozenset(
    {
        "awq",
        "gptq",
        "fp8",
        "compressed-tensors",
        "modelopt",
        "modelopt_fp4",
        "mxfp4",
        "quark",
        "auto-round",
        "fbgemm_fp8",
    }
)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The weights as stored.

    Attributes:
        method: of the quantization, as the engines name it; empty if there is none.
        weight_bytes: of one quantized weight, with its share of the scales; 0 if there is none.
        kept: parts of module names that are stored as they were.
        floating: whether quantized weights are floating-point numbers.
        activations: whether activations are quantized too, so that the GPU computes in that format.
    """

    method: str = ""
    weight_bytes: float = 0.0
    kept: tuple[str, ...] = ()
    floating: bool = False
    activations: bool = False

    @property
    def quantized(self) -> bool:
        """Return whether the weights are quantized."""
        return bool(self.method)

    def keeps_attention(self, layers: int) -> bool:
        """Return whether the attention of all `layers` is stored as it was."""
        names = {name for name in self.kept if _ATTENTION.search(name)}
        return any("*" in name or not _LAYER.search(name) for name in names) or len(names) >= max(1, layers)

    @classmethod
    def parse(cls, config: Any) -> Self:
        """Return what a `quantization_config` says.

        Raises:
            ConfigError: its method is not known.
        """
        if not isinstance(config, Mapping) or not config:
            return cls()
        method = str(config.get("quant_method") or config.get("quant_algo") or "").lower()
        if method not in _METHODS:
            raise ConfigError(f"quantization_config.quant_method is {method[:40] or '(none)'}, which is not known")
        bits, group, floating, activations = _weights(method, config)
        method = "modelopt_fp4" if method == "modelopt" and bits == _BITS["fp4"] else method
        return cls(
            method, bytes_of(method, bits, group, floating=floating), tuple(_kept(config)), floating, activations
        )


def bytes_of(method: str, bits: int, group: int, *, floating: bool) -> float:
    """Return the bytes of one weight of `bits`, with its share of the scales and zero points of a group."""
    if method == "mxfp4":
        return _MX_BYTES
    if method == "modelopt_fp4" or (floating and bits == _BITS["fp4"]):
        return _NV_BYTES
    if group <= 0:
        return bits / 8
    if floating:
        return bits / 8 + _FLOAT_SCALE_BYTES / group
    return bits / 8 + (_SCALE_BYTES + bits / 8) / group


def assumed(method: str) -> Checkpoint:
    """Return what a checkpoint of `method` is like, for one whose `config.json` does not say."""
    floating = method in {"fp8", "mxfp4", "modelopt", "modelopt_fp4", "quark"}
    bits = 8 if method in {"fp8", "modelopt", "quark"} else 4
    group = 0 if bits == _BITS["fp8"] else _DEFAULT_GROUP
    computes = method in {"fp8", "modelopt", "modelopt_fp4", "quark"}
    kept = ("lm_head",)
    return Checkpoint(method, bytes_of(method, bits, group, floating=floating), kept, floating, computes)


def _weights(method: str, config: Mapping[str, Any]) -> tuple[int, int, bool, bool]:
    """Return bits and group of a weight, whether it is a floating-point number, and whether activations are too."""
    if method == "compressed-tensors" or "config_groups" in config:
        groups = config.get("config_groups")
        first = next(iter(groups.values()), None) if isinstance(groups, Mapping) else None
        weights = first.get("weights") if isinstance(first, Mapping) else None
        if not isinstance(weights, Mapping):
            raise ConfigError("quantization_config.config_groups has no weights")
        bits, group = _whole(weights.get("num_bits"), 8), _whole(weights.get("group_size"), 0)
        active = isinstance(first, Mapping) and first.get("input_activations") is not None
        return bits, group, weights.get("type") == "float", active
    if method in {"fp8", "fbgemm_fp8"}:
        block = config.get("weight_block_size")
        sides = [_whole(side, 128) for side in block] if isinstance(block, list) else []
        return 8, sides[0] * sides[1] if len(sides) == 2 else 0, True, True  # noqa: PLR2004  # a block has two sides
    if method == "modelopt":
        four = "FP4" in str(config.get("quant_algo", "")).upper()
        return (4 if four else 8), (16 if four else 0), True, True
    if method == "quark":
        return 8, 0, True, True
    return (
        _whole(config.get("bits"), _BITS.get(method, 4)),
        _whole(config.get("group_size"), _DEFAULT_GROUP),
        False,
        False,
    )


def _whole(value: Any, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 20 else default


def _kept(config: Mapping[str, Any]) -> Iterator[str]:
    for key in ("modules_to_not_convert", "ignore", "ignored_layers", "exclude_modules"):
        names = config.get(key)
        if isinstance(names, list):
            yield from (str(name) for name in names)
    yield "lm_head" if not config.get("lm_head") else ""

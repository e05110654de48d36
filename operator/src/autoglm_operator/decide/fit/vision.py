"""Parameters of a vision tower: pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from autoglm_operator.decide.fit.config import ConfigError, Reader

_COLOURS: Final = 3
_GLM: Final = ("glm4v", "glm4v_moe")
_QWEN2_5: Final = "qwen2_5_vl"
_QWEN3: Final = ("qwen3_vl", "qwen3_vl_moe")


@dataclass(frozen=True, slots=True)
class Vision:
    """The part of a multimodal model that looks at images.

    Attributes:
        parameters: of the whole tower.
        hidden: its width.
        ffn: inner width of a layer.
        patch: side of a patch in pixels.
        merge: patches along a side that become one token.
    """

    parameters: int
    hidden: int
    ffn: int
    patch: int
    merge: int

    @classmethod
    def parse(cls, model_type: str, config: Any) -> Self | None:
        """Return the tower in a `vision_config`; `None` for a model without one.

        Raises:
            ConfigError: it is of a kind that is not known, or lacks a number.
        """
        if not isinstance(config, Mapping):
            return None
        reader = Reader(config)
        kinds = {**dict.fromkeys(_GLM, _glm), _QWEN2_5: _qwen2_5, **dict.fromkeys(_QWEN3, _qwen3)}
        if model_type not in kinds:
            raise ConfigError(f"the vision tower of model_type {model_type} is not one whose memory is known")
        hidden = reader.number("hidden_size")
        ffn = reader.number("out_hidden_size") if model_type in _GLM else reader.number("intermediate_size")
        patch = reader.number("patch_size", 14)
        return cls(kinds[model_type](reader), hidden, ffn, patch, reader.number("spatial_merge_size", 2))


def _patches(reader: Reader, patch: int) -> int:
    """Return the weights of the convolution that turns pixels into patches."""
    return reader.number("hidden_size") * _COLOURS * reader.number("temporal_patch_size", 2) * patch * patch


def _glm(reader: Reader) -> int:
    hidden, out = reader.number("hidden_size"), reader.number("out_hidden_size")
    patch = reader.number("patch_size", 14)
    layer = 4 * hidden * hidden + 3 * hidden * out + 2 * hidden
    places = (reader.number("image_size", 336) // patch) ** 2 * hidden
    merger = out * out + 3 * out * reader.number("intermediate_size") + 2 * out
    shrink = out * hidden * reader.number("spatial_merge_size", 2) ** 2 + out
    return _patches(reader, patch) + hidden + places + reader.number("depth") * layer + 2 * hidden + shrink + merger


def _qwen2_5(reader: Reader) -> int:
    hidden, ffn, out = (reader.number(key) for key in ("hidden_size", "intermediate_size", "out_hidden_size"))
    layer = 4 * hidden * hidden + 4 * hidden + 3 * hidden * ffn + 2 * ffn + hidden + 2 * hidden
    wide = hidden * reader.number("spatial_merge_size", 2) ** 2
    merger = hidden + wide * wide + wide + wide * out + out
    return _patches(reader, reader.number("patch_size", 14)) + reader.number("depth") * layer + merger


def _qwen3(reader: Reader) -> int:
    hidden, ffn, out = (reader.number(key) for key in ("hidden_size", "intermediate_size", "out_hidden_size"))
    layer = 4 * hidden * hidden + 4 * hidden + 2 * hidden * ffn + ffn + hidden + 4 * hidden
    wide = hidden * reader.number("spatial_merge_size", 2) ** 2
    projection = wide * wide + wide + wide * out + out
    deep = reader.values.get("deepstack_visual_indexes")
    deeper = len(deep) if isinstance(deep, list) else 3
    mergers = projection + 2 * hidden + deeper * (projection + 2 * wide)
    places = reader.number("num_position_embeddings", 2304) * hidden
    patches = _patches(reader, reader.number("patch_size", 16)) + hidden
    return patches + places + reader.number("depth") * layer + mergers

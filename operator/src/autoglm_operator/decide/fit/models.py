"""Models whose `config.json` need not be fetched: data beside this module, read once."""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Any, Final

from autoglm_operator.api.v1alpha1 import Model

_FILE: Final = "models.json"
#: The context length that AutoGLM-Phone's publisher serves it with.
AUTOGLM_CONTEXT_LENGTH: Final = 25_480


def known_config(model_id: str) -> Mapping[str, Any] | None:
    """Return the `config.json` of a model of the table; letters' case does not matter."""
    return _by_id().get(model_id.lower())


def known_ids() -> tuple[str, ...]:
    """Return the ids of the table."""
    return tuple(model_id for model_id, _ in _entries())


def model_name(model: Model) -> str:
    """Return what a message calls the model."""
    source = model.source
    if hub := source.hugging_face or source.model_scope:
        return hub
    if source.url:
        return source.url
    if source.pvc:
        return f"the model on claim {source.pvc.claim_name}"
    return f"the model in image {source.oci_image.reference}" if source.oci_image else "the model"


def is_autoglm_phone(model: Model) -> bool:
    """Return whether the model's publisher gives a command line to follow."""
    return "/autoglm-phone-9b" in (model.source.hugging_face or model.source.model_scope or "").lower()


@cache
def _by_id() -> Mapping[str, Mapping[str, Any]]:
    return {model_id.lower(): config for model_id, config in _entries()}


def _entries() -> Iterator[tuple[str, Mapping[str, Any]]]:
    entries = json.loads(resources.files(__package__).joinpath(_FILE).read_text(encoding="utf-8"))
    for entry in entries:
        for model_id in entry["ids"]:
            yield model_id, entry["config"]
        for model_id, quantization in entry.get("quantized", {}).items():
            yield model_id, {**entry["config"], "quantization_config": quantization}

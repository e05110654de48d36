"""Reads a document as the API server would: unknown fields, types, defaults and rules; errors name their path."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from autoglm_operator.api import names
from autoglm_operator.api.crd import custom_resource_definition
from autoglm_operator.api.v1alpha1 import Spec
from autoglm_operator.api.validation import violations


def problems(document: Mapping[str, Any]) -> list[str]:
    """Return what the API server would refuse in an AutoGLMDeployment, a line each; empty if it would take it."""
    version, kind = document.get("apiVersion"), document.get("kind")
    if (version, kind) != (names.API_VERSION, names.KIND):
        return [f"apiVersion/kind: expected {names.API_VERSION} {names.KIND}, got {version} {kind}"]
    if not (document.get("metadata") or {}).get("name"):
        return ["metadata.name: required; write the name that the Service shall have"]
    schema = custom_resource_definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    unknown = list(_unknown(document.get("spec") or {}, schema, "spec"))
    if unknown:
        return unknown
    try:
        spec = Spec.model_validate(document.get("spec") or {})
    except ValidationError as error:
        return [f"{_path(item['loc'])}: {item['msg']} (got {item['input']!r})" for item in error.errors()]
    filled = {**document, "spec": spec.model_dump(by_alias=True, exclude_none=True, mode="json")}
    return violations(filled)


def _path(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in ("spec", *location))


def _unknown(value: Any, schema: Mapping[str, Any], path: str) -> Iterator[str]:
    properties = schema.get("properties")
    if properties is None or not isinstance(value, dict):
        return
    for key, item in value.items():
        if key in properties:
            yield from _unknown(item, properties[key], f"{path}.{key}")
        else:
            yield f"{path}.{key}: unknown field; expected one of {', '.join(sorted(properties))}"

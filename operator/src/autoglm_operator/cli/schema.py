"""Reads a document as the API server would: unknown fields, types, defaults and rules; errors name their path."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from autoglm_operator.api import names
from autoglm_operator.api.crd import custom_resource_definition
from autoglm_operator.api.kinds import DEPLOYMENT, CustomKind
from autoglm_operator.api.rule import broken
from autoglm_operator.api.types import DNS_NAME_PATTERN


def problems(document: Mapping[str, Any], kind: CustomKind = DEPLOYMENT) -> list[str]:
    """Return what the API server would refuse in an object of `kind`, a line each; empty if it would take it."""
    given_kind = document.get("apiVersion"), document.get("kind")
    if given_kind != (names.API_VERSION, kind.names.kind):
        wanted = f"{names.API_VERSION} {kind.names.kind}"
        return [f"apiVersion/kind: expected {wanted}, got {given_kind[0]} {given_kind[1]}"]
    if problem := _name_problem(document.get("metadata")):
        return [problem]
    # As the API server does: a field that is null is one that was left out.
    given = _without_nulls(document.get("spec") or {})
    schema = custom_resource_definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    unknown = list(_unknown(given, schema, "spec"))
    if unknown:
        return unknown
    try:
        # Strict and by way of JSON: the API server takes no "3" for 3 and no "yes" for true.
        spec = kind.spec.model_validate_json(json.dumps(given, default=str), strict=True)
    except ValidationError as error:
        return [f"{_path(item['loc'])}: {item['msg']} (got {item['input']!r})" for item in error.errors()]
    filled = {**document, "spec": spec.model_dump(by_alias=True, exclude_none=True, mode="json")}
    return broken(kind.rules, filled)


def _name_problem(metadata: Any) -> str | None:
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if not name:
        return "metadata.name: required; write the name that the Service shall have"
    if not isinstance(name, str) or not re.fullmatch(DNS_NAME_PATTERN, name):
        return f"metadata.name: {name!r} is no name: write lower case letters, digits and '-', such as autoglm-phone"
    return None


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return value


def _path(location: tuple[int | str, ...]) -> str:
    return "spec" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)


def _unknown(value: Any, schema: Mapping[str, Any], path: str) -> Iterator[str]:
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unknown(item, schema.get("items", {}), f"{path}[{index}]")
    properties = schema.get("properties")
    if properties is None or not isinstance(value, dict):
        return
    for key, item in value.items():
        if key in properties:
            yield from _unknown(item, properties[key], f"{path}.{key}")
        else:
            yield f"{path}.{key}: unknown field; expected one of {', '.join(sorted(properties))}"

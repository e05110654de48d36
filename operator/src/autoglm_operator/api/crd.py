"""pydantic models → CustomResourceDefinition with a structural schema."""

from typing import Any, Final

from autoglm_operator.api import names
from autoglm_operator.api.kinds import DEPLOYMENT, CustomKind
from autoglm_operator.api.rule import EACH, Rule
from autoglm_operator.api.types import ApiModel

HEADER: Final = "# Generated from operator/src/autoglm_operator/api by `make generate`; do not edit.\n"


def _inline(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Return `schema` with references resolved and what Kubernetes does not take removed or rewritten."""
    if "$ref" in schema:
        target = definitions[schema["$ref"].rsplit("/", 1)[1]]
        schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
    if "anyOf" in schema:
        schema = _optional(schema)
        return _inline(schema, definitions)
    schema = {key: value for key, value in schema.items() if key not in {"title", "anyOf"}}
    if schema.get("default", ...) in (None, []):
        del schema["default"]
    _keep_map(schema, definitions)
    for bound in ("minimum", "maximum"):
        exclusive = "exclusive" + bound.capitalize()
        if exclusive in schema:
            schema[bound], schema[exclusive] = schema[exclusive], True
    if "properties" in schema:
        schema["properties"] = {key: _inline(value, definitions) for key, value in schema["properties"].items()}
    if "items" in schema:
        schema["items"] = _inline(schema["items"], definitions)
    if "default" in schema:
        # Complete, because the API server checks the rules on a default before it fills in those below it.
        schema["default"] = _non_null(schema["default"])
    return schema


def _keep_map(schema: dict[str, Any], definitions: dict[str, Any]) -> None:
    """Rewrite, in place, what pydantic says of the values of a map; other objects have fixed fields alone."""
    values = schema.pop("additionalProperties", None)
    if values is True:
        schema["x-kubernetes-preserve-unknown-fields"] = True
    elif values:
        schema["additionalProperties"] = _inline(values, definitions)


def _non_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _non_null(item) for key, item in value.items() if item not in (None, [])}
    return value


def _optional(schema: dict[str, Any]) -> dict[str, Any]:
    """Return `X | None` as X: an absent field is what `None` means."""
    options = [option for option in schema["anyOf"] if option.get("type") != "null"]
    if len(options) != 1:
        raise ValueError(f"a union of several types has no structural schema: {schema}")
    outer = {key: value for key, value in schema.items() if key != "anyOf"}
    return {**options[0], **outer}


def _schema(model: type[ApiModel]) -> dict[str, Any]:
    raw = model.model_json_schema(by_alias=True, mode="validation")
    return _inline(raw, raw.get("$defs", {})) | {"type": "object"}


def _place(root: dict[str, Any], rule: Rule) -> None:
    target = root
    for key in rule.path:
        target = target["items"] if key == EACH else target["properties"][key]
    entry = {"rule": rule.cel, "message": rule.message}
    if rule.field:
        entry["fieldPath"] = rule.field.replace("__", "")
    target.setdefault("x-kubernetes-validations", []).append(entry)


def _open_api_schema(kind: CustomKind) -> dict[str, Any]:
    spec, status = _schema(kind.spec), _schema(kind.status)
    for part in (spec, status):
        part.pop("$defs", None)
    conditions = status["properties"]["conditions"]
    conditions |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
    conditions.pop("default", None)
    status["default"] = {"observedGeneration": -1}
    root: dict[str, Any] = {
        "type": "object",
        "description": kind.description,
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": status,
        },
    }
    for rule in kind.rules:
        _place(root, rule)
    return root


def custom_resource_definition(kind: CustomKind = DEPLOYMENT) -> dict[str, Any]:
    """Return the CustomResourceDefinition of a kind."""
    version = {
        "name": names.VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": _open_api_schema(kind)},
        "subresources": {"status": {}, **kind.subresources},
        "additionalPrinterColumns": [dict(column) for column in kind.columns],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.names.plural}.{names.GROUP}"},
        "spec": {
            "group": names.GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind.names.kind,
                "listKind": f"{kind.names.kind}List",
                "plural": kind.names.plural,
                "singular": kind.names.singular,
                "shortNames": [kind.names.short],
                "categories": [names.CATEGORY],
            },
            "versions": [version],
        },
    }

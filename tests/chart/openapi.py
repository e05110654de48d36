"""JSON schemas for kubeconform, made from the OpenAPI documents of a running API server."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Json = dict[str, Any]


def write_schemas(fetch: Callable[[str], Json], group_versions: set[str], folder: Path) -> str:
    """Write a strict schema for each kind of the group versions and return kubeconform's name for the place.

    Args:
        fetch: returns the document at a path of the API server.
        group_versions: such as `v1` and `apps/v1`.
        folder: where to write.
    """
    paths = fetch("/openapi/v3")["paths"]
    for group_version in sorted(group_versions):
        key = f"apis/{group_version}" if "/" in group_version else f"api/{group_version}"
        schemas = fetch(paths[key]["serverRelativeURL"])["components"]["schemas"]
        for schema in schemas.values():
            _close(schema)
        for name, schema in schemas.items():
            for kind in schema.get("x-kubernetes-group-version-kind", []):
                text = json.dumps({"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas}})
                suffix = "-".join(part for part in (kind["group"].partition(".")[0], kind["version"]) if part)
                (folder / f"{kind['kind'].lower()}-{suffix}.json").write_text(text)
    return str(folder / "{{.ResourceKind}}{{.KindSuffix}}.json")


def _close(schema: Json) -> None:
    """Refuse fields that the schema does not know, as the API server does with strict validation."""
    if "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
        schema.setdefault("additionalProperties", False)

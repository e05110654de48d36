"""What custom resources of both kinds have in common, as read."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from autoglm_operator.api.status import Condition
from autoglm_operator.api.types import ApiModel

_Spec = TypeVar("_Spec", bound=ApiModel)


def read_spec(model: type[_Spec], document: Mapping[str, Any]) -> tuple[_Spec | None, str]:
    """Return the spec in `document`; `None` and why if it cannot be read, which the API server normally prevents."""
    try:
        return model.model_validate(document.get("spec") or {}), ""
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in ("spec", *first["loc"]))
        return None, f"{where}: {first['msg']} (got {first['input']!r})"


def read_conditions(status: Mapping[str, Any]) -> dict[str, Condition]:
    """Return the conditions in a status, by type."""
    return {item["type"]: Condition.model_validate(item) for item in status.get("conditions") or []}

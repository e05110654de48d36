"""Who controls an object, as its owner references say."""

from collections.abc import Mapping
from typing import Any


def controller_of(document: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the owner reference of the controller; `None` if nobody controls the object. The API allows one."""
    references = document["metadata"].get("ownerReferences") or ()
    return next((reference for reference in references if reference.get("controller")), None)

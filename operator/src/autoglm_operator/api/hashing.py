"""Hashes that tell whether two objects say the same."""

import hashlib
import json
from typing import Any


def content_hash(obj: dict[str, Any]) -> str:
    """Return a short hash of the canonical JSON of `obj`."""
    canonical = json.dumps(obj, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]

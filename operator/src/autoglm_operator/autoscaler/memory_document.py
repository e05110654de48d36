"""The ConfigMap that decisions and learning of one deployment are kept in: pure."""

import json
from typing import Any, Final

from autoglm_operator.api import names
from autoglm_operator.autoscaler.pods import Target
from autoglm_operator.decide.scaling.history import DECISIONS_KEY, LAW_KEY, config_name
from autoglm_operator.kube.client import Document
from autoglm_operator.render.meta import labels

#: Of the ConfigMap, whose limit is 1 MiB; after nine days of traffic it had 73 kB of decisions and 21 kB of learning.
MOST_BYTES: Final = 450_000


def contents(decisions: list[dict[str, Any]], learned: dict[str, Any] | None) -> dict[str, str]:
    """Return the data of the ConfigMap, without the oldest decisions if it were too large with them."""
    law = {} if learned is None else {LAW_KEY: _encoded(learned)}
    room = MOST_BYTES - sum(len(text.encode()) for text in law.values())
    kept: list[str] = []
    for decision in reversed(decisions):
        text = _encoded(decision)
        room -= len(text.encode()) + 1
        if room < 0:
            break
        kept.append(text)
    return {DECISIONS_KEY: f"[{','.join(reversed(kept))}]", **law}


def config_map(target: Target, uid: str, data: dict[str, str]) -> Document:
    """Return the ConfigMap of a deployment, which goes when that does."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": config_name(target.name),
            "namespace": target.namespace,
            "labels": labels(target.name),
            # Without blockOwnerDeletion: that takes a right to the owner's finalizers.
            "ownerReferences": [
                {
                    "apiVersion": names.API_VERSION,
                    "kind": names.KIND,
                    "name": target.name,
                    "uid": target.uid,
                    "controller": True,
                }
            ],
            **({"uid": uid} if uid else {}),
        },
        "data": data,
    }


def _encoded(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)

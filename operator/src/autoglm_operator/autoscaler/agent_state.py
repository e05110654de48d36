"""What is read from an agent's `/state`: the memory of its GPUs, and what its engine serves."""

import json
import math
from dataclasses import dataclass
from typing import Any, Final

from autoglm_operator.autoscaler.engine_metrics import ScrapeError

_VERSION: Final = 1
#: The agent itself leaves out what is older; this is for one that does not.
_OLDEST_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class AgentSample:
    """What one pod's agent says.

    Attributes:
        taken: monotonic time of the oldest GPU's figures, in seconds.
        memory: share of each GPU's memory in use, 0 to 1; empty without GPUs, or with stale figures alone.
        models: names that the engine lists, adapters among them.
    """

    taken: float
    memory: tuple[float, ...]
    models: frozenset[str] = frozenset()


def parse(body: bytes, taken: float) -> AgentSample:
    """Return the sample in a `/state` document.

    Raises:
        ScrapeError: the document is malformed, or a figure in it cannot be.
    """
    try:
        document = json.loads(body)
        version, gpus = document["version"], document["gpus"]
        samples = [(_age(gpu), _share(gpu)) for gpu in gpus]
        models = frozenset(map(str, (document.get("engine") or {}).get("models") or ()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ScrapeError("malformed", f"not a /state document: {error!r}") from error
    if version != _VERSION:
        raise ScrapeError("malformed", f"/state has version {version!r}: expected {_VERSION}")
    fresh = [sample for sample in samples if sample[0] <= _OLDEST_SECONDS]
    oldest = max((age for age, _ in fresh), default=0.0)
    return AgentSample(taken - oldest, tuple(share for _, share in fresh), models)


def _age(gpu: Any) -> float:
    age = float(gpu["sampleAgeSeconds"])
    if not (math.isfinite(age) and age >= 0):
        raise ScrapeError("invalid", f"GPU sample is {age:g} s old: expected a finite age of at least 0")
    return age


def _share(gpu: Any) -> float:
    used, total = float(gpu["memoryUsedBytes"]), float(gpu["memoryTotalBytes"])
    if not (math.isfinite(total) and total > 0 and 0 <= used <= total):
        raise ScrapeError("invalid", f"GPU memory {used:g} of {total:g} bytes: expected 0 <= used <= total")
    return used / total

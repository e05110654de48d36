"""What is read from an agent's `/state`: the memory of its GPUs."""

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
    """GPU memory of one pod.

    Attributes:
        taken: monotonic time of the oldest GPU's figures, in seconds.
        memory: share of each GPU's memory in use, 0 to 1.
    """

    taken: float
    memory: tuple[float, ...]


def parse(body: bytes, taken: float) -> AgentSample | None:
    """Return the sample in a `/state` document; `None` if the pod has no GPUs, or only stale figures of them.

    Raises:
        ScrapeError: the document is malformed, or a figure in it cannot be.
    """
    try:
        document = json.loads(body)
        version, gpus = document["version"], document["gpus"]
        samples = [(_age(gpu), _share(gpu)) for gpu in gpus]
    except (ValueError, KeyError, TypeError) as error:
        raise ScrapeError("malformed", f"not a /state document: {error!r}") from error
    if version != _VERSION:
        raise ScrapeError("malformed", f"/state has version {version!r}: expected {_VERSION}")
    fresh = [sample for sample in samples if sample[0] <= _OLDEST_SECONDS]
    if not fresh:
        return None
    return AgentSample(taken - max(age for age, _ in fresh), tuple(share for _, share in fresh))


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

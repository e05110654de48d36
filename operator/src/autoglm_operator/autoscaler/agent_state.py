"""What is read from an agent's `/state`: memory and activity of its GPUs, what its engine serves, and faults."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from autoglm_operator.autoscaler.engine_metrics import ScrapeError

_VERSION: Final = 1
#: The agent itself leaves out what is older; this is for one that does not.
_OLDEST_SECONDS: Final = 30.0
_MESSAGE_LENGTH: Final = 512


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong with a GPU or with the engine.

    Attributes:
        code: such as `xid-79`.
        severity: `info`, `warning` or `critical`.
        action: what it asks for: `none`, `not-ready`, `restart` or `drain`.
    """

    code: str
    severity: str
    action: str
    message: str


@dataclass(frozen=True, slots=True)
class Activity:
    """What the GPUs of one pod do, the mean of those that tell; `None` without the counters, which Hopper is first in.

    Attributes:
        sm: share of SM cycles with work, 0 to 1.
        tensor: share of cycles in which a tensor pipe was busy, 0 to 1.
        dram: share of the peak memory bandwidth in use, 0 to 1.
    """

    sm: float | None = None
    tensor: float | None = None
    dram: float | None = None


@dataclass(frozen=True, slots=True)
class AgentSample:
    """What one pod's agent says.

    Attributes:
        taken: monotonic time of the oldest GPU's figures, in seconds.
        memory: share of each GPU's memory in use, 0 to 1; empty without GPUs, or with stale figures alone.
        models: names that the engine lists, adapters among them.
        faults: of its GPUs and its engine.
        requested_max_num_seqs: the batch that the agent asks for under memory pressure; `None` if it asks for none.
        activity: of its GPUs.
    """

    taken: float
    memory: tuple[float, ...]
    models: frozenset[str] = frozenset()
    faults: tuple[Fault, ...] = ()
    requested_max_num_seqs: int | None = None
    activity: Activity = Activity()


def parse(body: bytes, taken: float) -> AgentSample:
    """Return the sample in a `/state` document.

    Raises:
        ScrapeError: the document is malformed, or a figure in it cannot be.
    """
    try:
        document = json.loads(body)
        version, gpus = document["version"], document["gpus"]
        samples = [(_age(gpu), _share(gpu), gpu) for gpu in gpus]
        engine = document.get("engine") or {}
        models = frozenset(map(str, engine.get("models") or ()))
        faults = tuple(_faults(document, engine))
        requested = (document.get("elastic") or {}).get("requestedMaxNumSeqs")
        fresh = [sample for sample in samples if sample[0] <= _OLDEST_SECONDS]
        activity = _activity([gpu for _, _, gpu in fresh])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ScrapeError("malformed", f"not a /state document: {error!r}") from error
    if version != _VERSION:
        raise ScrapeError("malformed", f"/state has version {version!r}: expected {_VERSION}")
    oldest = max((age for age, _, _ in fresh), default=0.0)
    asked = requested if isinstance(requested, int) and requested > 0 else None
    shares = tuple(share for _, share, _ in fresh)
    return AgentSample(taken - oldest, shares, models, faults, asked, activity)


def _activity(gpus: Sequence[Mapping[str, Any]]) -> Activity:
    return Activity(*(_mean(gpus, name) for name in ("smUtilization", "tensorUtilization", "dramUtilization")))


def _mean(gpus: Sequence[Mapping[str, Any]], name: str) -> float | None:
    told = [float(gpu[name]) for gpu in gpus if gpu.get(name) is not None]
    for value in told:
        if not 0 <= value <= 1:
            raise ScrapeError("invalid", f"GPU {name} is {value:g}: expected 0 to 1")
    return sum(told) / len(told) if told else None


def _faults(document: Mapping[str, Any], engine: Mapping[str, Any]) -> Iterator[Fault]:
    if engine.get("hung"):
        yield Fault("engine-hung", "critical", "restart", str(engine.get("progress") or "")[:_MESSAGE_LENGTH])
    for item in document.get("faults") or ():
        words = [str(item[key]) for key in ("code", "severity", "action", "message")]
        yield Fault(words[0][:64], words[1][:16], words[2][:16], words[3][:_MESSAGE_LENGTH])


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

"""Smaller batches that agents ask for under memory pressure: what the scaling law makes of them. Pure.

No engine changes its batch limit at run time, and a restart would throw away what a busy engine holds, so none is ever
restarted for this. The request takes effect where it can: the limit counts as the batch of that replica, and requests
above it count as waiting. The scaling law then sees less room than the spec promises and orders replicas earlier, which
takes load off the replica under pressure. A tolerance of Strict leaves the batch alone: its agents ask for nothing, and
what they asked for before counts no more.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from autoglm_operator.api.v1alpha1 import Tolerance
from autoglm_operator.decide.scaling.needs import Signals

#: An agent's request counts once it was in so many of its answers in a row.
ELASTIC_PERIODS: Final = 3


@dataclass(frozen=True, slots=True)
class Load:
    """One ready replica.

    Attributes:
        running: requests in its batch.
        limit: the batch that its agent asks for; `None` if it asks for none, or not for long enough.
    """

    running: float
    limit: int | None = None


def limit_of(requests: Sequence[int], tolerance: Tolerance) -> int | None:
    """Return the batch that counts: the mildest of the last requests.

    Args:
        requests: of one agent, one for each of its last answers in a row.
        tolerance: of the spec.
    """
    if tolerance is Tolerance.STRICT or len(requests) < ELASTIC_PERIODS:
        return None
    return max(requests)


@dataclass(frozen=True, slots=True)
class Reduced:
    """What the scaling law reckons with.

    Attributes:
        batch: of one replica, the mean over all.
        signals: with the requests above a limit among those that wait.
        sentence: why, with its numbers; empty if no agent asks for less.
    """

    batch: int
    signals: Signals
    sentence: str = ""


def reduce(batch: int, loads: Sequence[Load], signals: Signals) -> Reduced:
    """Return what remains of the batches.

    Args:
        batch: of one replica, as the spec says.
        loads: the ready replicas.
        signals: of them.
    """
    limits = [min(batch, load.limit) if load.limit is not None else batch for load in loads]
    lowered = sum(limit < batch for limit in limits)
    if not lowered:
        return Reduced(batch, signals)
    excess = sum(max(0.0, load.running - limit) for load, limit in zip(loads, limits, strict=True) if limit < batch)
    mean = max(1, sum(limits) // len(limits))
    sentence = (
        f"agents of {lowered} of {len(limits)} replicas ask for at most {min(limits)} requests at once under memory "
        f"pressure: {mean} instead of {batch} count as the batch of a replica"
    )
    waiting, running = signals.waiting + excess, signals.running - excess
    return Reduced(mean, replace(signals, waiting=waiting, running=running), sentence)

"""When requests are sent: phases of load, and the arrival times they make. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random


class Arrivals(StrEnum):
    """How arrivals are spread: evenly, or at random as from many independent users."""

    CONSTANT = "constant"
    POISSON = "poisson"


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of load.

    Attributes:
        name: what the results of the phase are called.
        rate: requests a second; 0 is a pause.
        seconds: how long it lasts.
        arrivals: how the requests are spread.
    """

    name: str
    rate: float
    seconds: float
    arrivals: Arrivals = Arrivals.POISSON

    def __post_init__(self) -> None:
        if not 0 <= self.rate < float("inf"):
            raise ValueError(f"phase {self.name}: rate is {self.rate}; expected 0 or more requests a second")
        if not 0 < self.seconds < float("inf"):
            raise ValueError(f"phase {self.name}: it lasts {self.seconds} seconds; expected more than 0")


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request to send.

    Attributes:
        at: seconds after the start of the load.
        phase: name of the phase it belongs to.
    """

    at: float
    phase: str


def arrivals(phases: Sequence[Phase], seed: int) -> Iterator[Arrival]:
    """Yield the arrivals of `phases`, one phase after another, in order of time; the same for the same seed."""
    rng = Random(seed)
    start = 0.0
    for phase in phases:
        offset = _gap(phase, rng, first=True)
        while offset < phase.seconds:
            yield Arrival(start + offset, phase.name)
            offset += _gap(phase, rng, first=False)
        start += phase.seconds


def _gap(phase: Phase, rng: Random, *, first: bool) -> float:
    if phase.rate == 0:
        return float("inf")
    if phase.arrivals is Arrivals.POISSON:
        return rng.expovariate(phase.rate)
    return 0.0 if first else 1 / phase.rate


def steady(rate: float, seconds: float, kind: Arrivals) -> list[Phase]:
    """Return one phase at one rate."""
    return [Phase("steady", rate, seconds, kind)]


def spike(rate: float, seconds: float, spike_rate: float, spike_start: float, spike_seconds: float) -> list[Phase]:
    """Return the phases `before`, `during` and `after` the spike, with random arrivals.

    Args:
        rate: requests a second outside the spike.
        seconds: length of the whole load.
        spike_rate: requests a second in the spike.
        spike_start: seconds from the start of the load to that of the spike.
        spike_seconds: length of the spike.

    Raises:
        ValueError: the spike does not lie inside the load.
    """
    after = seconds - spike_start - spike_seconds
    if after < 0 or spike_start < 0:
        raise ValueError(
            f"the spike lasts from second {spike_start:g} to {spike_start + spike_seconds:g}; "
            f"expected it inside the load of {seconds:g} seconds"
        )
    parts = [("before", rate, spike_start), ("during", spike_rate, spike_seconds), ("after", rate, after)]
    return [Phase(name, per_second, length) for name, per_second, length in parts if length > 0]

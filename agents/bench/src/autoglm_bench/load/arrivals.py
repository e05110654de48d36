"""When requests are sent: phases of load, and the arrival times they make. Pure.

Arrivals are made at rate 1 and then bent to the rate of the phase (time change), so that evenly spread, random and
bursty arrivals all work with rates that rise or fall.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final


class Arrivals(StrEnum):
    """How arrivals are spread: evenly, at random as from many independent users, or in bursts."""

    CONSTANT = "constant"
    POISSON = "poisson"
    GAMMA = "gamma"


#: Coefficient of variation of the gaps of bursty arrivals; Poisson has 1.
DEFAULT_BURSTINESS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of load.

    Attributes:
        name: what the results of the phase are called.
        rate: requests a second at its start; 0 is a pause.
        seconds: how long it lasts.
        arrivals: how the requests are spread.
        end_rate: requests a second at its end, reached in a straight line; `None` if the rate stays.
        burstiness: coefficient of variation of the gaps of `GAMMA`.
    """

    name: str
    rate: float
    seconds: float
    arrivals: Arrivals = Arrivals.POISSON
    end_rate: float | None = None
    burstiness: float = DEFAULT_BURSTINESS

    def __post_init__(self) -> None:
        for rate in (self.rate, self.last_rate):
            if not 0 <= rate < math.inf:
                raise ValueError(f"phase {self.name}: rate is {rate}; expected 0 or more requests a second")
        if not 0 < self.seconds < math.inf:
            raise ValueError(f"phase {self.name}: it lasts {self.seconds} seconds; expected more than 0")
        if not 0 < self.burstiness < math.inf:
            raise ValueError(f"phase {self.name}: burstiness is {self.burstiness}; expected more than 0")

    @property
    def last_rate(self) -> float:
        """Requests a second at its end."""
        return self.rate if self.end_rate is None else self.end_rate

    def reached(self, number: float) -> float:
        """Return the seconds after which `number` requests are due on average; infinite if never."""
        slope = (self.last_rate - self.rate) / self.seconds
        if slope == 0:
            return number / self.rate if self.rate else math.inf
        # rate·t + slope·t²/2 = number, in the form that does not cancel where the slope is small.
        root = self.rate * self.rate + 2 * slope * number
        if root < 0:
            return math.inf
        divisor = self.rate + math.sqrt(root)
        return 2 * number / divisor if divisor else 0.0


@dataclass(frozen=True, slots=True)
class Shape:
    """What a trace says of a request.

    Attributes:
        prompt_tokens: length of its prompt.
        output_tokens: length of its answer.
        blocks: ids of the blocks that its prompt begins with: the same id is the same text. Empty if it does not tell.
        shared_tokens: leading tokens of its prompt that an earlier one of the trace had too.
    """

    prompt_tokens: int
    output_tokens: int
    blocks: tuple[int, ...] = ()
    shared_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Arrival:
    """The first request of a session.

    Attributes:
        at: seconds after the start of the load.
        phase: name of the phase it belongs to.
        shape: what a trace says of it.
    """

    at: float
    phase: str
    shape: Shape | None = None


def arrivals(phases: Sequence[Phase], seed: int) -> Iterator[Arrival]:
    """Yield the arrivals of `phases`, one phase after another, in order of time; the same for the same seed."""
    rng = Random(f"arrivals/{seed}")
    start = 0.0
    for phase in phases:
        number = 0.0 if phase.arrivals is Arrivals.CONSTANT else _gap(phase, rng)
        while (offset := phase.reached(number)) < phase.seconds:
            yield Arrival(start + offset, phase.name)
            number += _gap(phase, rng)
        start += phase.seconds


def _gap(phase: Phase, rng: Random) -> float:
    """Return a gap of mean 1."""
    if phase.arrivals is Arrivals.CONSTANT:
        return 1.0
    if phase.arrivals is Arrivals.POISSON:
        return rng.expovariate(1.0)
    shape = 1 / phase.burstiness**2
    return rng.gammavariate(shape, 1 / shape)


def steady(rate: float, seconds: float, kind: Arrivals, burstiness: float = DEFAULT_BURSTINESS) -> list[Phase]:
    """Return one phase at one rate."""
    return [Phase("steady", rate, seconds, kind, burstiness=burstiness)]


def steps(rates: Sequence[float], seconds: float) -> list[Phase]:
    """Return one phase for each rate, equally long, `seconds` in all, with random arrivals."""
    return [Phase(f"{rate:g}/s", rate, seconds / len(rates)) for rate in rates]


def ramp(rate: float, end_rate: float, seconds: float) -> list[Phase]:
    """Return one phase whose rate goes from one to the other in a straight line, with random arrivals."""
    return [Phase("ramp", rate, seconds, end_rate=end_rate)]


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

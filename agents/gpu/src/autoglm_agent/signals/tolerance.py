"""How far a pod may be from its own normal: the tolerance of the AutoGLMDeployment. Pure.

**Deviation** is the larger of two relative distances, 0 when all is as usual:

- *pace*: how much longer the engine takes from token to token than it usually does with as many requests in the batch
  (in powers of two): mean inter-token latency of this period over the usual one, minus 1. The usual one is learned: the
  median of the first periods at that batch size, then drawn slowly towards what is seen while the deviation is small,
  so that an engine in trouble does not become the norm.
- *memory*: how much more of the GPU's memory is in use than usual: the difference of the shares. The usual one is
  learned in the same way, from when the engine is ready.

The modes, each after three periods in a row, and over three periods below 0.8 of the limit again:

| mode | limit | what follows |
|---|---|---|
| Strict | 0.1 | alert; the batch is never touched |
| Elastic | 0.25 | alert; a lower batch may be asked for |
| Recovery | 0.3 | degrade: a much lower batch is asked for at once |
"""

from dataclasses import dataclass, field
from enum import StrEnum
from statistics import median
from typing import Final

from autoglm_agent.signals.catalogue import DEVIATION, Signal


class Tolerance(StrEnum):
    """Values of `spec.tolerance`."""

    STRICT = "Strict"
    ELASTIC = "Elastic"
    RECOVERY = "Recovery"


class Reaction(StrEnum):
    """What the deviation calls for."""

    NONE = "none"
    ALERT = "alert"
    DEGRADE = "degrade"


@dataclass(frozen=True, slots=True)
class Mode:
    """What a tolerance means.

    Attributes:
        limit: deviation from which it reacts.
        reaction: how.
        elastic: whether it may ask for another batch.
    """

    limit: float
    reaction: Reaction
    elastic: bool


MODES: Final = {
    Tolerance.STRICT: Mode(0.1, Reaction.ALERT, elastic=False),
    Tolerance.ELASTIC: Mode(0.25, Reaction.ALERT, elastic=True),
    Tolerance.RECOVERY: Mode(0.3, Reaction.DEGRADE, elastic=True),
}
_FALL: Final = 0.8
#: Seen so often, a batch size is known.
_LEARNED: Final = 30
#: Above this deviation nothing is learned.
_CALM: Final = 0.1
#: Weight of one calm period in what is usual: half of it is forgotten after about 700 periods.
_WEIGHT: Final = 0.001


@dataclass(slots=True)
class _Usual:
    """A figure that is being learned: the first values, then their median, drawn slowly on."""

    first: list[float] = field(default_factory=list)
    value: float | None = None

    def learn(self, seen: float, *, calm: bool) -> None:
        if self.value is None:
            self.first.append(seen)
            if len(self.first) >= _LEARNED:
                self.value = median(self.first)
                self.first.clear()
        elif calm:
            self.value += _WEIGHT * (seen - self.value)


class Deviation:
    """Learns what is usual and tells how far from it the pod is.

    Attributes:
        pace: the part of the pace; `None` as long as it is not known.
        memory: the part of the memory.
    """

    def __init__(self) -> None:
        self._paces: dict[int, _Usual] = {}
        self._memory = _Usual()
        self.pace: float | None = None
        self.memory: float | None = None

    @property
    def value(self) -> float | None:
        """The larger of the two; `None` as long as neither is known."""
        return max((part for part in (self.pace, self.memory) if part is not None), default=None)

    def update(self, pace: float | None, running: float, memory: float | None) -> None:
        """Take in one period.

        Args:
            pace: mean inter-token latency in seconds; `None` if no token came.
            running: requests in the batch.
            memory: share of the memory in use, the fullest GPU; `None` where not known.
        """
        if pace is not None and running >= 1:
            usual = self._paces.setdefault(int(running).bit_length(), _Usual())
            self.pace = None if not usual.value else max(0.0, pace / usual.value - 1.0)
            usual.learn(pace, calm=(self.pace or 0.0) <= _CALM)
        else:
            self.pace = None
        self.memory = None
        if memory is not None:
            if self._memory.value is not None:
                self.memory = max(0.0, memory - self._memory.value)
            self._memory.learn(memory, calm=(self.memory or 0.0) <= _CALM)

    def forget_memory(self) -> None:
        """Learn anew how much memory is usual: another engine process has taken its own."""
        self._memory = _Usual()


def signal(tolerance: Tolerance) -> Signal:
    """Return the signal of the deviation under a tolerance."""
    limit = MODES[tolerance].limit
    return Signal(DEVIATION, limit, _FALL * limit, f"distance from the usual, limit {limit:g} ({tolerance.value})")

"""GPU memory: how full, how fast it fills, and when it is used up. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from autoglm_agent.device import GpuSample
from autoglm_agent.signals.catalogue import MEMORY, MEMORY_SOON
from autoglm_agent.signals.window import Trend


@dataclass(frozen=True, slots=True)
class MemoryFigures:
    """Memory of one GPU; `None` where not known.

    Attributes:
        share: of the memory in use, 0 to 1.
        change: bytes per second over the last minute.
        exhausted_in: seconds until it is used up, if it goes on like this.
    """

    share: float | None
    change: float | None
    exhausted_in: float | None


@dataclass(frozen=True, slots=True)
class MemorySignals:
    """Memory of all GPUs.

    Attributes:
        gpus: by UUID.
        fired: signals that are on, with the monotonic time from which they are.
        share: the fullest GPU's share in use; `None` where no GPU tells.
    """

    gpus: Mapping[str, MemoryFigures] = field(default_factory=dict)
    fired: Mapping[str, float] = field(default_factory=dict)
    share: float | None = None


class MemoryWatch:
    """Judges the memory of the GPUs, one reading after the other."""

    def __init__(self) -> None:
        self._trends: dict[str, Trend] = {}
        self._gates = {signal: signal.gate() for signal in (MEMORY, MEMORY_SOON)}

    def update(self, samples: Iterable[GpuSample], now: float, *, settled: bool) -> MemorySignals:
        """Take in the fresh samples of a pass.

        Args:
            samples: one for each GPU that answered lately.
            now: monotonic time in seconds.
            settled: whether the engine serves. One that loads fills the memory on purpose, and would go on for ever
                in a straight line.
        """
        if not settled:
            self._trends.clear()
        gpus = {sample.uuid: self._figures(sample) for sample in samples}
        self._trends = {uuid: trend for uuid, trend in self._trends.items() if uuid in gpus}
        share = max((each.share for each in gpus.values() if each.share is not None), default=None)
        soonest = min((each.exhausted_in for each in gpus.values() if each.exhausted_in is not None), default=None)
        self._gates[MEMORY].update(share, now)
        self._gates[MEMORY_SOON].update(urgency(share, soonest), now)
        fired = {signal.name: gate.since for signal, gate in self._gates.items() if gate.fired}
        return MemorySignals(gpus, fired, share)

    def _figures(self, sample: GpuSample) -> MemoryFigures:
        used, total = sample.memory_used_bytes, sample.memory_total_bytes
        trend = self._trends.setdefault(sample.uuid, Trend())
        trend.add(used, sample.taken)
        share = used / total if used is not None and total else None
        return MemoryFigures(share, trend.slope(), trend.seconds_to(total) if total else None)


def urgency(share: float | None, seconds: float | None) -> float | None:
    """Return 1 over the seconds until exhaustion: 0 if it is not foreseen; `None` if nothing is known."""
    if seconds is None:
        return None if share is None else 0.0
    return 1.0 / max(seconds, 1.0)

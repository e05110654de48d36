"""Reads the GPUs and holds the last snapshot of them."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from autoglm_agent.device import GpuSample, Reading, Source, SourceName
from autoglm_agent.faults import Fault, FaultState, Setting, advance

_logger = logging.getLogger(__name__)

#: After this time a GPU that does not answer is taken for removed, so that changes of MIG layout do not pile up.
_REMEMBERED_SECONDS: Final = 3600.0
#: Pairs of GPU and XID that are counted; a driver that spews errors must not cost memory.
_MOST_XIDS: Final = 256


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the last pass over the GPUs left.

    Attributes:
        source: where the figures come from.
        samples: the last good sample of each GPU by UUID; `GpuSample.fresh` tells which may still be shown.
        errors: failed reads since the start, by reason.
        finished: monotonic time at which the pass ended; `None` before the first.
        why: why it is this source, for people.
        driver: version of the driver; empty where not told.
        down: why the source gives nothing; empty if it works.
        down_since: monotonic time from which it gives nothing; `None` if it works.
        faults: the faults that hold.
        xids: XID errors since the start, by UUID and number.
        reads: passes since the start.
        read_seconds: how long the pass took.
    """

    source: SourceName
    samples: Mapping[str, GpuSample] = field(default_factory=dict)
    errors: Mapping[str, int] = field(default_factory=dict)
    finished: float | None = None
    why: str = ""
    driver: str = ""
    down: str = ""
    down_since: float | None = None
    faults: tuple[Fault, ...] = ()
    xids: Mapping[tuple[str, int], int] = field(default_factory=dict)
    reads: int = 0
    read_seconds: float = 0.0

    def fresh(self, now: float) -> list[GpuSample]:
        """Return the samples that may still be shown."""
        return [sample for sample in self.samples.values() if sample.fresh(now)]


class Sampler:
    """Turns readings into snapshots; other threads read `snapshot`, which is replaced and never changed.

    Args:
        source: the GPUs.
        clock: monotonic time in seconds.
        expected: devices that the pod has; `None` if nobody said.
    """

    def __init__(self, source: Source, clock: Callable[[], float], expected: int | None = None) -> None:
        self._source = source
        self._clock = clock
        self._expected = expected
        self._errors: Counter[str] = Counter()
        self._xids: Counter[tuple[str, int]] = Counter()
        self._faults = FaultState()
        self._engine_restarted: float | None = None
        self._engine_progressed: float | None = None
        self.snapshot = Snapshot(source.name, why=source.why)

    def engine_restarted(self) -> None:
        """Note that the engine came up again: what a restart cures is cured. Any thread may call it."""
        self._engine_restarted = self._clock()

    def engine_progressed(self) -> None:
        """Note that the engine generates tokens: an error on its GPU was not its own. Any thread may call it."""
        self._engine_progressed = self._clock()

    def sample(self) -> None:
        """Read the GPUs once."""
        began = self._clock()
        reading = self._source.read()
        now = self._clock()
        before = self.snapshot
        self._count(reading)
        setting = Setting(self._expected, self._source.name != "dcgm", self._engine_restarted, self._engine_progressed)
        self._faults = advance(self._faults, reading, setting, now)
        samples = {uuid: each for uuid, each in before.samples.items() if now - each.taken < _REMEMBERED_SECONDS}
        samples |= {sample.uuid: sample for sample in reading.samples}
        self.snapshot = Snapshot(
            source=self._source.name,
            samples=samples,
            errors=dict(self._errors),
            finished=now,
            why=self._source.why,
            driver=reading.driver or before.driver,
            down=reading.down,
            down_since=(now if before.down_since is None else before.down_since) if reading.down else None,
            faults=self._faults.faults,
            xids=dict(self._xids),
            reads=before.reads + 1,
            read_seconds=now - began,
        )
        _log_changes(before, self.snapshot)

    def _count(self, reading: Reading) -> None:
        self._errors.update(reading.errors)
        for each in reading.xids:
            key = (each.uuid, each.xid)
            if key in self._xids or len(self._xids) < _MOST_XIDS:
                self._xids[key] += 1


def _log_changes(before: Snapshot, after: Snapshot) -> None:
    """Log what is new, once each."""
    if (before.source, before.why) != (after.source, after.why):
        _logger.info("GPU source changed", extra={"source": after.source, "reason": after.why})
    if after.down and not before.down:
        _logger.warning("GPU source is down", extra={"source": after.source, "reason": after.down})
    if before.down and not after.down:
        seconds = round((after.finished or 0.0) - (before.down_since or 0.0), 1)
        _logger.info("GPU source is back", extra={"source": after.source, "seconds": seconds})
    known = {(fault.gpu, fault.code, fault.action) for fault in before.faults}
    for fault in after.faults:
        if (fault.gpu, fault.code, fault.action) not in known:
            detail = {"gpu": fault.gpu, "code": fault.code, "action": fault.action.value, "reason": fault.message}
            _logger.warning("GPU fault", extra=detail)
    held = {(fault.gpu, fault.code) for fault in after.faults}
    for fault in before.faults:
        if (fault.gpu, fault.code) not in held:
            _logger.info("GPU fault is over", extra={"gpu": fault.gpu, "code": fault.code})

"""Reads the GPUs and holds the last snapshot of them."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from autoglm_agent.device import GpuReader, GpuSample, SourceName

#: After this time a GPU that does not answer is taken for removed, so that changes of MIG layout do not pile up.
_REMEMBERED_SECONDS: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the last pass over the GPUs left.

    Attributes:
        source: where the figures come from.
        samples: the last good sample of each GPU by UUID; `GpuSample.fresh` tells which may still be shown.
        errors: failed reads since the start, by reason.
        finished: monotonic time at which the pass ended; `None` before the first.
    """

    source: SourceName
    samples: Mapping[str, GpuSample] = field(default_factory=dict)
    errors: Mapping[str, int] = field(default_factory=dict)
    finished: float | None = None

    def fresh(self, now: float) -> list[GpuSample]:
        """Return the samples that may still be shown."""
        return [sample for sample in self.samples.values() if sample.fresh(now)]


class Sampler:
    """Turns readings into snapshots; other threads read `snapshot`, which is replaced and never changed.

    Args:
        reader: the GPUs.
        clock: monotonic time in seconds.
    """

    def __init__(self, reader: GpuReader, clock: Callable[[], float]) -> None:
        self._reader = reader
        self._clock = clock
        self._errors: Counter[str] = Counter()
        self.snapshot = Snapshot(reader.source)

    def sample(self) -> None:
        """Read the GPUs once."""
        reading = self._reader.read()
        self._errors.update(reading.errors)
        samples = {uuid: s for uuid, s in self.snapshot.samples.items() if self._remembered(s)}
        samples |= {sample.uuid: sample for sample in reading.samples}
        self.snapshot = Snapshot(
            source=self._reader.source, samples=samples, errors=dict(self._errors), finished=self._clock()
        )

    def _remembered(self, sample: GpuSample) -> bool:
        """Tell whether a GPU that does not answer still belongs to the machine: its growing age is the alarm."""
        return self._clock() - sample.taken < _REMEMBERED_SECONDS

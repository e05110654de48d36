"""Quantiles of what happened lately, from the cumulative histograms that engines expose: pure.

The same rule as the operator's `decide/scaling/quantiles.py`; a test holds the two equal. The operator keeps whole
histories of many engines, and the agent keeps running sums of one.
"""

from array import array
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Histogram:
    """A cumulative histogram as scraped.

    Attributes:
        bounds: upper bounds of the finite buckets, rising.
        counts: observations up to each bound, and all of them last.
    """

    bounds: tuple[float, ...]
    counts: "array[float]"


def added(old: Histogram, new: Histogram) -> "array[float]":
    """Return what `new` counted since `old`, cumulative.

    The count of a bucket that falls, or other bounds, mean that the engine started again: all of `new` is new.
    """
    if old.bounds != new.bounds:
        return new.counts
    more = array("d", (b - a for a, b in zip(old.counts, new.counts, strict=True)))
    restarted = more[0] < 0 or any(a > b for a, b in pairwise(more))
    return new.counts if restarted else more


def quantile(q: float, bounds: Sequence[float], counts: Sequence[float]) -> float | None:
    """Return the `q` quantile, interpolated inside its bucket; `None` without observations.

    Beyond the last finite bound nothing is known: the answer is then that bound, as in Prometheus.

    Args:
        q: 0 to 1.
        bounds: as in `Histogram`.
        counts: observations made during some time, cumulative over the bounds.
    """
    if not bounds or counts[-1] <= 0:
        return None
    rank, below, lower = q * counts[-1], 0.0, 0.0
    for upper, count in zip(bounds, counts, strict=False):
        if count >= rank and count > below:
            return lower + (upper - lower) * (rank - below) / (count - below)
        below, lower = count, upper
    return bounds[-1]


class Increase:
    """What one histogram counted during the last `seconds`; the sums are kept, so that a sample costs one pass.

    Attributes:
        bounds: of the histogram; empty before the second sample.
        counts: observations in the window, cumulative over the bounds.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._parts: deque[tuple[float, array[float]]] = deque()
        self.bounds: tuple[float, ...] = ()
        self.counts: array[float] = array("d")

    def add(self, taken: float, bounds: tuple[float, ...], more: "array[float]") -> None:
        """Take in what was counted up to `taken`, and let go what was counted before the window."""
        if bounds != self.bounds:
            self.clear()
            self.bounds, self.counts = bounds, array("d", bytes(8 * len(more)))
        while self._parts and self._parts[0][0] <= taken - self._seconds:
            self._change(self._parts.popleft()[1], -1.0)
        if more[-1]:
            self._parts.append((taken, more))
            self._change(more, 1.0)

    def clear(self) -> None:
        """Forget everything."""
        self._parts.clear()
        self.bounds, self.counts = (), array("d")

    def quantile(self, q: float) -> float | None:
        """Return the `q` quantile of the window; `None` without observations."""
        return quantile(q, self.bounds, self.counts) if self.bounds else None

    def _change(self, part: "array[float]", sign: float) -> None:
        # Counts are whole numbers below 2**53: adding and taking away again leaves no rest.
        counts = self.counts
        for place, count in enumerate(part):
            counts[place] += sign * count

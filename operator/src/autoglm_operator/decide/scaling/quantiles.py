"""Quantiles of what happened lately, from the cumulative histograms that engines expose: pure."""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import add, sub


@dataclass(frozen=True, slots=True)
class Histogram:
    """A cumulative histogram as scraped.

    Attributes:
        bounds: upper bounds of the finite buckets, rising; shared between samples.
        counts: observations up to each bound, and all of them last. An array, because thousands are kept.
    """

    bounds: tuple[float, ...]
    counts: "array[float]"


@dataclass(frozen=True, slots=True)
class Increase:
    """Observations made during some time.

    Attributes:
        bounds: as in `Histogram`.
        counts: as in `Histogram`.
    """

    bounds: tuple[float, ...]
    counts: tuple[float, ...]

    @property
    def observations(self) -> float:
        """How many there were."""
        return self.counts[-1]


def increase(history: Sequence[Histogram]) -> Increase | None:
    """Return what was observed between the first and the last histogram of one engine, oldest first.

    The count of a bucket that falls, or other bounds, mean that the engine started again: everything it has counted
    since is new.
    `None` if there is nothing to compare.
    """
    if len(history) < 2:  # noqa: PLR2004  # a difference needs two
        return None
    last = history[-1]
    # From one start of the engine to the next, what came between is the difference of the ends.
    total, begin = [0.0] * len(last.counts), history[0]
    for old, new in pairwise(history):
        if new.counts is old.counts or not _starts_again(old, new):
            continue
        total = _with(total, begin, old, last)
        begin = Histogram(new.bounds, array("d", [0.0]) * len(new.counts))
    return Increase(last.bounds, tuple(_with(total, begin, last, last)))


def _starts_again(old: Histogram, new: Histogram) -> bool:
    if old.bounds != new.bounds:
        return True
    # Passes in C: this is done for each bucket of each sample of each pod, each few seconds.
    added = list(map(sub, new.counts, old.counts))
    return added[0] < 0 or added != sorted(added)


def _with(total: list[float], begin: Histogram, end: Histogram, last: Histogram) -> list[float]:
    """Return `total` with what was counted from `begin` to `end`, if it was in the buckets of `last`."""
    if end.counts is begin.counts or end.bounds != last.bounds:
        return total
    return list(map(add, total, map(sub, end.counts, begin.counts)))


def pool(increases: Iterable[Increase]) -> Increase | None:
    """Return the sum over engines, on the bounds that all of them have; cumulative counts stay exact there."""
    parts = list(increases)
    if not parts:
        return None
    bounds = parts[0].bounds
    if any(part.bounds != bounds for part in parts):
        bounds = tuple(sorted(set(bounds).intersection(*(part.bounds for part in parts))))
        parts = [_on(part, bounds) for part in parts]
    return Increase(bounds, tuple(map(sum, zip(*(part.counts for part in parts), strict=True))))


def _on(part: Increase, bounds: tuple[float, ...]) -> Increase:
    at = dict(zip(part.bounds, part.counts, strict=False))
    return Increase(bounds, (*(at[bound] for bound in bounds), part.counts[-1]))


def quantile(q: float, observed: Increase | None) -> float | None:
    """Return the `q` quantile, interpolated inside its bucket; `None` without observations.

    Beyond the last finite bound nothing is known: the answer is then that bound, as in Prometheus.
    """
    if observed is None or not observed.bounds or observed.observations <= 0:
        return None
    rank, below, lower = q * observed.observations, 0.0, 0.0
    for upper, count in zip(observed.bounds, observed.counts, strict=False):
        if count >= rank and count > below:
            return lower + (upper - lower) * (rank - below) / (count - below)
        below, lower = count, upper
    return observed.bounds[-1]

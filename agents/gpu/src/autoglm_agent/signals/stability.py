"""How even the latencies of an engine are. Pure.

- **CV**: the coefficient of variation (standard deviation over mean) of the mean inter-token latency of each sampling
  period in the window. Inter-token latency, because it hardly depends on how long prompts and answers are; whole
  requests would measure the users. Below 0.15 is even.
- **OCS**, overall consistency score: how alike the first and the second half of the window are. For each latency it is
  1 minus the Jensen-Shannon divergence (base 2) of the two halves over the histogram's buckets; the score is the mean
  over the latencies. 1 means the same distribution, 0 none of it in common. Above 0.92 is consistent.

A CV from fewer than five periods, or a score from halves of fewer than fifty observations, would tell of chance: it is
not told.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev
from typing import Final

CV_LIMIT: Final = 0.15
OCS_LIMIT: Final = 0.92
_LEAST_PERIODS: Final = 5
_LEAST_OBSERVATIONS: Final = 50


@dataclass(frozen=True, slots=True)
class Stability:
    """Evenness of an engine's latencies; `None` where too little was seen.

    Attributes:
        cv: coefficient of variation of the inter-token latency, 0 or more.
        ocs: overall consistency score, 0 to 1.
    """

    cv: float | None = None
    ocs: float | None = None

    @property
    def stable(self) -> bool | None:
        """Whether both are within their limits; `None` as long as one is not known."""
        if self.cv is None or self.ocs is None:
            return None
        return self.cv < CV_LIMIT and self.ocs > OCS_LIMIT


def stability(paces: Sequence[float], halves: Iterable[tuple[Sequence[float], Sequence[float]]]) -> Stability:
    """Return the stability of a window.

    Args:
        paces: mean inter-token latency of each period, in seconds.
        halves: for each latency, the observations in each bucket in the first and in the second half of the window.
    """
    scores = [1.0 - divergence(early, late) for early, late in halves if _enough(early) and _enough(late)]
    return Stability(cv=variation(paces), ocs=fmean(scores) if scores else None)


def variation(values: Sequence[float]) -> float | None:
    """Return the coefficient of variation; `None` of fewer than five values."""
    if len(values) < _LEAST_PERIODS:
        return None
    mean = fmean(values)
    return pstdev(values, mean) / mean if mean > 0 else None


def divergence(early: Sequence[float], late: Sequence[float]) -> float:
    """Return the Jensen-Shannon divergence of two counts over the same buckets, in bits: 0 to 1."""
    first, second = sum(early), sum(late)
    total = 0.0
    for a, b in zip(early, late, strict=True):
        p, q = a / first, b / second
        middle = (p + q) / 2
        total += (_term(p, middle) + _term(q, middle)) / 2
    return min(1.0, max(0.0, total))


def _term(share: float, middle: float) -> float:
    return share * math.log2(share / middle) if share > 0 else 0.0


def _enough(counts: Sequence[float]) -> bool:
    return sum(counts) >= _LEAST_OBSERVATIONS

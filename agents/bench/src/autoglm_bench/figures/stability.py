"""How even the latencies of a run are: the definitions of the GPU agent, over the run instead of a window. Pure.

- **CV**: the coefficient of variation (standard deviation over mean) of the mean inter-token latency of each second.
  Below 0.15 is even. Seconds without a token are left out; fewer than five tell of chance and give none.
- **OCS**, overall consistency score: how alike the first and the second half of the run are. For TTFT, ITL and E2E it
  is 1 minus the Jensen-Shannon divergence (base 2) of the two halves over vLLM's histogram buckets; the score is the
  mean. 1 means the same distribution, 0 none of it in common. Above 0.92 is consistent. Halves of fewer than fifty give
  none.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, pstdev
from typing import Final

CV_LIMIT: Final = 0.15
OCS_LIMIT: Final = 0.92
_LEAST_PERIODS: Final = 5
_LEAST_OBSERVATIONS: Final = 50
#: Upper bounds of vLLM 0.33's histograms, in seconds.
BUCKETS: Final[Mapping[str, tuple[float, ...]]] = {
    "ttft": (
        *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75),
        *(1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0),
    ),
    "itl": (
        *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75),
        *(1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0),
    ),
    "e2e": (
        *(0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0),
        *(120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0),
    ),
}


def variation(paces: Sequence[float]) -> float | None:
    """Return the coefficient of variation; `None` of fewer than five values."""
    if len(paces) < _LEAST_PERIODS:
        return None
    mean = fmean(paces)
    return pstdev(paces, mean) / mean if mean > 0 else None


def consistency(latencies: Mapping[str, Sequence[float]]) -> float | None:
    """Return the overall consistency score.

    Args:
        latencies: for each of `BUCKETS` the values in order of time.
    """
    scores = []
    for quantity, values in latencies.items():
        middle = len(values) // 2
        if middle >= _LEAST_OBSERVATIONS:
            bounds = BUCKETS[quantity]
            early, late = _counts(values[:middle], bounds), _counts(values[middle:], bounds)
            scores.append(1.0 - divergence(early, late))
    return fmean(scores) if scores else None


def divergence(early: Sequence[int], late: Sequence[int]) -> float:
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


def _counts(values: Iterable[float], bounds: Sequence[float]) -> list[int]:
    counts = [0] * (len(bounds) + 1)
    for value in values:
        counts[bisect_left(bounds, value)] += 1
    return counts

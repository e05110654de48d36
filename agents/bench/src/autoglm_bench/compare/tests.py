"""The statistical tests behind a comparison. Pure, and small enough not to need a library.

Requests of one run resemble their neighbours: a queue that is long for one is long for the next. Tests that take them
for independent see differences where there are none. So each run is cut into about √n batches of consecutive requests;
ranks are compared between the batches' medians, and the bootstrap draws whole batches.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from random import Random
from statistics import NormalDist, median
from typing import Final

_DRAWS: Final = 1000
#: So many values have to lie above a percentile for its interval to mean something.
_TAIL: Final = 10
#: Fewer batches than this tell of chance.
LEAST_BATCHES: Final = 8


def batches(values: Sequence[float]) -> list[Sequence[float]]:
    """Cut values in order of time into about √n batches of about √n."""
    size = max(1, math.isqrt(len(values)))
    cut = [values[at : at + size] for at in range(0, len(values), size)]
    if len(cut) > 1 and len(cut[-1]) < size:
        cut[-2:] = [[*cut[-2], *cut[-1]]]
    return cut


def rank_test(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Return the two-sided p-value of Mann and Whitney's test on the batches' medians; `None` of too few."""
    first, second = ([median(batch) for batch in batches(values)] for values in (a, b))
    if min(len(first), len(second)) < LEAST_BATCHES:
        return None
    return mann_whitney(first, second)


def mann_whitney(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the two-sided p-value that neither tends to larger values: normal approximation, corrected for ties."""
    both = sorted([*a, *b])
    n, m = len(a), len(b)
    ranks: dict[float, float] = {}
    ties = 0
    at = 0
    while at < len(both):
        end = at
        while end < len(both) and both[end] == both[at]:
            end += 1
        ranks[both[at]] = (at + 1 + end) / 2
        ties += (end - at) ** 3 - (end - at)
        at = end
    u = sum(ranks[value] for value in a) - n * (n + 1) / 2
    total = n + m
    variance = n * m / 12 * (total + 1 - ties / (total * (total - 1)))
    if variance <= 0:
        return 1.0
    distance = max(0.0, abs(u - n * m / 2) - 0.5)
    return 2 * (1 - NormalDist().cdf(distance / math.sqrt(variance)))


def ratio_interval(
    a: Sequence[float], b: Sequence[float], percent: float, alpha: float, seed: int = 0
) -> tuple[float, float] | None:
    """Return an interval that holds B's percentile over A's with probability 1 - alpha.

    A bootstrap over batches; `None` where there are too few batches or values above the percentile, or one is 0.
    """
    if min(len(a), len(b)) * (1 - percent / 100) < _TAIL or min(a) <= 0 or min(b) <= 0:
        return None
    draws = [_draws(values, percent, Random(f"{seed}/{name}")) for name, values in (("a", a), ("b", b))]
    if any(draw is None for draw in draws):
        return None
    ratios = sorted(later / earlier for earlier, later in zip(draws[0] or (), draws[1] or (), strict=True))
    edge = max(0, round(alpha / 2 * _DRAWS) - 1)
    return ratios[edge], ratios[-1 - edge]


def _draws(values: Sequence[float], percent: float, rng: Random) -> list[float] | None:
    """Return the percentile of each draw: the batches weigh as often as they were drawn."""
    cut = batches(values)
    if len(cut) < LEAST_BATCHES:
        return None
    ordered = sorted((value, number) for number, batch in enumerate(cut) for value in batch)
    owners = [number for _, number in ordered]
    found = []
    for _ in range(_DRAWS):
        weights = [0] * len(cut)
        for number in rng.choices(range(len(cut)), k=len(cut)):
            weights[number] += 1
        reached = list(accumulate(map(weights.__getitem__, owners)))
        rank = max(1, math.ceil(round(percent * reached[-1] / 100, 9)))
        found.append(ordered[bisect_left(reached, rank)][0])
    return found


def fisher(failed_a: int, total_a: int, failed_b: int, total_b: int) -> float:
    """Return the two-sided p-value that both fail equally often: Fisher's exact test."""
    failed, total = failed_a + failed_b, total_a + total_b

    def log_probability(in_a: int) -> float:
        return _log_choose(total_a, in_a) + _log_choose(total_b, failed - in_a) - _log_choose(total, failed)

    seen = log_probability(failed_a)
    possible = range(max(0, failed - total_b), min(failed, total_a) + 1)
    # As likely as what was seen, up to rounding.
    tail = (log for in_a in possible if (log := log_probability(in_a)) <= seen + 1e-9)
    return min(1.0, math.fsum(map(math.exp, tail)))


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)

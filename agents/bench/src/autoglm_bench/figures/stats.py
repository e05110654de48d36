"""Distributions from exact samples. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from autoglm_bench.figures.objectives import PERCENTILES


def percentile(ascending: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile: the smallest value with at least `percent` % of all at or below it.

    It is exact and always one of the values, so that a slow request is seen and not averaged away.

    Args:
        ascending: the values in ascending order, at least one.
        percent: above 0 and up to 100.
    """
    # Rounded first: as floats, 16.1 % of 1000 are a little more than 161, which must not become the 162nd.
    rank = math.ceil(round(percent * len(ascending) / 100, 9))
    return ascending[max(rank, 1) - 1]


@dataclass(frozen=True, slots=True)
class Distribution:
    """Percentiles and extremes of a quantity, in its own unit.

    Attributes:
        count: number of values.
        mean: their mean.
        deviation: their standard deviation.
        percentiles: value of each of `PERCENTILES`.
        maximum: the largest value.
    """

    count: int
    mean: float
    deviation: float
    percentiles: Mapping[int, float]
    maximum: float

    @property
    def variation(self) -> float | None:
        """Coefficient of variation: standard deviation over mean."""
        return self.deviation / self.mean if self.mean > 0 else None


def distribution(values: Iterable[float]) -> Distribution | None:
    """Return the distribution of `values`, or `None` if there are none; what is not a number is left out."""
    ascending = sorted(value for value in values if value == value)  # noqa: PLR0124  not a number
    if not ascending:
        return None
    count = len(ascending)
    mean = math.fsum(ascending) / count
    return Distribution(
        count=count,
        mean=mean,
        deviation=math.sqrt(math.fsum((value - mean) ** 2 for value in ascending) / count),
        percentiles={percent: percentile(ascending, percent) for percent in PERCENTILES},
        maximum=ascending[-1],
    )

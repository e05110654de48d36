"""Figures of a list of results. Pure."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from autoglm_bench.profiles import Phase
from autoglm_bench.result import Result

#: The percentiles that every distribution is described by.
PERCENTILES: Final = (50, 90, 99)


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
        percentiles: value of each of `PERCENTILES`.
        maximum: the largest value.
    """

    count: int
    mean: float
    percentiles: Mapping[int, float]
    maximum: float


def distribution(values: Iterable[float]) -> Distribution | None:
    """Return the distribution of `values`, or `None` if there are none."""
    ascending = sorted(values)
    if not ascending:
        return None
    return Distribution(
        count=len(ascending),
        mean=math.fsum(ascending) / len(ascending),
        percentiles={percent: percentile(ascending, percent) for percent in PERCENTILES},
        maximum=ascending[-1],
    )


@dataclass(frozen=True, slots=True)
class Summary:
    """Figures of one phase; latencies are seconds, of successful requests only.

    Attributes:
        name: of the phase.
        seconds: its length.
        requests: requests sent in it.
        succeeded: of these, those answered in full.
        late: of these, those sent late: if many, the figures tell of the generator, not of the engine.
        failures: failed requests by cause.
        output_tokens: tokens of the successful requests.
        ttft: time to first token.
        itl: time between two pieces of text, over all requests.
        duration: time to the end of the answer.
    """

    name: str
    seconds: float
    requests: int
    succeeded: int
    late: int
    failures: Mapping[str, int]
    output_tokens: int
    ttft: Distribution | None
    itl: Distribution | None
    duration: Distribution | None


def summarise(phases: Sequence[Phase], results: Sequence[Result]) -> list[Summary]:
    """Return one summary for each phase, in order."""
    # Phases of one name are one phase to the reader: a load may return to its base rate.
    lengths: dict[str, float] = {}
    for phase in phases:
        lengths[phase.name] = lengths.get(phase.name, 0.0) + phase.seconds
    return [_summary(name, length, [r for r in results if r.phase == name]) for name, length in lengths.items()]


def total(phases: Sequence[Phase], results: Sequence[Result]) -> Summary:
    """Return the summary of the whole load, called `total`."""
    return _summary("total", sum(phase.seconds for phase in phases), results)


def _summary(name: str, seconds: float, results: Sequence[Result]) -> Summary:
    good = [result for result in results if result.cause is None]
    return Summary(
        name=name,
        seconds=seconds,
        requests=len(results),
        succeeded=len(good),
        late=sum(result.late for result in results),
        failures=Counter(result.cause.value for result in results if result.cause),
        output_tokens=sum(result.output_tokens for result in good),
        ttft=distribution(result.ttft for result in good if result.ttft is not None),
        itl=distribution(itl for result in good for itl in result.itls),
        duration=distribution(result.duration for result in good),
    )

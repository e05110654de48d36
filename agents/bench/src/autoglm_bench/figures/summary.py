"""Figures of a run and of its phases. Pure."""

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from autoglm_bench.figures.objectives import Objective, limits
from autoglm_bench.figures.records import CAUSES, Records
from autoglm_bench.figures.stability import consistency, variation
from autoglm_bench.figures.stats import Distribution, distribution


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a run.

    Attributes:
        name: of the phase.
        start: seconds from the start of the load.
        seconds: its length as planned.
    """

    name: str
    start: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Summary:
    """Figures of one phase; latencies are seconds, of successful requests only.

    Attributes:
        name: of the phase.
        seconds: from its start to its planned end, or to the last answer if that is later.
        requests: requests sent in it.
        succeeded: of these, those answered in full.
        late: of these, those sent late: if many, the figures tell of the generator, not of the engine.
        failures: failed requests by cause.
        prompt_tokens, cached_tokens: of the successful requests, as the engine counts them; `None` if it does not.
        output_tokens: tokens of the successful requests.
        inside: successful requests that kept every limit, from their intended time; `None` without an objective.
        distributions: by name: `ttft`, `itl`, `duration` (from sending), `ttftFromDue`, `durationFromDue` (from the
            intended time: a generator that was late cannot hide what its users would have waited), `lateness` and
            `connect`.
        cv: coefficient of variation of the pace; `None` if too little was seen.
        ocs: overall consistency score; `None` if too little was seen.
    """

    name: str
    seconds: float
    requests: int
    succeeded: int
    late: int
    failures: Mapping[str, int]
    prompt_tokens: int | None
    cached_tokens: int | None
    output_tokens: int
    inside: int | None
    distributions: Mapping[str, Distribution | None]
    cv: float | None
    ocs: float | None


def summarise(records: Records, stretches: Sequence[Stretch], objectives: Sequence[Objective]) -> list[Summary]:
    """Return one summary for each phase, in order."""
    rows: list[list[int]] = [[] for _ in records.phases]
    for row, phase in enumerate(records.phase):
        rows[phase].append(row)
    names = {name: index for index, name in enumerate(records.phases)}
    return [
        _summary(records, stretch, rows[names[stretch.name]], records.itls[names[stretch.name]], objectives)
        for stretch in stretches
    ]


def total(records: Records, seconds: float, objectives: Sequence[Objective]) -> Summary:
    """Return the summary of the whole load, called `total`."""
    itls = array("f", chain.from_iterable(records.itls)) if len(records.itls) != 1 else records.itls[0]
    return _summary(records, Stretch("total", 0.0, seconds), range(len(records)), itls, objectives)


def _summary(
    records: Records, stretch: Stretch, rows: Sequence[int], itls: Sequence[float], objectives: Sequence[Objective]
) -> Summary:
    good = [row for row in rows if records.succeeded(row)]
    last = max((records.sent[row] + records.duration[row] for row in good), default=0.0)
    seconds = max(stretch.seconds, last - stretch.start)
    failures = Counter(CAUSES[records.cause[row]].value for row in rows if not records.succeeded(row))
    return Summary(
        name=stretch.name,
        seconds=seconds,
        requests=len(rows),
        succeeded=len(good),
        late=sum(records.late(row) for row in rows),
        failures=failures,
        prompt_tokens=_told(records.prompt_tokens, good),
        cached_tokens=_told(records.cached_tokens, good),
        output_tokens=sum(records.output_tokens[row] for row in good),
        inside=inside(records, good, objectives),
        distributions=_distributions(records, good, rows, itls),
        cv=variation(_paces(records, stretch.start, seconds)),
        ocs=_consistency(records, good, itls),
    )


def _told(column: Sequence[int], rows: Sequence[int]) -> int | None:
    """Return the sum, or `None` unless every request tells."""
    if not rows or any(column[row] < 0 for row in rows):
        return None
    return sum(column[row] for row in rows)


def _distributions(
    records: Records, good: Sequence[int], rows: Sequence[int], itls: Sequence[float]
) -> dict[str, Distribution | None]:
    lateness = {row: max(0.0, records.sent[row] - records.due[row]) for row in rows}
    return {
        "ttft": distribution(records.ttft[row] for row in good),
        "itl": distribution(itls),
        "duration": distribution(records.duration[row] for row in good),
        "ttftFromDue": distribution(records.ttft[row] + lateness[row] for row in good),
        "durationFromDue": distribution(records.duration[row] + lateness[row] for row in good),
        "lateness": distribution(lateness.values()),
        "connect": distribution(records.connect[row] for row in good),
    }


def inside(records: Records, good: Sequence[int], objectives: Sequence[Objective]) -> int | None:
    """Return how many of the successful requests kept every limit; `None` without an objective.

    TTFT and E2E count from the intended time; the ITL of a request is the mean over its tokens, as goodput is defined
    elsewhere, and a single token has none to break.
    """
    if not objectives:
        return None
    wanted = limits(objectives)
    count = 0
    for row in good:
        late = max(0.0, records.sent[row] - records.due[row])
        seen = {"ttft": records.ttft[row] + late, "itl": records.itl[row], "e2e": records.duration[row] + late}
        count += not any(seen[quantity] > limit for quantity, limit in wanted.items())
    return count


def _paces(records: Records, start: float, seconds: float) -> list[float]:
    sums, counts = records.pace_sum, records.pace_count
    span = range(max(0, int(start)), min(len(sums), int(start + seconds) + 1))
    return [sums[second] / counts[second] for second in span if counts[second]]


def _consistency(records: Records, good: Sequence[int], itls: Sequence[float]) -> float | None:
    ordered = sorted(good, key=records.sent.__getitem__)
    return consistency(
        {
            "ttft": [records.ttft[row] for row in ordered],
            "itl": itls,
            "e2e": [records.duration[row] for row in ordered],
        }
    )

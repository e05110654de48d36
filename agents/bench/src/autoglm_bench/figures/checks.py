"""Whether a run held its objectives, and whether its figures can be believed. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from autoglm_bench.figures.objectives import Objective
from autoglm_bench.figures.summary import Summary
from autoglm_bench.words import milliseconds

#: Which distribution an objective is judged by. TTFT and E2E from the intended time of sending.
JUDGED: Final = {"ttft": "ttftFromDue", "itl": "itl", "e2e": "durationFromDue"}
#: Above this share of late requests the figures tell of the generator.
LATE_SHARE: Final = 0.01
#: Above this share of failed requests no objective is held, whatever the latencies of the others.
FAILED_SHARE: Final = 0.01


@dataclass(frozen=True, slots=True)
class Check:
    """One objective and what was measured.

    Attributes:
        objective: the limit.
        seconds: the measured percentile; `None` if no request succeeded.
    """

    objective: Objective
    seconds: float | None

    @property
    def held(self) -> bool:
        """Whether the objective was met."""
        return self.seconds is not None and self.seconds <= self.objective.seconds

    @property
    def sentence(self) -> str:
        """What was measured, against what."""
        limit = milliseconds(self.objective.seconds)
        if self.seconds is None:
            return f"{self.objective.name} is not known (limit {limit}): no request succeeded"
        return f"{self.objective.name} is {milliseconds(self.seconds)}, limit {limit}"


def check(summary: Summary, objectives: Sequence[Objective]) -> list[Check]:
    """Return what was measured for each objective."""
    found = []
    for objective in objectives:
        seen = summary.distributions[JUDGED[objective.quantity]]
        found.append(Check(objective, seen.percentiles[objective.percentile] if seen else None))
    return found


def held(summary: Summary, objectives: Sequence[Objective]) -> tuple[bool, str]:
    """Return whether a load held its objectives, and why or why not in one sentence."""
    if not summary.requests:
        return False, "no request was sent"
    failed = summary.requests - summary.succeeded
    if failed > FAILED_SHARE * summary.requests:
        causes = ", ".join(f"{count} {cause}" for cause, count in summary.failures.items())
        return False, f"{failed} of {summary.requests} requests failed ({causes})"
    checks = check(summary, objectives)
    broken = [one.sentence for one in checks if not one.held]
    return not broken, "; ".join(broken or [one.sentence for one in checks])


def too_late(summary: Summary) -> bool:
    """Whether so many requests were late that the figures tell of the generator."""
    return summary.late > LATE_SHARE * max(1, summary.requests)


@dataclass(frozen=True, slots=True)
class LittlesLaw:
    """The cross-check QPS = concurrency / latency.

    Attributes:
        concurrency: mean number of requests under way, counted beside the latencies.
        latency: mean seconds of a request.
        expected: requests a second that follow.
        measured: requests a second that ended.
    """

    concurrency: float
    latency: float
    expected: float
    measured: float

    @property
    def difference(self) -> float:
        """Of the measured rate from the expected, relative."""
        return self.measured / self.expected - 1


def littles_law(under_way_seconds: float, elapsed: float, latencies: Sequence[float]) -> LittlesLaw | None:
    """Return the cross-check; `None` if nothing ended.

    Args:
        under_way_seconds: integral of the number of requests under way over time.
        elapsed: seconds from the start to the end.
        latencies: of all requests that ended, failed ones too.
    """
    if not latencies or elapsed <= 0 or under_way_seconds <= 0:
        return None
    mean = sum(latencies) / len(latencies)
    concurrency = under_way_seconds / elapsed
    return LittlesLaw(concurrency, mean, concurrency / mean, len(latencies) / elapsed) if mean > 0 else None

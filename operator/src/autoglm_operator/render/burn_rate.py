"""Multi-window, multi-burn-rate alerts on objectives: one generator, for one deployment or for all of them.

The objective is a 99th percentile, so that one event in a hundred may miss it: that is the error budget. A rule fires
when a long window shows that the budget is being used up much too fast, and a short one that it still is. Windows and
factors are those of "Alerting on SLOs" in Google's SRE workbook, for a budget of 30 days.

Both replicas of the autoscaler count the same events: rates are averaged over them, which leaves shares as they are and
counts no event twice.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from autoglm_operator.slo_metrics import AVAILABILITY, ITL, SLO_GOOD, SLO_REQUESTS, TTFT

Rule = dict[str, Any]

#: Share of the events that may miss a P99.
BUDGET: Final = 0.01
PERIOD_DAYS: Final = 30
CRITICAL: Final = "critical"
WARNING: Final = "warning"
_LABELS: Final = "namespace, name, objective"


@dataclass(frozen=True, slots=True)
class Burn:
    """One pair of windows.

    Attributes:
        factor: times the rate at which the budget lasts exactly its period.
        long: window that shows that it matters.
        short: window that shows that it goes on.
    """

    factor: float
    long: str
    short: str


@dataclass(frozen=True, slots=True)
class Level:
    """What wakes somebody, and what waits until the morning.

    Attributes:
        severity: of the alert.
        hold: `for` of the rule.
        burns: any of them fires.
    """

    severity: str
    hold: str
    burns: tuple[Burn, ...]

    @property
    def days(self) -> float:
        """Return how long the budget lasts at the slowest of the rates."""
        return PERIOD_DAYS / min(burn.factor for burn in self.burns)


#: Why `hold` is as it is, as the end of a sentence.
HOLD_REASON: Final = "the windows keep peaks out; a little more keeps out a single late scrape"
LEVELS: Final = (
    Level(CRITICAL, "2m", (Burn(14.4, "1h", "5m"), Burn(6, "6h", "30m"))),
    Level(WARNING, "15m", (Burn(3, "1d", "2h"), Burn(1, "3d", "6h"))),
)
#: A window that is as long as the rates themselves.
_RATE_WINDOW: Final = "5m"


@dataclass(frozen=True, slots=True)
class Objective:
    """One objective and its alert.

    Attributes:
        name: value of the label `objective`.
        alert: name of the alert.
        missed: what the events that missed it are, for the start of a sentence.
        promise: what the objective says, where a rule does not know its number.
        summary: one constant line.
        least: events that must have missed it within the long window. A handful is chance, not a trend; tokens come
            in hundreds.
    """

    name: str
    alert: str
    missed: str
    promise: str
    summary: str
    least: int


OBJECTIVES: Final = (
    Objective(
        TTFT,
        "AutoGLMFirstTokenBudgetBurn",
        "of the first tokens came later than the objective",
        "P99 of the time to first token",
        "Too many first tokens come later than the objective.",
        10,
    ),
    Objective(
        ITL,
        "AutoGLMTokenPaceBudgetBurn",
        "of the tokens came further apart than the objective",
        "P99 of the inter-token latency",
        "Too many tokens come further apart than the objective.",
        1000,
    ),
    Objective(
        AVAILABILITY,
        "AutoGLMAvailabilityBudgetBurn",
        "of the requests failed",
        "99% of the requests succeed",
        "Too many requests fail.",
        10,
    ),
)


@dataclass(frozen=True, slots=True)
class Source:
    """Where rules take the rates of events from.

    Attributes:
        requests: expression for the events each second.
        errors: expression for those that missed the objective.
        step_seconds: between two values of them in a window.
    """

    requests: str
    errors: str
    step_seconds: int

    @property
    def is_recorded(self) -> bool:
        """Whether the rates are series, and not expressions."""
        return self.requests == RECORDED.requests

    def sum_over(self, expression: str, selector: str, window: str) -> str:
        """Return the sum of the values of a rate in a window."""
        if self.is_recorded:
            return f"sum_over_time({expression}{selector}[{window}])"
        return f"sum_over_time({expression}[{window}:{self.step_seconds}s])"

    def share(self, selector: str, window: str) -> str:
        """Return the share of the events of a window that missed the objective; nothing where there were no events."""
        if window == _RATE_WINDOW:
            at = selector if self.is_recorded else ""
            return f"{self.errors}{at} / ({self.requests}{at} > 0)"
        errors, requests = (self.sum_over(text, selector, window) for text in (self.errors, self.requests))
        return f"{errors} / ({requests} > 0)"


#: Rates as the recording rules below keep them.
RECORDED: Final = Source("autoglm:slo_requests:rate5m", "autoglm:slo_errors:rate5m", 60)
#: `interval` of the group: the step of its series.
INTERVAL: Final = f"{RECORDED.step_seconds}s"


def _rates(matchers: str) -> tuple[str, str]:
    """Return the expressions for events and for missed events each second, of every deployment and objective."""
    requests = f"avg by ({_LABELS}) (rate({SLO_REQUESTS.name}{{{matchers}}}[{_RATE_WINDOW}]))"
    good = f"avg by ({_LABELS}) (rate({SLO_GOOD.name}{{{matchers}}}[{_RATE_WINDOW}]))"
    # Where no event was ever good there is no series of good ones; where scrapes differ there may be more of them.
    return requests, f"clamp_min({requests} - ({good} or 0 * {requests}), 0)"


def inline(objective: Objective) -> Source:
    """Return the rates of one objective as expressions, for what evaluates alerts without recording rules.

    The step is as long as the window of the rate: each event is counted once.
    """
    requests, errors = _rates(f'objective="{objective.name}"')
    return Source(f"({requests})", f"({errors})", 300)


def recordings(matchers: str) -> list[Rule]:
    """Return the rules that record the rates of the series that match `matchers`, such as `namespace="a"`."""
    requests, errors = _rates(matchers)
    return [{"record": RECORDED.requests, "expr": requests}, {"record": RECORDED.errors, "expr": errors}]


def condition(source: Source, level: Level, selector: str, least: int) -> str:
    """Return the expression of a rule: the share of the long window, where the windows of a pair both burn.

    Args:
        source: of the rates.
        level: how fast.
        selector: of the recorded series, in braces.
        least: events that must have missed the objective within the long window.
    """
    pairs = []
    for burn in level.burns:
        limit = f"{burn.factor * BUDGET:g}"
        missed = f"{source.sum_over(source.errors, selector, burn.long)} * {source.step_seconds}"
        pairs.append(
            f"({source.share(selector, burn.long)} > {limit} and {source.share(selector, burn.short)} > {limit} "
            f"and {missed} >= {least})"
        )
    return " or ".join(pairs)


def description(objective: Objective, level: Level, promise: str) -> str:
    """Return the text of an alert: what happens, with its numbers, and what it means for the budget."""
    windows = " or ".join(burn.long for burn in level.burns)
    return (
        "AutoGLMDeployment {{ $labels.namespace }}/{{ $labels.name }}: {{ $value | humanizePercentage }} "
        f"{objective.missed} within {windows}; {BUDGET:.0%} may ({promise}). At this rate the error budget of "
        f"{PERIOD_DAYS} days is used up in {level.days:g} days or less."
    )


def alerts(
    promises: Mapping[str, str], matchers: str, annotate: "Annotate", source: Source | None = None
) -> list[Rule]:
    """Return the alerting rules on objectives.

    Args:
        promises: what each objective that is judged says, by its name.
        matchers: that select the deployment's series, such as `namespace="a", name="b"`; empty for all.
        annotate: makes the annotations.
        source: of the rates; those that `recordings` keeps if left out.
    """
    rules = []
    for objective in (item for item in OBJECTIVES if item.name in promises):
        selector = "{" + ", ".join(_parts(matchers, f'objective="{objective.name}"')) + "}"
        for level in LEVELS:
            text = description(objective, level, promises[objective.name])
            rules.append(
                {
                    "alert": objective.alert,
                    "expr": condition(source or RECORDED, level, selector, objective.least),
                    "for": level.hold,
                    "labels": {"severity": level.severity},
                    "annotations": annotate.annotations(objective.alert, objective.summary, text),
                }
            )
    return rules


def _parts(*matchers: str) -> Iterable[str]:
    return (item for item in matchers if item)


@dataclass(frozen=True, slots=True)
class Annotate:
    """Makes annotations.

    Attributes:
        runbooks: URL of the folder of the runbooks.
        dashboard: uid of the dashboard that shows deployments.
    """

    runbooks: str
    dashboard: str

    def annotations(self, alert: str, summary: str, text: str) -> dict[str, str]:
        """Return the annotations of an alert about one deployment."""
        return {
            "summary": summary,
            "description": text,
            "runbook_url": f"{self.runbooks.rstrip('/')}/{alert}.md",
            "dashboard": (
                f"/d/{self.dashboard}?var-namespace={{{{ $labels.namespace }}}}&var-deployment={{{{ $labels.name }}}}"
            ),
        }

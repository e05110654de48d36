"""Kinds of panels that several dashboards have, and the colours that mean the same on all of them."""

from collections.abc import Mapping, Sequence
from typing import Final

from autoglm_dashboards.panels import GREEN, GREY, NEUTRAL, ORANGE, PURPLE, RED, Judgement, Panel, Target
from autoglm_dashboards.promql import Metric, aggregate, increase, rate
from autoglm_dashboards.scope import BY_DEPLOYMENT, DEPLOYMENT
from autoglm_operator import slo_metrics
from autoglm_operator.render.burn_rate import BUDGET

#: Colours of quantiles and bounds, by what a legend begins with.
QUANTILES: Final = {"/^P99/": PURPLE, "/^P50/": NEUTRAL, "/^objective/": RED}
RESULTS: Final = {"success": GREEN, "waiting": NEUTRAL, "terminal": ORANGE, "error": RED}
CAUSES: Final = {
    "compute": "dark-blue",
    "memory-bandwidth": PURPLE,
    "kv-cache": "dark-orange",
    "queue": RED,
    "network": "yellow",
    "client": "light-blue",
    "idle": GREY,
}
BY_OBJECTIVE: Final = (*BY_DEPLOYMENT, "objective")


def tile(
    title: str,
    description: str,
    unit: str,
    expression: str,
    judgement: Judgement | None = None,
    *,
    decimals: int | None = None,
) -> Panel:
    """Return one number."""
    targets = (Target(expression, title),)
    return Panel(title, description, "stat", unit, targets, judgement, width=4, height=4, decimals=decimals)


def graph(
    title: str,
    description: str,
    unit: str,
    queries: Mapping[str, str],
    *,
    judgement: Judgement | None = None,
    width: int = 12,
    maximum: float | None = None,
    stacked: bool = False,
    decimals: int | None = None,
    colors: Mapping[str, str] | None = None,
    dashed: Sequence[str] = (),
    exemplars: bool = False,
    points: int | None = None,
) -> Panel:
    """Return lines over time; `queries` holds each expression by the legend of its series."""
    targets = tuple(Target(query, legend, exemplars=exemplars) for legend, query in queries.items())
    return Panel(
        title,
        description,
        "timeseries",
        unit,
        targets,
        judgement=judgement,
        width=width,
        maximum=maximum,
        stacked=stacked,
        decimals=decimals,
        colors=colors or {},
        dashed=dashed,
        points=points,
    )


def kept(window: str, by: Sequence[str] = BY_OBJECTIVE, more: str = "") -> str:
    """Return the share of the events that kept their objective; both replicas of the autoscaler count the same."""
    matchers = f"{DEPLOYMENT}, {more}" if more else DEPLOYMENT
    good, judged = (
        aggregate("sum", increase(metric, matchers, window), by)
        for metric in (slo_metrics.SLO_GOOD, slo_metrics.SLO_REQUESTS)
    )
    return f"{good} / {judged}"


def budget_left(share: str) -> str:
    """Return which part of the error budget is left, when `share` of the events kept their objective."""
    return f"clamp_min(1 - (1 - {share}) / {BUDGET:g}, 0)"


def burn_rate() -> str:
    """Return how many times too fast the error budget is used: at 1 it lasts exactly its period."""
    good, judged = (
        aggregate("sum", rate(metric, DEPLOYMENT), BY_OBJECTIVE)
        for metric in (slo_metrics.SLO_GOOD, slo_metrics.SLO_REQUESTS)
    )
    return f"clamp_min(1 - {good} / {judged}, 0) / {BUDGET:g}"


def names(*metrics: Metric) -> str:
    """Return the last sentence of a description: which metrics are shown."""
    return f"{'Metric' if len(metrics) == 1 else 'Metrics'}: {', '.join(metric.name for metric in metrics)}."

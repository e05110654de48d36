"""PromQL from metrics of the catalogues: no metric's name is written in a panel."""

from collections.abc import Iterable
from typing import Final, Protocol

#: The window that Grafana fits to the panel's resolution and the scrape interval.
RATE_INTERVAL: Final = "$__rate_interval"
#: The time range of the dashboard.
RANGE: Final = "$__range"


class Metric(Protocol):
    """What the catalogues of operator, autoscaler, agent and engines have in common."""

    @property
    def name(self) -> str:
        """Name under which it is exposed."""

    @property
    def type(self) -> str:
        """`counter`, `gauge` or `histogram`."""


def select(metric: Metric, matchers: str, suffix: str = "") -> str:
    """Return the selector of the series of `metric`.

    Args:
        metric: from a catalogue.
        matchers: label matchers, such as `namespace=~"$namespace"`.
        suffix: `_bucket`, `_count` or `_sum` of a histogram.

    Raises:
        ValueError: a suffix on what is no histogram, or a histogram without one.
    """
    if bool(suffix) != (metric.type == "histogram"):
        expected = "_bucket, _count or _sum" if metric.type == "histogram" else "none"
        raise ValueError(f"metric {metric.name}: suffix {suffix!r} of a {metric.type}; expected {expected}")
    return f"{metric.name}{suffix}{{{matchers}}}"


def rate(metric: Metric, matchers: str, suffix: str = "") -> str:
    """Return the increase per second of a counter, or of a part of a histogram."""
    return f"rate({select(metric, matchers, suffix)}[{RATE_INTERVAL}])"


def increase(metric: Metric, matchers: str, window: str = RATE_INTERVAL) -> str:
    """Return how much a counter grew within the window."""
    return f"increase({select(metric, matchers)}[{window}])"


def over_time(function: str, metric: Metric, matchers: str) -> str:
    """Return a gauge over the time range of the dashboard, by a function such as `avg_over_time`."""
    return f"{function}({select(metric, matchers)}[{RANGE}])"


def aggregate(operator: str, expression: str, by: Iterable[str] = ()) -> str:
    """Return `expression` aggregated by `operator`, one series for each value of the labels `by`."""
    labels = ", ".join(by)
    return f"{operator} by ({labels}) ({expression})" if labels else f"{operator}({expression})"


def quantile(q: float, metric: Metric, matchers: str, by: Iterable[str] = ()) -> str:
    """Return the `q`-quantile of a histogram, pods taken together before it is computed."""
    buckets = aggregate("sum", rate(metric, matchers, "_bucket"), ("le", *by))
    return f"histogram_quantile({q:g}, {buckets})"


def first_of(*expressions: str) -> str:
    """Return the first expression, and from the next ones the series that those before do not have."""
    return " or ".join(expressions)


def share(part: str, whole: str) -> str:
    """Return `part` of `whole`: 0 where the part has no series, NaN ("no traffic") where the whole is 0."""
    return f"({part} or 0 * {whole}) / {whole}"


def or_zero(expression: str) -> str:
    """Return an expression without labels, 0 where it has no series."""
    return f"({expression} or vector(0))"

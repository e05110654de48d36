"""Operator and autoscaler themselves: reconciles, queue, API calls, leaders, traces."""

from typing import Final

from autoglm_dashboards import layout, scope
from autoglm_dashboards.kinds import RESULTS, graph, names, tile
from autoglm_dashboards.layout import Section
from autoglm_dashboards.panels import GREEN, NEUTRAL, PURPLE, RED, Json, Judgement, Panel, Text
from autoglm_dashboards.promql import Metric, aggregate, or_zero, quantile, rate, select
from autoglm_dashboards.scope import PROCESS
from autoglm_operator import metrics as operator
from autoglm_operator.autoscaler import metrics as autoscaler

_QUANTILES: Final = {"P99": PURPLE, "P50": NEUTRAL}


def _leader(title: str, metric: Metric) -> Panel:
    return tile(
        title,
        f"Replicas that hold the Lease and so may write: exactly one. Without one nothing is written. {names(metric)}",
        "short",
        aggregate("sum", select(metric, PROCESS)),
        Judgement(warning=1, good="high"),
    )


def _durations(title: str, meaning: str, metric: Metric) -> Panel:
    return graph(
        title,
        f"{meaning} {names(metric)}",
        "s",
        {f"P{q * 100:.0f}": quantile(q, metric, PROCESS) for q in (0.99, 0.5)},
        colors=_QUANTILES,
        exemplars=True,
    )


def _requests(title: str, metric: Metric) -> Panel:
    return graph(
        title,
        "Requests each second by status code; 0 means no answer, 409 a conflict that is tried again, 429 that the API "
        f"server sheds load. {names(metric)}",
        "reqps",
        {"{{code}}": aggregate("sum", rate(metric, PROCESS), ("code",))},
        stacked=True,
    )


def _exports(result: str) -> str:
    return " + ".join(
        or_zero(aggregate("sum", rate(metric, f"{PROCESS}, {result}")))
        for metric in (operator.TRACE_EXPORTS, autoscaler.TRACE_EXPORTS)
    )


_RECONCILED: Final = aggregate("sum", rate(operator.RECONCILE_TOTAL, PROCESS))
_FAILED: Final = or_zero(aggregate("sum", rate(operator.RECONCILE_TOTAL, f'{PROCESS}, result="error"')))

_TILES: Final = (
    _leader("Operator leader", operator.LEADER),
    _leader("Autoscaler leader", autoscaler.LEADER),
    tile(
        "Failing reconciles",
        "Share of the reconciles that ended with an error and are tried again; those that wait for something outside "
        f"are not in it. {names(operator.RECONCILE_TOTAL)}",
        "percentunit",
        f"{_FAILED} / {_RECONCILED}",
        Judgement(warning=0.05, critical=0.25),
    ),
    tile(
        "Oldest waiting reconcile",
        "How long the deployment that waits longest has waited. Growing means that the operator does not keep up. "
        + names(operator.QUEUE_AGE),
        "s",
        aggregate("max", select(operator.QUEUE_AGE, PROCESS)),
        Judgement(warning=5, critical=60),
    ),
    tile(
        "Certificate valid for",
        "Time until the serving certificate of the metrics API expires; it is renewed long before. Negative before one "
        f"is loaded, shown as 0. {names(autoscaler.CERTIFICATE_EXPIRY)}",
        "s",
        f"clamp_min({aggregate('min', select(autoscaler.CERTIFICATE_EXPIRY, PROCESS))} - time(), 0)",
        Judgement(critical=24 * 3600, warning=3 * 24 * 3600, good="high"),
    ),
    tile(
        "Spans lost",
        "Spans each second that no collector took, or that were dropped because the queue was full; 0 also without a "
        f"collector. Nothing else waits for them. {names(operator.TRACE_EXPORTS, autoscaler.TRACE_EXPORTS)}",
        "ops",
        _exports('result!="ok"'),
        Judgement(warning=0.1),
    ),
)

_RECONCILES: Final = (
    graph(
        "Reconciles",
        "Reconciles each second by result. waiting: a condition outside must change first. terminal: the spec must "
        f"change. error: tried again. {names(operator.RECONCILE_TOTAL)}",
        "ops",
        {"{{result}}": aggregate("sum", rate(operator.RECONCILE_TOTAL, PROCESS), ("result",))},
        stacked=True,
        colors=RESULTS,
    ),
    _durations("Reconcile duration", "Time of one reconcile, its API calls included.", operator.RECONCILE_SECONDS),
    graph(
        "Queue",
        "Deployments that wait for a reconcile, and those put into the queue and tried again each second. "
        + names(operator.QUEUE_DEPTH, operator.QUEUE_ADDS, operator.QUEUE_RETRIES),
        "short",
        {
            "waiting": aggregate("sum", select(operator.QUEUE_DEPTH, PROCESS)),
            "added each second": aggregate("sum", rate(operator.QUEUE_ADDS, PROCESS)),
            "tried again each second": aggregate("sum", rate(operator.QUEUE_RETRIES, PROCESS)),
        },
        colors={"waiting": NEUTRAL, "added each second": GREEN, "tried again each second": RED},
    ),
    _durations(
        "Time in the queue",
        "How long a deployment waited before its reconcile began; the reconcile is not in it.",
        operator.QUEUE_SECONDS,
    ),
)

_CALLS: Final = (
    _requests("Requests of the operator to the Kubernetes API", operator.REQUESTS_TOTAL),
    _durations(
        "Duration of the operator's requests",
        "Time of one request to the Kubernetes API; watches are not in it.",
        operator.REQUEST_SECONDS,
    ),
    _requests("Requests of the autoscaler to the Kubernetes API", autoscaler.REQUESTS_TOTAL),
    graph(
        "Writes",
        "Objects applied or deleted each second by kind. A cluster at rest has none: a steady rate means "
        "that something "
        f"else changes the same objects. {names(operator.WRITES_TOTAL)}",
        "wps",
        {"{{verb}} {{kind}}": aggregate("sum", rate(operator.WRITES_TOTAL, PROCESS), ("kind", "verb"))},
    ),
)

_SERVED: Final = (
    graph(
        "Requests to the metrics API",
        "Requests of the HPA controller and others each second by status code. 503: no value that can be trusted, the "
        f"HPA waits. 401, 403: the caller is unknown or not allowed. {names(autoscaler.API_REQUESTS_TOTAL)}",
        "reqps",
        {"{{code}}": aggregate("sum", rate(autoscaler.API_REQUESTS_TOTAL, PROCESS), ("code",))},
        stacked=True,
    ),
    _durations(
        "Metrics API duration",
        "Time of one request to the metrics API, the question whether the caller may ask included.",
        autoscaler.API_SECONDS,
    ),
    graph(
        "Trace exports",
        "Spans each second that a collector took, and those it did not or that were dropped; both 0 without "
        "a collector. " + names(operator.TRACE_EXPORTS, autoscaler.TRACE_EXPORTS),
        "ops",
        {"exported": _exports('result="ok"'), "lost": _exports('result!="ok"')},
        colors={"exported": GREEN, "lost": RED},
    ),
    graph(
        "Versions",
        "Replicas of operator and autoscaler by version; two versions last only as long as an update. "
        + names(operator.BUILD_INFO, autoscaler.BUILD_INFO),
        "short",
        {
            "operator {{version}}": aggregate("count", select(operator.BUILD_INFO, PROCESS), ("version",)),
            "autoscaler {{version}}": aggregate("count", select(autoscaler.BUILD_INFO, PROCESS), ("version",)),
        },
        decimals=0,
    ),
    Text(
        "Webhooks",
        "Why this dashboard has no panel about admission webhooks.",
        "The operator has **no admission webhooks**: the API server itself checks each AutoGLMDeployment by "
        "the schema and "
        "the rules of its CustomResourceDefinition. There is nothing here that could be down or slow.",
    ),
)


def dashboard() -> Json:
    """Return the dashboard of operator and autoscaler."""
    return layout.dashboard(
        "autoglm-operator",
        "AutoGLM / Operator",
        "Does the machinery work? Reconciles and their queue, calls of the Kubernetes API, leaders, the "
        "metrics API, and "
        "traces. Job and instance choose one release or one replica.",
        scope.variables(processes=True),
        (
            Section("Does it work?", _TILES),
            Section("Do reconciles keep up?", _RECONCILES),
            Section("How does the Kubernetes API answer?", _CALLS),
            Section("What does it serve and send?", _SERVED),
        ),
    )

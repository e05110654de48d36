"""Does the operator work?"""

from typing import Final

from autoglm_dashboards.panels import GREEN, NEUTRAL, ORANGE, RED, Judgement, Panel, Target
from autoglm_dashboards.promql import aggregate, quantile, rate, select
from autoglm_dashboards.scope import PROCESS
from autoglm_operator import metrics as operator
from autoglm_operator.autoscaler import metrics as autoscaler

PANELS: Final = (
    Panel(
        "Reconciles",
        "Reconciles each second by result. waiting: a condition outside must change first. terminal: the spec must "
        "change. error: tried again. Metric: autoglm_operator_reconcile_total.",
        "timeseries",
        "ops",
        (Target(aggregate("sum", rate(operator.RECONCILE_TOTAL, PROCESS), ("result",)), "{{result}}"),),
        stacked=True,
        colors={"success": GREEN, "waiting": NEUTRAL, "terminal": ORANGE, "error": RED},
    ),
    Panel(
        "Reconcile duration",
        "Time of one reconcile, its API calls included. Metric: autoglm_operator_reconcile_duration_seconds.",
        "timeseries",
        "s",
        tuple(
            Target(quantile(q, operator.RECONCILE_SECONDS, PROCESS), f"P{q * 100:.0f}", exemplars=True)
            for q in (0.99, 0.5)
        ),
    ),
    Panel(
        "Oldest waiting reconcile",
        "How long the deployment that waits longest has waited. Growing means that the operator does not keep up. "
        "Metric: autoglm_operator_workqueue_oldest_seconds.",
        "timeseries",
        "s",
        (Target(aggregate("max", select(operator.QUEUE_AGE, PROCESS)), "oldest"),),
        judgement=Judgement(warning=5, critical=60),
    ),
    Panel(
        "Requests to the Kubernetes API",
        "Requests each second by status code; 0 means no answer, 409 a conflict that is tried again, 429 that the "
        "API server sheds load. Metric: autoglm_operator_api_requests_total.",
        "timeseries",
        "reqps",
        (Target(aggregate("sum", rate(operator.REQUESTS_TOTAL, PROCESS), ("code",)), "{{code}}"),),
        stacked=True,
    ),
    Panel(
        "Writes",
        "Objects applied or deleted each second by kind. A cluster at rest has none: a steady rate means that "
        "something else changes the same objects. Metric: autoglm_operator_applied_objects_total.",
        "timeseries",
        "wps",
        (Target(aggregate("sum", rate(operator.WRITES_TOTAL, PROCESS), ("kind", "verb")), "{{verb}} {{kind}}"),),
    ),
    Panel(
        "Leaders",
        "Replicas that hold the Lease of their process and so may write: exactly one each. "
        f"Metrics: {operator.LEADER.name}, {autoscaler.LEADER.name}.",
        "timeseries",
        "short",
        (
            Target(aggregate("sum", select(operator.LEADER, PROCESS)), "operator"),
            Target(aggregate("sum", select(autoscaler.LEADER, PROCESS)), "autoscaler"),
        ),
        decimals=0,
    ),
)

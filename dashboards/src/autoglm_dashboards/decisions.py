"""Why did it scale, and on what evidence?"""

from typing import Final

from autoglm_dashboards.panels import Judgement, Panel, Target
from autoglm_dashboards.promql import aggregate, increase, quantile, rate, select
from autoglm_dashboards.scope import PROCESS
from autoglm_operator.autoscaler import metrics as autoscaler

_FAILED: Final = f'{PROCESS}, result!="ok"'

PANELS: Final = (
    Panel(
        "Decisions by cause",
        "Changes of the replicas wanted within one step of the graph, by reason and direction; each replica of the "
        f"autoscaler decides for itself, the busier one is shown. Metric: {autoscaler.DECISIONS_TOTAL.name}.",
        "timeseries",
        "short",
        (
            Target(
                aggregate("max", increase(autoscaler.DECISIONS_TOTAL, PROCESS), ("reason", "direction")),
                "{{direction}}: {{reason}}",
            ),
        ),
        stacked=True,
    ),
    Panel(
        "Failed scrapes",
        "Scrapes of engines and agents each second that gave no sample, by why. A deployment with a silent pod is "
        f"never scaled down. Metric: {autoscaler.SCRAPES_TOTAL.name}.",
        "timeseries",
        "ops",
        (
            Target(
                aggregate("sum", rate(autoscaler.SCRAPES_TOTAL, _FAILED), ("target", "result")),
                "{{target}}: {{result}}",
            ),
        ),
        stacked=True,
    ),
    Panel(
        "Age of the last look",
        "Time since the autoscaler last began to look at the engines, by pod. It looks every few seconds; once it is "
        f"late, its values are withheld and nothing scales. Metric: {autoscaler.LAST_TICK.name}.",
        "timeseries",
        "s",
        (Target(f"time() - {aggregate('max', select(autoscaler.LAST_TICK, PROCESS), ('pod',))}", "{{pod}}"),),
        judgement=Judgement(warning=15, critical=60),
    ),
    Panel(
        "Duration of a look",
        "Time to scrape all pods of a deployment and to decide. Longer than the scrape interval: the autoscaler does "
        f"not keep up. Metric: {autoscaler.TICK_SECONDS.name}.",
        "timeseries",
        "s",
        tuple(
            Target(quantile(q, autoscaler.TICK_SECONDS, PROCESS), f"P{q * 100:.0f}", exemplars=True)
            for q in (0.99, 0.5)
        ),
    ),
    Panel(
        "Requests to the metrics API",
        "Requests of the HPA controller and others each second by status code. 503: no value that can be trusted, "
        f"the HPA waits. 401, 403: the caller is unknown or not allowed. Metric: {autoscaler.API_REQUESTS_TOTAL.name}.",
        "timeseries",
        "reqps",
        (Target(aggregate("sum", rate(autoscaler.API_REQUESTS_TOTAL, PROCESS), ("code",)), "{{code}}"),),
        stacked=True,
    ),
    Panel(
        "Metrics API duration",
        "Time of one request to the metrics API, the question whether the caller may ask included. "
        f"Metric: {autoscaler.API_SECONDS.name}.",
        "timeseries",
        "s",
        tuple(
            Target(quantile(q, autoscaler.API_SECONDS, PROCESS), f"P{q * 100:.0f}", exemplars=True) for q in (0.99, 0.5)
        ),
    ),
)

"""Is there room for the users?"""

from typing import Final

from autoglm_agent import metrics as agent
from autoglm_dashboards import foreign
from autoglm_dashboards.panels import Judgement, Panel, Target
from autoglm_dashboards.promql import aggregate, rate, select
from autoglm_dashboards.scope import (
    BY_DEPLOYMENT,
    BY_ENGINE,
    BY_POD,
    DEPLOYMENT,
    DEPLOYMENT_NAME,
    ENGINE,
    ENGINE_NAME,
)
from autoglm_operator import metrics as operator
from autoglm_operator.api import signals
from autoglm_operator.autoscaler import metrics as autoscaler

_USED: Final = aggregate("sum", select(agent.MEMORY_USED, ENGINE), BY_POD)
_TOTAL: Final = aggregate("sum", select(agent.MEMORY_TOTAL, ENGINE), BY_POD)
_DESIRED: Final = f'{DEPLOYMENT}, metric="{signals.DESIRED_REPLICAS.name}"'

PANELS: Final = (
    Panel(
        "Replicas",
        "Desired: what the autoscaler asks for. Wanted: what the spec says. Existing: pods there are. Ready: pods that "
        f"serve. Metrics: {autoscaler.SIGNAL.name}, {operator.REPLICAS.name}.",
        "timeseries",
        "short",
        (
            Target(aggregate("max", select(autoscaler.SIGNAL, _DESIRED), BY_DEPLOYMENT), f"desired {DEPLOYMENT_NAME}"),
            Target(
                aggregate("max", select(operator.REPLICAS, DEPLOYMENT), (*BY_DEPLOYMENT, "state")),
                f"{{{{state}}}} {DEPLOYMENT_NAME}",
            ),
        ),
        decimals=0,
    ),
    Panel(
        "KV cache in use",
        "Share of the KV cache in use, by pod. Above 90 % requests wait for room; when it is full, running ones are "
        "put back and begun again.",
        "timeseries",
        "percentunit",
        tuple(
            Target(aggregate("max", select(metric, ENGINE), BY_POD), "{{pod}}")
            for metric in (foreign.VLLM_KV_CACHE, foreign.SGLANG_KV_CACHE)
        ),
        judgement=Judgement(warning=0.9, critical=0.98),
        maximum=1,
    ),
    Panel(
        "Requests put back",
        "Requests each second that lost their place in the batch because the KV cache was full, and are computed "
        "again. More than none for long: the batch is too large or replicas are missing.",
        "timeseries",
        "reqps",
        tuple(
            Target(aggregate("sum", rate(metric, ENGINE), BY_ENGINE), ENGINE_NAME)
            for metric in (foreign.VLLM_PUT_BACK, foreign.SGLANG_PUT_BACK)
        ),
    ),
    Panel(
        "GPU memory in use",
        "Share of the GPU memory in use, by pod. Engines reserve theirs at start: this shows that memory is held, "
        "not that it is busy. Metric: autoglm_gpu_memory_used_bytes.",
        "timeseries",
        "percentunit",
        (Target(f"{_USED} / {_TOTAL}", "{{pod}}"),),
        maximum=1,
    ),
    Panel(
        "GPU utilization",
        "Share of the time in which any kernel ran, by pod. Not how much of the GPU worked: one small kernel counts "
        "in full. Metric: autoglm_gpu_utilization_ratio.",
        "timeseries",
        "percentunit",
        (Target(aggregate("avg", select(agent.UTILIZATION, ENGINE), BY_POD), "{{pod}}"),),
        maximum=1,
    ),
)

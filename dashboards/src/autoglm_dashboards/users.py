"""Are users well? Tiles first, then how it came about."""

from typing import Final

from autoglm_agent import metrics as agent
from autoglm_dashboards import foreign
from autoglm_dashboards.panels import GREEN, NEUTRAL, ORANGE, RED, Judgement, Panel, Target
from autoglm_dashboards.promql import Metric, aggregate, rate, select, share
from autoglm_dashboards.scope import BY_DEPLOYMENT, DEPLOYMENT, ENGINE, ENGINE_NAME, latency, total
from autoglm_operator import metrics as operator

_READY: Final = aggregate(
    "max", select(operator.CONDITION, f'{DEPLOYMENT}, type="Ready", status="True"'), BY_DEPLOYMENT
)
_FAILED: Final = aggregate(
    "sum",
    rate(foreign.VLLM_FINISHED, f'{ENGINE}, finished_reason=~"error|abort"')
    + " or "
    + rate(foreign.SGLANG_ABORTED, ENGINE),
)
_FINISHED: Final = aggregate("sum", f"{rate(foreign.VLLM_FINISHED, ENGINE)} or {rate(foreign.SGLANG_FINISHED, ENGINE)}")
_SGLANG_SERVED: Final = (
    f"{aggregate('sum', rate(foreign.SGLANG_FINISHED, ENGINE))} - "
    f"({aggregate('sum', rate(foreign.SGLANG_ABORTED, ENGINE))} or vector(0))"
)


def _tile(title: str, description: str, unit: str, expression: str, judgement: Judgement | None = None) -> Panel:
    return Panel(title, description, "stat", unit, (Target(expression, title),), judgement=judgement, width=4, height=4)


def _latency_panel(title: str, meaning: str, vllm: Metric, sglang: Metric) -> Panel:
    return Panel(
        title,
        f"{meaning} Half of the requests stay under P50, 99 of 100 under P99; pods are taken together before the "
        f"quantile is computed. Metrics: {vllm.name}, {sglang.name}.",
        "timeseries",
        "s",
        tuple(Target(latency(q, vllm, sglang), f"P{q * 100:.0f} {ENGINE_NAME}", exemplars=True) for q in (0.99, 0.5)),
    )


PANELS: Final = (
    _tile(
        "Deployments not ready",
        f"AutoGLMDeployments whose condition Ready is not True. Metric: {operator.CONDITION.name}.",
        "short",
        aggregate("sum", f"1 - {_READY}"),
        Judgement(critical=1),
    ),
    _tile(
        "TTFT P99, worst deployment",
        "Time to first token that 99 % of the requests stay under, in the deployment where it is longest. The engine's "
        "queue is part of it; the network is not.",
        "s",
        aggregate("max", latency(0.99, foreign.VLLM_TTFT, foreign.SGLANG_TTFT)),
    ),
    _tile(
        "ITL P99, worst deployment",
        "Time between two tokens that 99 % of them stay under, in the deployment where it is longest.",
        "s",
        aggregate("max", latency(0.99, foreign.VLLM_ITL, foreign.SGLANG_ITL)),
    ),
    _tile(
        "Requests waiting",
        "Requests that an engine has taken and not begun, all pods together. Whoever waits here sees no token yet.",
        "short",
        aggregate("sum", total(foreign.VLLM_WAITING, foreign.SGLANG_WAITING)),
    ),
    _tile(
        "Failed requests",
        "Share of the finished requests that ended with an error or were aborted, by the client or by a pod that went "
        "away. Requests that no engine accepted are not in it.",
        "percentunit",
        share(_FAILED, _FINISHED),
        Judgement(warning=0.01, critical=0.05),
    ),
    _tile(
        "Engines not answering",
        f"Pods whose agent finds that the engine does not answer GET /health. Metric: {agent.ENGINE_UP.name}.",
        "short",
        aggregate("sum", f"1 - {select(agent.ENGINE_UP, ENGINE)}"),
        Judgement(critical=1),
    ),
    _latency_panel("Time to first token", "From arrival to the first token.", foreign.VLLM_TTFT, foreign.SGLANG_TTFT),
    _latency_panel("Inter-token latency", "From one token to the next.", foreign.VLLM_ITL, foreign.SGLANG_ITL),
    Panel(
        "Requests waiting and running",
        "Waiting: taken by an engine and not begun. Running: in its batch. Pods of a deployment together.",
        "timeseries",
        "short",
        (
            Target(total(foreign.VLLM_WAITING, foreign.SGLANG_WAITING), f"waiting {ENGINE_NAME}"),
            Target(total(foreign.VLLM_RUNNING, foreign.SGLANG_RUNNING), f"running {ENGINE_NAME}"),
        ),
    ),
    Panel(
        "Requests finished",
        "Requests finished each second, by how they ended: stop and length are answers, abort is a client or pod that "
        "went away, error is the engine's fault. SGLang tells only served and abort.",
        "timeseries",
        "reqps",
        (
            Target(aggregate("sum", rate(foreign.VLLM_FINISHED, ENGINE), ("finished_reason",)), "{{finished_reason}}"),
            Target(_SGLANG_SERVED, "served (SGLang)"),
            Target(aggregate("sum", rate(foreign.SGLANG_ABORTED, ENGINE)), "abort (SGLang)"),
        ),
        stacked=True,
        colors={"stop": GREEN, "length": NEUTRAL, "abort": ORANGE, "error": RED},
    ),
)

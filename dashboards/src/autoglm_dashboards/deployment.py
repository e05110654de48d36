"""One deployment: how fast it is, where the time goes, what the caches do, and what limits it."""

from typing import Final

from autoglm_agent import metrics as agent
from autoglm_dashboards import foreign, layout, scope
from autoglm_dashboards.kinds import BY_OBJECTIVE, CAUSES, QUANTILES, budget_left, graph, kept, names, tile
from autoglm_dashboards.layout import Section
from autoglm_dashboards.panels import GREEN, GREY, NEUTRAL, ORANGE, PURPLE, RED, Column, Json, Judgement, Panel, Target
from autoglm_dashboards.promql import RANGE, Metric, aggregate, first_of, rate, select
from autoglm_dashboards.scope import (
    BY_DEPLOYMENT,
    BY_ENGINE,
    BY_POD,
    DEPLOYMENT,
    DEPLOYMENT_NAME,
    ENGINE,
    ENGINE_NAME,
    latency,
    per_deployment,
    summed_rate,
    total,
)
from autoglm_operator import metrics as operator
from autoglm_operator import slo_metrics
from autoglm_operator.autoscaler import metrics as autoscaler
from autoglm_operator.render.burn_rate import BUDGET

_SLO: Final = names(slo_metrics.SLO_REQUESTS, slo_metrics.SLO_GOOD)


def _kept(objective: str, title: str, events: str) -> Panel:
    return tile(
        title,
        f"Share of {events} in the time range that kept the objective, of the deployment where it is least; no data "
        f"where the spec sets none. {_SLO}",
        "percentunit",
        aggregate("min", kept(RANGE, more=f'objective="{objective}"')),
        Judgement(warning=1 - BUDGET, good="high"),
        decimals=2,
    )


_TILES: Final = (
    _kept(slo_metrics.TTFT, "First tokens in time", "the requests"),
    _kept(slo_metrics.ITL, "Tokens in time", "the tokens"),
    _kept(slo_metrics.AVAILABILITY, "Requests answered", "the requests that ended"),
    tile(
        "Error budget left",
        f"Part of the error budget of {BUDGET:.0%} that the time range left over, of the objective where it is least; "
        f"0 once it is spent. {_SLO}",
        "percentunit",
        aggregate("min", budget_left(kept(RANGE, BY_OBJECTIVE))),
        Judgement(warning=0.5, critical=0.1, good="high"),
    ),
    tile(
        "Replicas ready",
        f"Replicas that serve, of all deployments chosen; those that start are not in it. {names(operator.REPLICAS)}",
        "short",
        aggregate("sum", per_deployment(operator.REPLICAS, 'state="ready"')),
    ),
    Panel(
        "Limited by",
        "What limits each deployment, as its condition Bottleneck says; evidence is below. "
        f"{names(autoscaler.BOTTLENECK)}",
        "stat",
        "short",
        (Target(f"{per_deployment(autoscaler.BOTTLENECK, by=('cause',))} == 1", "{{cause}}"),),
        width=4,
        height=4,
        shows="name",
    ),
)


def _latency(title: str, meaning: str, vllm: Metric, sglang: Metric, objective: str) -> Panel:
    return graph(
        title,
        f"{meaning} Half of the events stay under P50, 99 of 100 under P99; pods are taken together before "
        "the quantile "
        f"is computed. The network is not in it. {names(vllm, sglang, operator.OBJECTIVE)}",
        "s",
        {
            f"P99 {ENGINE_NAME}": latency(0.99, vllm, sglang),
            f"P50 {ENGINE_NAME}": latency(0.5, vllm, sglang),
            f"objective {DEPLOYMENT_NAME}": per_deployment(operator.OBJECTIVE, f'objective="{objective}"'),
        },
        colors=QUANTILES,
        dashed=("/^objective/",),
        exemplars=True,
    )


def _mean(metric: Metric) -> str:
    total_seconds, count = (aggregate("sum", rate(metric, ENGINE, suffix), BY_ENGINE) for suffix in ("_sum", "_count"))
    return f"{total_seconds} / {count}"


_INSIDE: Final = " - ".join(_mean(metric) for metric in (foreign.VLLM_QUEUE, foreign.VLLM_PREFILL, foreign.VLLM_DECODE))
_SPLIT: Final = graph(
    "Where the time of a request goes",
    "Mean time of a request by stage, stacked to its whole. Network and front end: between the engine's own clock and "
    "the last byte, so reading, detokenizing and writing to a slow client; the way to the pod is not in it, and SGLang "
    "does not tell it. SGLang's prefill is its time to first token without the queue. "
    + names(foreign.VLLM_QUEUE, foreign.VLLM_PREFILL, foreign.VLLM_DECODE, foreign.VLLM_ANSWER)
    + " "
    + names(foreign.SGLANG_QUEUE, foreign.SGLANG_TTFT, foreign.SGLANG_ANSWER),
    "s",
    {
        f"network {ENGINE_NAME}": f"clamp_min({_mean(foreign.VLLM_ANSWER)} - {_INSIDE}, 0)",
        f"queue {ENGINE_NAME}": first_of(_mean(foreign.VLLM_QUEUE), _mean(foreign.SGLANG_QUEUE)),
        f"prefill {ENGINE_NAME}": first_of(
            _mean(foreign.VLLM_PREFILL),
            f"clamp_min({_mean(foreign.SGLANG_TTFT)} - {_mean(foreign.SGLANG_QUEUE)}, 0)",
        ),
        f"decode {ENGINE_NAME}": first_of(
            _mean(foreign.VLLM_DECODE),
            f"clamp_min({_mean(foreign.SGLANG_ANSWER)} - {_mean(foreign.SGLANG_TTFT)}, 0)",
        ),
    },
    stacked=True,
    colors={"/^network/": "yellow", "/^queue/": RED, "/^prefill/": PURPLE, "/^decode/": NEUTRAL},
)

_SPEED: Final = (
    _latency(
        "Time to first token", "From arrival to the first token.", foreign.VLLM_TTFT, foreign.SGLANG_TTFT, "ttft_p99"
    ),
    _latency("Inter-token latency", "From one token to the next.", foreign.VLLM_ITL, foreign.SGLANG_ITL, "itl_p99"),
    _SPLIT,
    graph(
        "Requests waiting and running",
        "Waiting: taken by an engine and not begun. Running: in its batch. Pods of a deployment together. "
        + names(foreign.VLLM_WAITING, foreign.SGLANG_WAITING, foreign.VLLM_RUNNING, foreign.SGLANG_RUNNING),
        "short",
        {
            f"waiting {ENGINE_NAME}": total(foreign.VLLM_WAITING, foreign.SGLANG_WAITING),
            f"running {ENGINE_NAME}": total(foreign.VLLM_RUNNING, foreign.SGLANG_RUNNING),
        },
        colors={"/^waiting/": RED, "/^running/": NEUTRAL},
    ),
)

_CACHED, _READ = (
    aggregate("max", rate(autoscaler.TOKENS, f'{DEPLOYMENT}, direction="{direction}"'), BY_DEPLOYMENT)
    for direction in ("cached", "input")
)
_CACHE: Final = (
    graph(
        "Prefix cache hit rate",
        "Share of the prompt tokens that were found in the prefix cache. When it falls, prefill grows, and with it the "
        f"P99 beside it; answers are not in it. {names(autoscaler.TOKENS)}",
        "percentunit",
        {DEPLOYMENT_NAME: f"clamp_max({_CACHED} / {_READ}, 1)"},
        maximum=1,
    ),
    graph(
        "P99 of the first token, beside the cache",
        "Time to first token that 99 % of the requests stay under, as on the panel above, on the same time "
        "as the cache "
        f"hit rate. {names(foreign.VLLM_TTFT, foreign.SGLANG_TTFT)}",
        "s",
        {f"P99 {ENGINE_NAME}": latency(0.99, foreign.VLLM_TTFT, foreign.SGLANG_TTFT)},
        colors=QUANTILES,
        exemplars=True,
    ),
    graph(
        "KV cache in use",
        "Share of the KV cache in use, by pod. Above 90 % requests wait for room; once it is full, running "
        "ones are put "
        f"back and begun again. {names(foreign.VLLM_KV_CACHE, foreign.SGLANG_KV_CACHE)}",
        "percentunit",
        {
            "{{pod}}": first_of(
                *(
                    aggregate("max", select(metric, ENGINE), BY_POD)
                    for metric in (foreign.VLLM_KV_CACHE, foreign.SGLANG_KV_CACHE)
                )
            )
        },
        judgement=Judgement(warning=0.9, critical=0.98),
        maximum=1,
    ),
    graph(
        "Requests put back",
        "Requests each second that lost their place in the batch because the KV cache was full, and are "
        "computed again. "
        f"{names(foreign.VLLM_PUT_BACK, foreign.SGLANG_PUT_BACK)}",
        "reqps",
        {ENGINE_NAME: summed_rate(foreign.VLLM_PUT_BACK, foreign.SGLANG_PUT_BACK)},
    ),
)

_BOTTLENECK: Final = (
    graph(
        "Bottleneck",
        "Cause that limits each deployment: the one in the height of the graph holds. Its sentence with numbers, and "
        f"the knob to turn, are in the condition Bottleneck. {names(autoscaler.BOTTLENECK)}",
        "short",
        {"{{cause}}": aggregate("sum", per_deployment(autoscaler.BOTTLENECK, by=("cause",)), ("cause",))},
        stacked=True,
        decimals=0,
        colors=CAUSES,
    ),
    graph(
        "Evidence",
        "Averaged inputs of the diagnosis, each as the share in use; one that nobody measures is absent, such as those "
        f"of the SMs without profiling. {names(autoscaler.EVIDENCE)}",
        "percentunit",
        {f"{{{{quantity}}}} {DEPLOYMENT_NAME}": per_deployment(autoscaler.EVIDENCE, by=("quantity",))},
        maximum=1,
    ),
)

_FINISHED: Final = aggregate("sum", rate(foreign.VLLM_FINISHED, ENGINE), ("finished_reason",))
_SERVED: Final = (
    f"clamp_min({aggregate('sum', rate(foreign.SGLANG_FINISHED, ENGINE))} - "
    f"({aggregate('sum', rate(foreign.SGLANG_ABORTED, ENGINE))} or vector(0)), 0)"
)
_PODS: Final = (
    graph(
        "Requests finished",
        "Requests finished each second, by how they ended: stop and length are answers, abort is a client or pod that "
        "went away, error is the engine's fault. SGLang tells only served and abort. "
        + names(foreign.VLLM_FINISHED, foreign.SGLANG_FINISHED, foreign.SGLANG_ABORTED),
        "reqps",
        {
            "{{finished_reason}}": _FINISHED,
            "served (SGLang)": _SERVED,
            "abort (SGLang)": aggregate("sum", rate(foreign.SGLANG_ABORTED, ENGINE)),
        },
        stacked=True,
        colors={
            "stop": GREEN,
            "length": NEUTRAL,
            "abort": ORANGE,
            "error": RED,
            "repetition": GREY,
            "served (SGLang)": "dark-green",
            "abort (SGLang)": "dark-orange",
        },
    ),
    Panel(
        "Pods",
        "Engine of each pod now, as the agent beside it sees it: whether it answers, whether it hangs, and its load. A "
        "name leads to its GPUs. "
        f"{names(agent.ENGINE_UP, agent.ENGINE_HUNG, agent.ENGINE_RUNNING, agent.ENGINE_WAITING)}",
        "table",
        "short",
        tuple(
            Target(aggregate("max", select(metric, ENGINE), (*BY_ENGINE, "pod")), "{{pod}}")
            for metric in (
                agent.ENGINE_UP,
                agent.ENGINE_HUNG,
                agent.ENGINE_RUNNING,
                agent.ENGINE_WAITING,
                agent.ENGINE_KV_USAGE,
            )
        ),
        columns=(
            Column("Pod", "pod", link=scope.drill("autoglm-gpu")),
            Column("Namespace", "namespace"),
            Column("Deployment", "autoglm_io_deployment"),
            Column("Answers", "A", words={"1": ("yes", GREEN), "0": ("no", RED)}),
            Column("Hangs", "B", words={"0": ("no", GREEN), "1": ("yes", RED)}),
            Column("Running", "C", decimals=0),
            Column("Waiting", "D", decimals=0),
            Column("KV cache", "E", "percentunit", Judgement(warning=0.9, critical=0.98), decimals=0),
        ),
    ),
)


def dashboard() -> Json:
    """Return the dashboard of one deployment."""
    return layout.dashboard(
        "autoglm-deployment",
        "AutoGLM / Deployment",
        "Why is this deployment slow? Latency and its parts, the caches, what limits it, and its pods. Works on vLLM "
        f"{foreign.VLLM_VERSION} and SGLang {foreign.SGLANG_VERSION}.",
        scope.variables(one=True),
        (
            Section("Is it well?", _TILES),
            Section("What limits it, and on what evidence?", _BOTTLENECK),
            Section("How fast is it, and where does the time go?", _SPEED),
            Section("Do the caches help?", _CACHE),
            Section("What do its pods do?", _PODS),
        ),
    )

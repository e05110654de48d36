"""Benchmarks: what the last runs of each said, and the load that one puts on a deployment as the engines see it."""

from typing import Final

from autoglm_dashboards import foreign, layout, scope
from autoglm_dashboards.kinds import QUANTILES, graph, kept, names, tile
from autoglm_dashboards.layout import Annotation, Section
from autoglm_dashboards.panels import NEUTRAL, PURPLE, RED, Json, Judgement, Panel, Text
from autoglm_dashboards.promql import RANGE, RATE_INTERVAL, Metric, aggregate, increase, rate, select
from autoglm_dashboards.scope import BY_DEPLOYMENT, DEPLOYMENT, DEPLOYMENT_NAME, ENGINE_NAME, PROCESS, latency, signal
from autoglm_operator import metrics as operator
from autoglm_operator import slo_metrics
from autoglm_operator.api import signals
from autoglm_operator.autoscaler import metrics as autoscaler
from autoglm_operator.render.burn_rate import BUDGET

_SLO: Final = names(slo_metrics.SLO_REQUESTS, slo_metrics.SLO_GOOD)
_IN_NAMESPACE: Final = f'{PROCESS}, namespace=~"$namespace"'
_BY: Final = ("cluster", "namespace", "name")
_BENCHMARK_NAME: Final = "{{namespace}}/{{name}}"
_PROGRESS: Final = aggregate("max", select(operator.BENCHMARK_PROGRESS, _IN_NAMESPACE), _BY)


def _result(quantity: str) -> str:
    return aggregate("max", select(operator.BENCHMARK_RESULT, f'{_IN_NAMESPACE}, quantity="{quantity}"'), _BY)


_ANSWERED: Final = f'objective="{slo_metrics.AVAILABILITY}"'


def _tokens(direction: str) -> str:
    matchers = f'{DEPLOYMENT}, direction="{direction}"'
    return aggregate("max", rate(autoscaler.TOKENS, matchers), BY_DEPLOYMENT)


def _kept(title: str, objective: str, events: str) -> Panel:
    return tile(
        title,
        f"Share of {events} in the time range that kept the objective, of the worst deployment; set the range "
        "to that of "
        f"the benchmark. {_SLO}",
        "percentunit",
        aggregate("min", kept(RANGE, more=f'objective="{objective}"')),
        Judgement(warning=1 - BUDGET, good="high"),
        decimals=2,
    )


_ENDED: Final = aggregate("max", increase(slo_metrics.SLO_REQUESTS, f"{DEPLOYMENT}, {_ANSWERED}", RANGE), BY_DEPLOYMENT)
_OUTPUT: Final = aggregate(
    "max", increase(autoscaler.TOKENS, f'{DEPLOYMENT}, direction="output"', RANGE), BY_DEPLOYMENT
)

_NOTE: Final = Text(
    "What this shows",
    "Where the results of benchmarks are, and what these panels add.",
    "The **results** are those of the AutoGLMBenchmark's status; its report has more. The rest is what the engines "
    "saw meanwhile: set the time range to the run, and choose its deployment. **Precondition**: other clients are "
    "silent, or they are counted too. Runs are marked on the graphs.",
)

_TILES: Final = (
    tile(
        "Requests",
        f"Requests that ended in the time range, failed ones among them. {names(slo_metrics.SLO_REQUESTS)}",
        "short",
        aggregate("sum", _ENDED),
    ),
    tile(
        "Tokens generated each second",
        "Tokens generated over the time range, on its mean; a range longer than the run lowers it. "
        f"{names(autoscaler.TOKENS)}",
        "short",
        f"{aggregate('sum', _OUTPUT)} / $__range_s",
    ),
    _kept("First tokens in time", slo_metrics.TTFT, "the requests"),
    _kept("Tokens in time", slo_metrics.ITL, "the tokens"),
    _kept("Requests answered", slo_metrics.AVAILABILITY, "the requests that ended"),
    tile(
        "Failures now",
        f"Requests each second that end with an error or are refused. {_SLO}",
        "reqps",
        "clamp_min("
        + " - ".join(
            aggregate("sum", aggregate("max", rate(metric, f"{DEPLOYMENT}, {_ANSWERED}"), BY_DEPLOYMENT))
            for metric in (slo_metrics.SLO_REQUESTS, slo_metrics.SLO_GOOD)
        )
        + ", 0)",
        Judgement(critical=0.1),
    ),
)


def _latency(title: str, meaning: str, vllm: Metric, sglang: Metric) -> Panel:
    return graph(
        title,
        f"{meaning} As the engine sees it: a client sees the network on top. {names(vllm, sglang)}",
        "s",
        {f"P{q * 100:.0f} {ENGINE_NAME}": latency(q, vllm, sglang) for q in (0.99, 0.5)},
        colors=QUANTILES,
        exemplars=True,
    )


_LOAD: Final = (
    graph(
        "Load and what is left of it",
        "Requests each second that arrive, and those that wait: the load that a deployment can bear is where the queue "
        f"begins to grow. {names(autoscaler.DEMAND, autoscaler.SIGNAL)}",
        "short",
        {
            f"arriving {DEPLOYMENT_NAME}": scope.per_deployment(autoscaler.DEMAND),
            f"waiting {DEPLOYMENT_NAME}": signal(signals.QUEUE_DEPTH.name),
        },
        colors={"/^arriving/": NEUTRAL, "/^waiting/": RED},
    ),
    graph(
        "Tokens each second",
        f"Tokens read and generated each second; cached ones are a part of those read. {names(autoscaler.TOKENS)}",
        "short",
        {f"{direction} {DEPLOYMENT_NAME}": _tokens(direction) for direction in ("input", "cached", "output")},
        colors={"/^input/": PURPLE, "/^cached/": "light-blue", "/^output/": NEUTRAL},
    ),
    _latency("Time to first token", "From arrival to the first token.", foreign.VLLM_TTFT, foreign.SGLANG_TTFT),
    _latency("Inter-token latency", "From one token to the next.", foreign.VLLM_ITL, foreign.SGLANG_ITL),
    graph(
        "Share of failures",
        f"Share of the requests that end with an error or are refused, by deployment. {_SLO}",
        "percentunit",
        {DEPLOYMENT_NAME: f"1 - {kept(RATE_INTERVAL, BY_DEPLOYMENT, _ANSWERED)}"},
        judgement=Judgement(warning=0.01, critical=0.05),
        maximum=1,
    ),
)


_RUNS: Final = (
    graph(
        "Runs under way",
        f"How far each run is; no line where none is under way. {names(operator.BENCHMARK_PROGRESS)}",
        "percentunit",
        {_BENCHMARK_NAME: _PROGRESS},
        maximum=1,
    ),
    graph(
        "P99 of the time to first token, last run",
        f"As the client saw it, of the last run of each benchmark that ended. {names(operator.BENCHMARK_RESULT)}",
        "s",
        {_BENCHMARK_NAME: _result("ttft_p99")},
    ),
    graph(
        "P99 of the inter-token latency, last run",
        f"As the client saw it, of the last run of each benchmark that ended. {names(operator.BENCHMARK_RESULT)}",
        "s",
        {_BENCHMARK_NAME: _result("itl_p99")},
    ),
    graph(
        "Requests a second, last run",
        "Requests that succeeded, of the last run of each benchmark that ended, and the limit that a search found. "
        f"{names(operator.BENCHMARK_RESULT)}",
        "reqps",
        {f"{_BENCHMARK_NAME}": _result("throughput"), f"limit of {_BENCHMARK_NAME}": _result("limit")},
        dashed=("/^limit/",),
    ),
)


def dashboard() -> Json:
    """Return the dashboard of benchmarks."""
    return layout.dashboard(
        "autoglm-benchmarks",
        "AutoGLM / Benchmarks",
        "What did a benchmark do to the deployment? Load, latency and failures as the engines saw them.",
        scope.variables(one=True),
        (
            Section("How to read this", (_NOTE,)),
            Section("How did it go?", _TILES),
            Section("What did the runs say?", _RUNS),
            Section("What did the engines see?", _LOAD),
        ),
        annotations=(Annotation("Benchmarks", f"{_PROGRESS} >= 0", _BENCHMARK_NAME, "purple"),),
    )

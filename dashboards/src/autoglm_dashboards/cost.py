"""What the GPUs cost: GPU-hours, dollars per million tokens, and the share that idles."""

from typing import Final

from autoglm_dashboards import layout, scope
from autoglm_dashboards.kinds import graph, names, tile
from autoglm_dashboards.layout import Number, Section
from autoglm_dashboards.panels import Column, Json, Judgement, Panel, Target
from autoglm_dashboards.promql import RANGE, aggregate, increase, over_time, rate
from autoglm_dashboards.scope import BY_DEPLOYMENT, DEPLOYMENT, DEPLOYMENT_NAME, drill, on_deployment, per_deployment
from autoglm_operator import metrics as operator
from autoglm_operator.autoscaler import metrics as autoscaler

_PRICE: Final = Number("gpu_hour", "$ per GPU-hour", "2.50", "Price of one GPU for one hour; an example, type in yours")
_MILLION: Final = "1e6"
_GPU_METRICS: Final = (operator.REPLICAS, operator.DEPLOYMENT_GPUS)

_EXISTING: Final = per_deployment(operator.REPLICAS, 'state="existing"')
_PER_REPLICA: Final = on_deployment(per_deployment(operator.DEPLOYMENT_GPUS))
_GPUS: Final = f"{_EXISTING} * {_PER_REPLICA}"
_MEAN_EXISTING: Final = aggregate(
    "max", over_time("avg_over_time", operator.REPLICAS, f'{DEPLOYMENT}, state="existing"'), BY_DEPLOYMENT
)
_GPU_HOURS: Final = f"{_MEAN_EXISTING} * {_PER_REPLICA} * $__range_s / 3600"
_IDLE: Final = aggregate(
    "max", over_time("avg_over_time", autoscaler.BOTTLENECK, f'{DEPLOYMENT}, cause="idle"'), BY_DEPLOYMENT
)
_IDLE_HOURS: Final = f"{_GPU_HOURS} * {on_deployment(_IDLE)}"


def _tokens(matchers: str) -> str:
    grown = aggregate(
        "max", increase(autoscaler.TOKENS, f"{DEPLOYMENT}, {matchers}", RANGE), (*BY_DEPLOYMENT, "direction")
    )
    return aggregate("sum", grown, BY_DEPLOYMENT)


_GENERATED: Final = _tokens('direction="output"')
#: Cached tokens are a part of the input.
_ALL: Final = _tokens('direction=~"input|output"')


def _per_million(tokens: str) -> str:
    return f"{_GPU_HOURS} * $gpu_hour / {on_deployment(f'({tokens} / {_MILLION})')}"


_HOURS_MEANING: Final = (
    "Replicas that existed, on the mean of the time range, times the GPUs of one, times its length: GPUs are paid for "
    "while they start, too. A deployment that is younger than the range counts as if it had always been."
)

_TILES: Final = (
    tile(
        "GPU-hours",
        f"{_HOURS_MEANING} {names(*_GPU_METRICS)}",
        "none",
        aggregate("sum", _GPU_HOURS),
    ),
    tile(
        "Cost",
        "GPU-hours of the time range at the price above; machines, storage and network are not in it. "
        + names(*_GPU_METRICS),
        "currencyUSD",
        f"{aggregate('sum', _GPU_HOURS)} * $gpu_hour",
    ),
    tile(
        "Per million tokens generated",
        f"Cost of the GPUs over the tokens generated; prompts count as free. {names(*_GPU_METRICS, autoscaler.TOKENS)}",
        "currencyUSD",
        f"{aggregate('sum', _GPU_HOURS)} * $gpu_hour / ({aggregate('sum', _GENERATED)} / {_MILLION})",
    ),
    tile(
        "Per million tokens in all",
        "Cost of the GPUs over all tokens, read and generated, those from a cache included. "
        + names(*_GPU_METRICS, autoscaler.TOKENS),
        "currencyUSD",
        f"{aggregate('sum', _GPU_HOURS)} * $gpu_hour / ({aggregate('sum', _ALL)} / {_MILLION})",
    ),
    tile(
        "Idle share",
        "Share of the GPU-hours in which the diagnosis found the deployment idle; one with a few requests is not idle. "
        + names(*_GPU_METRICS, autoscaler.BOTTLENECK),
        "percentunit",
        f"{aggregate('sum', _IDLE_HOURS)} / {aggregate('sum', _GPU_HOURS)}",
        Judgement(warning=0.3, critical=0.6),
    ),
    tile(
        "Cost of idling",
        "GPU-hours in which a deployment was idle, at the price above. " + names(*_GPU_METRICS, autoscaler.BOTTLENECK),
        "currencyUSD",
        f"{aggregate('sum', _IDLE_HOURS)} * $gpu_hour",
    ),
)

_TABLE: Final = Panel(
    "Cost by deployment",
    "One row for each AutoGLMDeployment over the time range; a name leads to its dashboard. No tokens: no cost of one. "
    + names(*_GPU_METRICS, autoscaler.TOKENS, autoscaler.BOTTLENECK),
    "table",
    "none",
    tuple(
        Target(query, "{{name}}")
        for query in (
            _GPU_HOURS,
            f"{_GPU_HOURS} * $gpu_hour",
            _IDLE,
            f"{_GENERATED} / {_MILLION}",
            _per_million(_GENERATED),
            _per_million(_ALL),
        )
    ),
    width=24,
    columns=(
        Column("Deployment", "name", link=drill("autoglm-deployment")),
        Column("Namespace", "namespace"),
        Column("Cluster", "cluster"),
        Column("GPU-hours", "A", "none", decimals=1),
        Column("Cost", "B", "currencyUSD", decimals=2),
        Column("Idle share", "C", "percentunit", Judgement(warning=0.3, critical=0.6), decimals=0),
        Column("Million tokens generated", "D", "none", decimals=2),
        Column("Per million generated", "E", "currencyUSD", decimals=2),
        Column("Per million in all", "F", "currencyUSD", decimals=2),
    ),
)

_RATE: Final = aggregate("max", rate(autoscaler.TOKENS, f'{DEPLOYMENT}, direction="output"'), BY_DEPLOYMENT)
_GRAPHS: Final = (
    graph(
        "GPUs held",
        f"GPUs of the replicas that exist, those that start among them. {names(*_GPU_METRICS)}",
        "short",
        {DEPLOYMENT_NAME: _GPUS},
        stacked=True,
        decimals=0,
    ),
    graph(
        "Cost per million tokens generated",
        "What a million generated tokens cost at the pace of the moment; a gap is a time without tokens. "
        + names(*_GPU_METRICS, autoscaler.TOKENS),
        "currencyUSD",
        {DEPLOYMENT_NAME: f"{_GPUS} * $gpu_hour / 3600 / {on_deployment(f'({_RATE} > 0)')} * {_MILLION}"},
    ),
    graph(
        "Tokens by direction",
        "Tokens each second: read, of those found in a cache, and generated. " + names(autoscaler.TOKENS),
        "short",
        {
            "{{direction}}": aggregate(
                "sum",
                aggregate("max", rate(autoscaler.TOKENS, DEPLOYMENT), (*BY_DEPLOYMENT, "direction")),
                ("direction",),
            )
        },
        colors={"input": "purple", "cached": "light-blue", "output": "blue"},
    ),
    graph(
        "GPUs idle",
        f"GPUs of deployments that the diagnosis finds idle now. {names(*_GPU_METRICS, autoscaler.BOTTLENECK)}",
        "short",
        {DEPLOYMENT_NAME: f"{_GPUS} * " + on_deployment(per_deployment(autoscaler.BOTTLENECK, 'cause="idle"'))},
        stacked=True,
        decimals=0,
    ),
)


def dashboard() -> Json:
    """Return the dashboard of cost."""
    return layout.dashboard(
        "autoglm-cost",
        "AutoGLM / Cost",
        "What do the GPUs cost, and what for? Type in the price of a GPU-hour; every figure is over the time range.",
        (*scope.variables(), _PRICE),
        (
            Section("What does it cost?", _TILES),
            Section("Which deployment?", (_TABLE,)),
            Section("When?", _GRAPHS),
        ),
    )

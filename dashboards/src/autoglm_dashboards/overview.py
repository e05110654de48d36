"""The overview: are users well, which deployment is not, and where to look next. At most 25 queries."""

from typing import Final

from autoglm_agent import metrics as agent
from autoglm_dashboards import foreign, layout, scope
from autoglm_dashboards.kinds import budget_left, burn_rate, graph, kept, names, tile
from autoglm_dashboards.layout import Section
from autoglm_dashboards.panels import GREEN, RED, Column, Json, Judgement, Panel, Target
from autoglm_dashboards.promql import RANGE, RATE_INTERVAL, aggregate, rate, select
from autoglm_dashboards.scope import BY_DEPLOYMENT, DEPLOYMENT, DEPLOYMENT_NAME, ENGINE, per_deployment, signal
from autoglm_operator import metrics as operator
from autoglm_operator import slo_metrics
from autoglm_operator.api import signals
from autoglm_operator.autoscaler import metrics as autoscaler
from autoglm_operator.render.burn_rate import BUDGET

_SLO: Final = names(slo_metrics.SLO_REQUESTS, slo_metrics.SLO_GOOD)
_GOAL: Final = 1 - BUDGET
_READY: Final = per_deployment(operator.CONDITION, 'type="Ready", status="True"')
_SERVING: Final = per_deployment(operator.REPLICAS, 'state="ready"')
_WANTED: Final = per_deployment(operator.REPLICAS, 'state="wanted"')
_ANSWERED: Final = f'objective="{slo_metrics.AVAILABILITY}"'
_WORST: Final = aggregate("min", kept(RANGE), BY_DEPLOYMENT)

_TILES: Final = (
    tile(
        "SLO kept, worst",
        "Share of the events in the time range that kept their objective (time to first token of a request, time "
        "between two tokens, answers without an error), of the deployment and objective where it is least. Latencies "
        f"without an objective in the spec are not judged. {_SLO}",
        "percentunit",
        aggregate("min", kept(RANGE)),
        Judgement(warning=_GOAL, good="high"),
        decimals=2,
    ),
    tile(
        "Error budget left, worst",
        f"Part of the error budget that the time range left over, where it is least: {BUDGET:.0%} of the events may "
        "miss their objective. Choose 30 days for the budget that the alerts guard. The part cannot be below nothing: "
        f"a spent budget is 0. {_SLO}",
        "percentunit",
        aggregate("min", budget_left(kept(RANGE))),
        Judgement(warning=0.5, critical=0.1, good="high"),
    ),
    tile(
        "Deployments not ready",
        "AutoGLMDeployments whose condition Ready is not True, also those without traffic. "
        f"{names(operator.CONDITION)}",
        "short",
        aggregate("sum", f"1 - {_READY}"),
        Judgement(critical=1),
    ),
    tile(
        "Failed requests",
        "Share of the requests now that ended with an error or were refused. Requests that reached no engine, and "
        f"those that clients gave up, are not in it. {_SLO}",
        "percentunit",
        f"1 - {kept(RATE_INTERVAL, (), _ANSWERED)}",
        Judgement(warning=0.01, critical=0.05),
    ),
    tile(
        "Requests waiting",
        "Requests that an engine has taken and not begun, all deployments together. Whoever waits sees no token yet; "
        f"requests in the router are not in it. {names(autoscaler.SIGNAL)}",
        "short",
        aggregate("sum", signal(signals.QUEUE_DEPTH.name)),
    ),
    tile(
        "Engines not answering",
        f"Pods whose engine does not answer GET /health, starting ones among them. {names(agent.ENGINE_UP)}",
        "short",
        aggregate("sum", f"1 - {select(agent.ENGINE_UP, ENGINE)}"),
        Judgement(critical=1),
    ),
)

_TABLE: Final = Panel(
    "Deployments",
    "One row for each AutoGLMDeployment; a name leads to its dashboard. SLO kept and budget left are those of its "
    "worst "
    "objective in the time range; the rest is now. An empty cell was not measured. "
    + names(
        operator.CONDITION,
        operator.REPLICAS,
        autoscaler.SIGNAL,
        slo_metrics.SLO_REQUESTS,
        slo_metrics.SLO_GOOD,
        autoscaler.BOTTLENECK,
    ),
    "table",
    "short",
    tuple(
        Target(query, "{{name}}")
        for query in (
            _READY,
            _SERVING,
            _WANTED,
            _WORST,
            budget_left(_WORST),
            signal(signals.TTFT_P99.name),
            signal(signals.ITL_P99.name),
            signal(signals.QUEUE_DEPTH.name),
            f"{per_deployment(autoscaler.BOTTLENECK, by=('cause',))} == 1",
        )
    ),
    width=24,
    height=9,
    columns=(
        Column("Deployment", "name", link=scope.drill("autoglm-deployment")),
        Column("Namespace", "namespace"),
        Column("Cluster", "cluster"),
        Column("Ready", "A", words={"1": ("yes", GREEN), "0": ("no", RED)}),
        Column("Ready replicas", "B", decimals=0),
        Column("Wanted", "C", decimals=0, link=scope.drill("autoglm-autoscaling")),
        Column("SLO kept", "D", "percentunit", Judgement(warning=_GOAL, good="high"), decimals=2),
        Column("Budget left", "E", "percentunit", Judgement(warning=0.5, critical=0.1, good="high"), decimals=0),
        Column("TTFT P99", "F", "s"),
        Column("ITL P99", "G", "s"),
        Column("Waiting", "H", decimals=0),
        Column("Limited by", "cause", link=scope.drill("autoglm-gpu")),
    ),
)

#: A minute each of an hour: two counters of every deployment and objective are read for each, and a burn rate over less
#: than a minute says nothing.
_BURN_POINTS: Final = 60

_GRAPHS: Final = (
    graph(
        "Burn rate of the error budget",
        "How many times too fast the error budget is used, by deployment and objective: at 1 it lasts 30 days, at 14.4 "
        f"two. Alerts look at longer windows than this graph. {_SLO}",
        "none",
        {f"{DEPLOYMENT_NAME} {{{{objective}}}}": burn_rate()},
        judgement=Judgement(warning=6, critical=14.4),
        points=_BURN_POINTS,
    ),
    graph(
        "Requests waiting, by deployment",
        f"Requests taken by an engine and not begun, by deployment. {names(autoscaler.SIGNAL)}",
        "short",
        {DEPLOYMENT_NAME: signal(signals.QUEUE_DEPTH.name)},
    ),
    graph(
        "TTFT P99",
        "Time to first token that 99 % of the requests stay under. The engine's queue is part of it; the network is "
        f"not. 0 without requests. {names(autoscaler.SIGNAL)}",
        "s",
        {DEPLOYMENT_NAME: signal(signals.TTFT_P99.name)},
    ),
    graph(
        "ITL P99",
        "Time between two tokens that 99 % of them stay under; prompts are not in it. 0 without requests. "
        + names(autoscaler.SIGNAL),
        "s",
        {DEPLOYMENT_NAME: signal(signals.ITL_P99.name)},
    ),
)

_ROOM: Final = (
    graph(
        "Demand",
        f"Requests that arrive each second; what a gateway refuses before is not in it. {names(autoscaler.DEMAND)}",
        "reqps",
        {DEPLOYMENT_NAME: per_deployment(autoscaler.DEMAND)},
        width=8,
    ),
    graph(
        "Replicas missing",
        f"Replicas wanted and not ready yet, those that start among them. {names(operator.REPLICAS)}",
        "short",
        {DEPLOYMENT_NAME: f"clamp_min({_WANTED} - {scope.on_deployment(_SERVING)}, 0)"},
        width=8,
        decimals=0,
    ),
    graph(
        "Tokens generated",
        f"Tokens generated each second, over all pods; prompts are not in it. {names(autoscaler.TOKENS)}",
        "short",
        {
            DEPLOYMENT_NAME: aggregate(
                "max", rate(autoscaler.TOKENS, f'{DEPLOYMENT}, direction="output"'), BY_DEPLOYMENT
            )
        },
        width=8,
    ),
)


def dashboard() -> Json:
    """Return the overview dashboard."""
    return layout.dashboard(
        layout.HOME,
        "AutoGLM / Overview",
        "Are users well? Tiles judge, the table names the deployment, and its name leads on. "
        f"Engine metrics as of vLLM {foreign.VLLM_VERSION} and SGLang {foreign.SGLANG_VERSION}.",
        scope.variables(),
        (
            Section("Are users well?", _TILES),
            Section("Which deployment is not?", (_TABLE,)),
            Section("Since when?", _GRAPHS),
            Section("Is there room for them?", _ROOM),
        ),
    )

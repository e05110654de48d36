"""The autoscaler: what it saw, what it asked for and why, and how long the replicas took to come."""

from typing import Final

from autoglm_dashboards import foreign, layout, scope
from autoglm_dashboards.kinds import graph, names, tile
from autoglm_dashboards.layout import Annotation, Section
from autoglm_dashboards.panels import GREEN, GREY, NEUTRAL, ORANGE, PURPLE, RED, Json, Judgement
from autoglm_dashboards.promql import RATE_INTERVAL, aggregate, increase, or_zero, quantile, rate, select
from autoglm_dashboards.scope import (
    BY_DEPLOYMENT,
    DEPLOYMENT,
    DEPLOYMENT_NAME,
    PROCESS,
    on_deployment,
    per_deployment,
    signal,
)
from autoglm_operator import metrics as operator
from autoglm_operator.api import signals
from autoglm_operator.autoscaler import metrics as autoscaler

_WANTED, _READY = (per_deployment(operator.REPLICAS, f'state="{state}"') for state in ("wanted", "ready"))
_MOST: Final = per_deployment(operator.REPLICA_BOUNDS, 'bound="max"')
_FAILED: Final = f'{PROCESS}, result!="ok"'
_DESIRED: Final = select(autoscaler.SIGNAL, f'{DEPLOYMENT}, metric="{signals.DESIRED_REPLICAS.name}"')
_CHANGED: Final = aggregate("max", f"changes({_DESIRED}[{RATE_INTERVAL}])", BY_DEPLOYMENT)

_DECISIONS: Final = (
    Annotation("Desired replicas change", f"{_CHANGED} > 0", f"{DEPLOYMENT_NAME}: desired replicas change", "blue"),
    Annotation(
        "Decisions",
        f"{aggregate('max', increase(autoscaler.DECISIONS_TOTAL, PROCESS), ('reason', 'direction'))} > 0",
        "{{direction}}: {{reason}}",
        "purple",
    ),
)

_TILES: Final = (
    tile(
        "Replicas wanted",
        f"Replicas that the specs ask for now, all deployments together. {names(operator.REPLICAS)}",
        "short",
        aggregate("sum", _WANTED),
    ),
    tile(
        "Replicas missing",
        "Replicas wanted and not ready yet; surplus ones of other deployments do not make up for them. "
        f"{names(operator.REPLICAS)}",
        "short",
        aggregate("sum", f"clamp_min({_WANTED} - {on_deployment(_READY)}, 0)"),
        Judgement(warning=1),
    ),
    tile(
        "At the upper bound",
        "Deployments that want as many replicas as the spec allows: more demand will not bring more. "
        + names(operator.REPLICAS, operator.REPLICA_BOUNDS),
        "short",
        or_zero(aggregate("count", f"{_WANTED} >= {on_deployment(_MOST)}")),
        Judgement(warning=1),
    ),
    tile(
        "Longest cold start",
        "Learned time from the decision to a ready replica, all stages, of the slowest deployment; absent until one "
        f"started. {names(operator.COLD_START)}",
        "s",
        aggregate("max", aggregate("sum", per_deployment(operator.COLD_START, by=("stage",)), BY_DEPLOYMENT)),
    ),
    tile(
        "Age of the last look",
        "Time since the autoscaler last began to look at the engines. Once it is late, its values are withheld and "
        f"nothing scales. {names(autoscaler.LAST_TICK)}",
        "s",
        f"time() - {aggregate('max', select(autoscaler.LAST_TICK, PROCESS))}",
        Judgement(warning=15, critical=60),
    ),
    tile(
        "Failed scrapes",
        "Share of the scrapes of engines and agents that gave no sample. A deployment with a silent pod is "
        "never scaled "
        f"down. {names(autoscaler.SCRAPES_TOTAL)}",
        "percentunit",
        f"{or_zero(aggregate('sum', rate(autoscaler.SCRAPES_TOTAL, _FAILED)))} / "
        f"{aggregate('sum', rate(autoscaler.SCRAPES_TOTAL, PROCESS))}",
        Judgement(warning=0.01, critical=0.1),
    ),
)

_DEMAND: Final = (
    graph(
        "Demand, forecast and capacity",
        "Requests each second that arrive, the forecast with the upper bound that is planned for, and what the ready "
        "replicas serve within the objective. No forecast line: the law does not forecast this deployment yet; no "
        f"capacity: not learned yet. {names(autoscaler.DEMAND, autoscaler.FORECAST, autoscaler.CAPACITY)}",
        "reqps",
        {
            f"demand {DEPLOYMENT_NAME}": per_deployment(autoscaler.DEMAND),
            f"forecast {{{{bound}}}} {DEPLOYMENT_NAME}": per_deployment(autoscaler.FORECAST, by=("bound",)),
            f"capacity {DEPLOYMENT_NAME}": f"{per_deployment(autoscaler.CAPACITY)} * {on_deployment(_READY)}",
        },
        colors={"/^demand/": NEUTRAL, "/^forecast/": PURPLE, "/^capacity/": GREEN},
        dashed=("/^forecast/",),
    ),
    graph(
        "Need by cause",
        "Replicas that each cause asks for; the law takes the largest. A cause without need is absent. "
        + names(autoscaler.NEED),
        "short",
        {f"{{{{cause}}}} {DEPLOYMENT_NAME}": per_deployment(autoscaler.NEED, by=("cause",))},
        decimals=0,
        colors={
            "/^queue/": RED,
            "/^latency/": ORANGE,
            "/^memory/": "yellow",
            "/^forecast/": PURPLE,
            "/^backlog/": NEUTRAL,
            "/^pressure/": GREY,
        },
    ),
    graph(
        "Replicas ordered and ready",
        "Desired: what the autoscaler asks for. Wanted: what the spec says. Existing: pods there are. Ready: pods that "
        f"serve. {names(autoscaler.SIGNAL, operator.REPLICAS)}",
        "short",
        {
            f"desired {DEPLOYMENT_NAME}": signal(signals.DESIRED_REPLICAS.name),
            f"{{{{state}}}} {DEPLOYMENT_NAME}": per_deployment(operator.REPLICAS, by=("state",)),
        },
        decimals=0,
        colors={"/^desired/": PURPLE, "/^wanted/": NEUTRAL, "/^existing/": GREY, "/^ready/": GREEN},
        dashed=("/^desired/",),
    ),
    graph(
        "Bounds of the replicas",
        "Least and most replicas that the spec allows; without autoscaling it sets none. "
        f"{names(operator.REPLICA_BOUNDS)}",
        "short",
        {f"{{{{bound}}}} {DEPLOYMENT_NAME}": per_deployment(operator.REPLICA_BOUNDS, by=("bound",))},
        decimals=0,
        colors={"/^min/": NEUTRAL, "/^max/": RED},
    ),
)

_START: Final = (
    graph(
        "Cold start by stage",
        "Learned time of each stage, stacked to the time until a replica serves: schedule, pull, init, download, load, "
        "compile, ready; start is init to ready in one, where the engine does not tell them apart. Absent until a "
        f"replica went through it. {names(operator.COLD_START)}",
        "s",
        {"{{stage}}": aggregate("max", per_deployment(operator.COLD_START, by=("stage",)), ("stage",))},
        stacked=True,
    ),
    graph(
        "Decisions by cause",
        "Changes of the replicas wanted within one step of the graph, by reason and direction; each replica of the "
        f"autoscaler decides for itself, the busier one is shown. {names(autoscaler.DECISIONS_TOTAL)}",
        "short",
        {
            # What never happened would fill the legend.
            "{{direction}}: {{reason}}": aggregate(
                "max", increase(autoscaler.DECISIONS_TOTAL, PROCESS), ("reason", "direction")
            )
            + " > 0"
        },
        stacked=True,
    ),
)

_LOOK: Final = (
    graph(
        "Scrapes by result",
        "Scrapes of engines and agents each second, by what came of them; all but ok gave no sample. "
        f"{names(autoscaler.SCRAPES_TOTAL)}",
        "ops",
        {
            "{{target}}: {{result}}": aggregate("sum", rate(autoscaler.SCRAPES_TOTAL, PROCESS), ("target", "result"))
            + " > 0"
        },
        stacked=True,
        width=8,
    ),
    graph(
        "Duration of a look",
        "Time to scrape all pods of a deployment and to decide. Longer than the scrape interval: the "
        "autoscaler does not "
        f"keep up. {names(autoscaler.TICK_SECONDS)}",
        "s",
        {f"P{q * 100:.0f}": quantile(q, autoscaler.TICK_SECONDS, PROCESS) for q in (0.99, 0.5)},
        colors={"P99": PURPLE, "P50": NEUTRAL},
        exemplars=True,
        width=8,
    ),
    graph(
        "Pods waiting for a node",
        "Pods of the deployments that are pending: no node has room, or images are pulled. Needs "
        "kube-state-metrics with "
        f"honorLabels. {names(foreign.POD_PHASE)}",
        "short",
        {
            "pending {{namespace}}": aggregate(
                "sum",
                select(
                    foreign.POD_PHASE,
                    f'{PROCESS}, namespace=~"$namespace", pod=~"($deployment)-.+", phase="Pending"',
                ),
                ("cluster", "namespace"),
            )
        },
        decimals=0,
        width=8,
    ),
)


def dashboard() -> Json:
    """Return the dashboard of the autoscaler."""
    return layout.dashboard(
        "autoglm-autoscaling",
        "AutoGLM / Autoscaling",
        "Why did it scale, or why not? Demand against capacity, what each cause asked for, and how long "
        "replicas took to "
        "come. Decisions are marked on every graph.",
        scope.variables(one=True),
        (
            Section("Does it keep up?", _TILES),
            Section("What was needed, and what is there?", _DEMAND),
            Section("How long do replicas take, and why were they ordered?", _START),
            Section("Does the autoscaler see?", _LOOK),
        ),
        annotations=_DECISIONS,
    )

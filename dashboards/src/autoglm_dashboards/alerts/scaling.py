"""Does the number of replicas follow what is needed?"""

from typing import Final

from autoglm_dashboards.alerts.expressions import BY, on, one
from autoglm_dashboards.alerts.rule import Alert, Board, Group, Hold, Severity, about_deployment
from autoglm_dashboards.promql import aggregate, select
from autoglm_operator import metrics as operator
from autoglm_operator.api.signals import DESIRED_REPLICAS, TTFT_P99
from autoglm_operator.autoscaler import metrics as autoscaler
from autoglm_operator.decide.reasons import Reason

#: Reasons that keep replicas from being made or placed, the cluster's and not the engine's.
BLOCKING: Final = (
    Reason.UNSCHEDULABLE,
    Reason.PODS_REJECTED,
    Reason.NO_MATCHING_GPU,
    Reason.TOO_FEW_GPUS_PER_NODE,
    Reason.NO_DYNAMIC_RESOURCE_ALLOCATION,
    Reason.NO_LEADER_WORKER_SET,
)
#: Times within an hour that replicas went down and up again.
_TURNS: Final = 3

_WANTED: Final = one(operator.REPLICAS, state="wanted")
_READY: Final = one(operator.REPLICAS, state="ready")
_MAX: Final = one(operator.REPLICA_BOUNDS, bound="max")
_DESIRED: Final = one(autoscaler.SIGNAL, metric=DESIRED_REPLICAS.name)
_TTFT: Final = one(autoscaler.SIGNAL, metric=TTFT_P99.name)
_TTFT_OBJECTIVE: Final = one(operator.OBJECTIVE, objective="ttft_p99")


def _blocked() -> str:
    reasons = "|".join(BLOCKING)
    trouble = aggregate("max", select(operator.TROUBLE, f'reason=~"{reasons}"'), (*BY, "reason"))
    return f"({_WANTED} - {_READY} > 0) * {on(f'group_right () {trouble}')}"


def _stale() -> str:
    some = aggregate("count", select(autoscaler.LEADER, ""))
    return f"({_READY} > 0) and {on(_MAX)} unless {on(_DESIRED)} and on () ({some} > 0)"


def _flapping() -> str:
    down = f"resets(({_WANTED})[1h:1m])"
    up = f"(changes(({_WANTED})[1h:1m]) - {down})"
    return f"{down} >= {_TURNS} and {up} >= {_TURNS}"


GROUP: Final = Group(
    "autoglm-scaling",
    "30s",
    {},
    (
        Alert(
            "AutoGLMScalingBlocked",
            Severity.WARNING,
            _blocked(),
            Hold("10m", "a cluster autoscaler brings a node with GPUs in five to ten minutes"),
            "Replicas cannot be made or placed.",
            about_deployment("replicas missing: {{ $value }}, because of {{ $labels.reason }}."),
            Board.AUTOSCALING,
        ),
        Alert(
            "AutoGLMScalingMetricsStale",
            Severity.WARNING,
            _stale(),
            Hold("5m", "a roll-out of the engines or of the autoscaler takes a minute or two"),
            "The autoscaler has no fresh figures, and so the HPA holds the replicas.",
            about_deployment("ready replicas: {{ $value }}; " + f"{DESIRED_REPLICAS.name} has no value."),
            Board.AUTOSCALING,
        ),
        Alert(
            "AutoGLMScalingAtMaximum",
            Severity.WARNING,
            f"{_DESIRED} > {_MAX}",
            Hold("15m", "a peak that is shorter than that is what maxReplicas is for"),
            "More replicas are needed than maxReplicas allows.",
            about_deployment("replicas needed: {{ $value }}, more than maxReplicas."),
            Board.AUTOSCALING,
        ),
        Alert(
            "AutoGLMScalingFlapping",
            Severity.WARNING,
            _flapping(),
            Hold("0m", "the expression looks back an hour"),
            "The number of replicas goes up and down again and again.",
            about_deployment(
                "within 1h replicas were taken away {{ $value }} times, " + f"and added at least {_TURNS} times."
            ),
            Board.AUTOSCALING,
        ),
        Alert(
            "AutoGLMDemandOverCapacity",
            Severity.WARNING,
            f"{one(autoscaler.DEMAND)} > {one(autoscaler.CAPACITY)} * {_READY}",
            Hold("10m", "new replicas are ready sooner"),
            "More requests come in than the replicas can serve within the objective.",
            about_deployment(
                "{{ $value | humanize }} requests come in each second, more than the ready replicas can serve."
            ),
            Board.AUTOSCALING,
        ),
        Alert(
            "AutoGLMFirstTokenSlow",
            Severity.WARNING,
            f"{_TTFT} > {_TTFT_OBJECTIVE}",
            Hold("10m", "more replicas bring it down sooner, and the error budget bears it that long"),
            "The P99 of the time to first token is over the objective.",
            about_deployment("P99 of the time to first token is {{ $value | humanizeDuration }}, over the objective."),
            Board.DEPLOYMENT,
        ),
    ),
)

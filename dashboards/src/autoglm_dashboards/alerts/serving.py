"""Is something wrong with the engines, or about to be?"""

from typing import Final

from autoglm_agent import metrics as agent
from autoglm_agent.signals.catalogue import KV, KV_SOON
from autoglm_agent.xid import Action
from autoglm_agent.xid import Severity as FaultSeverity
from autoglm_dashboards.alerts.expressions import BY, before_now, by_deployment, by_pod, matchers, on, one
from autoglm_dashboards.alerts.rule import Alert, Board, Group, Hold, Severity, about_deployment, about_pod
from autoglm_dashboards.promql import aggregate, select
from autoglm_operator import metrics as operator

#: Share of the objective for the first token that may pass in the queue; prefill needs the rest.
_QUEUE_SHARE: Final = 0.5
#: Where no objective is set: nobody waits longer than this without noticing.
_QUEUE_SECONDS: Final = 1


def _queue_delay() -> str:
    wait = by_deployment("max", select(agent.ENGINE_LATENCY, matchers(latency="queue", quantile="0.99")))
    objective = one(operator.OBJECTIVE, objective="ttft_p99")
    return f"{wait} > {_QUEUE_SHARE:g} * {objective} or ({wait} > {_QUEUE_SECONDS} unless {on(objective)})"


_MISSING: Final = "autoglm:replicas:missing"
_READY: Final = "autoglm:replicas:ready"
_LEARNED: Final = "autoglm:cold_start:seconds"


def _starts() -> dict[str, str]:
    """Return what starts are judged by: replicas that are missing and ready, and how long a start takes."""
    wanted, ready = (one(operator.REPLICAS, state=state) for state in ("wanted", "ready"))
    stages = aggregate("max", select(operator.COLD_START, ""), (*BY, "stage"))
    return {_MISSING: f"{wanted} - {ready}", _READY: ready, _LEARNED: aggregate("sum", stages, BY)}


#: Waiting times that a start is measured against, in minutes: the shortest that is twice what was learned, or the last
#: one where nothing was learned. A range in PromQL cannot follow a series.
_RUNGS: Final = (5, 10, 20, 40, 80)


def _overdue(*, serving: bool) -> str:
    """Return the replicas that are missing for longer than twice what a start takes.

    Replicas are missing all the time, and none became ready meanwhile: of several that are wanted one after the other,
    each has its own time.

    Args:
        serving: whether other replicas answer.
    """
    rungs = []
    for before, minutes in zip((0, *_RUNGS), _RUNGS, strict=False):
        stuck = f"{_READY} <= {before_now(_READY, f'{minutes}m')}"
        taken = f"(2 * {_LEARNED} > {60 * before}) <= {60 * minutes}"
        if minutes == _RUNGS[-1]:
            taken = f"{_READY} >= 0 unless 2 * {_LEARNED} <= {60 * before}"
        rungs.append(f"min_over_time({_MISSING}[{minutes}m]) > 0 and {stuck} and ({taken})")
    return f"({' or '.join(rungs)}) and {_READY} {'>' if serving else '=='} 0"


#: Sooner than a person can act, and later than the agent's own signal, which fires two minutes before the end.
_EXHAUSTION_SECONDS: Final = 600


def _kv_exhaustion() -> str:
    signals = f"{KV.name}|{KV_SOON.name}"
    warned = select(agent.SIGNAL, f'signal=~"{signals}"')
    return f"{by_pod('max', select(agent.ENGINE_KV_USAGE, ''))} and on (namespace, pod) ({warned} == 1)"


def _fault(actions: tuple[Action, ...], window: str, *severities: FaultSeverity) -> str:
    """Return the faults of a window that ask for one of the actions; a pod that left is told of a little longer."""
    chosen = f'action=~"{"|".join(actions)}"'
    if severities:
        chosen += f', severity=~"{"|".join(severities)}"'
    return by_pod("max", f"max_over_time({select(agent.FAULT, chosen)}[{window}])", "uuid", "code")


_FAULT_TEXT: Final = about_pod("GPU {{ $labels.uuid }} reports {{ $labels.code }} ")
_AGENT_JUDGES: Final = Hold("0m", "the agent has judged already, and each minute costs requests")
_STARTS: Final = Hold("1m", "the expression itself waits for twice the time that a start takes")
_START_SUMMARY: Final = "Replicas take more than twice as long to start as they did."
_START_TEXT: Final = about_deployment(
    "replicas missing for more than twice the learned time of a start: {{ $value }}; none became ready meanwhile"
)

GROUP: Final = Group(
    "autoglm-serving",
    "30s",
    _starts(),
    (
        Alert(
            "AutoGLMQueueDelay",
            Severity.WARNING,
            _queue_delay(),
            Hold("5m", "a burst is over sooner, and more replicas are on their way sooner than a person"),
            "Requests wait too long before an engine begins with them.",
            about_deployment(
                "P99 of the wait in the queue is {{ $value | humanizeDuration }}; "
                f"{_QUEUE_SHARE:.0%} of the objective for the first token may pass there, or {_QUEUE_SECONDS} s where "
                "none is set."
            ),
            Board.DEPLOYMENT,
        ),
        Alert(
            "AutoGLMColdStartOverdue",
            Severity.CRITICAL,
            _overdue(serving=False),
            _STARTS,
            _START_SUMMARY,
            f"{_START_TEXT}, and no replica answers requests.",
            Board.DEPLOYMENT,
        ),
        Alert(
            "AutoGLMColdStartOverdue",
            Severity.WARNING,
            _overdue(serving=True),
            _STARTS,
            _START_SUMMARY,
            f"{_START_TEXT}; others answer requests.",
            Board.DEPLOYMENT,
        ),
        Alert(
            "AutoGLMGPUMemoryExhaustion",
            Severity.WARNING,
            by_pod("min", select(agent.MEMORY_EXHAUSTION, ""), "gpu") + f" < {_EXHAUSTION_SECONDS}",
            Hold("2m", "memory that grows in steps looks like a trend for a minute"),
            "The memory of a GPU is about to be used up.",
            about_pod(
                "the memory of GPU {{ $labels.gpu }} is used up in {{ $value | humanizeDuration }} if it goes on as in "
                "the last minute."
            ),
            Board.GPU,
        ),
        Alert(
            "AutoGLMKVCacheExhaustion",
            Severity.WARNING,
            _kv_exhaustion(),
            Hold("5m", "long answers fill it for a minute or two, and engines put requests back"),
            "The KV cache of an engine is full or about to be.",
            about_pod(
                "{{ $value | humanizePercentage }} of the KV cache is in use; the agent's signal is on from "
                f"{KV.rise:.0%}, or when it is used up within {1 / KV_SOON.rise:.0f} s."
            ),
            Board.GPU,
        ),
        Alert(
            "AutoGLMEngineStalled",
            Severity.CRITICAL,
            by_pod("max", f"round(increase({select(agent.ENGINE_HANGS, '')}[10m]))")
            + " > 0 or "
            + by_pod("max", select(agent.ENGINE_HUNG, ""))
            + " == 1",
            _AGENT_JUDGES,
            "An engine stopped making progress with requests in its batch.",
            about_pod(
                "hangs of the engine within 10m: {{ $value }}; the kubelet restarts it, and its requests are lost."
            ),
            Board.DEPLOYMENT,
        ),
        Alert(
            "AutoGLMGPUNeedsReset",
            Severity.CRITICAL,
            _fault((Action.DRAIN, Action.NOT_READY), "1h"),
            _AGENT_JUDGES,
            "A GPU has a fault that no restart of the pod cures.",
            f"{_FAULT_TEXT}within 1h: the GPU or its node has to be reset, and the pod takes no traffic.",
            Board.GPU,
        ),
        Alert(
            "AutoGLMGPUErrorRestarts",
            Severity.WARNING,
            _fault((Action.RESTART,), "15m"),
            _AGENT_JUDGES,
            "A GPU error made an engine restart.",
            f"{_FAULT_TEXT}within 15m: the engine restarts, and its requests are lost.",
            Board.GPU,
        ),
        Alert(
            "AutoGLMGPUNotice",
            Severity.INFO,
            _fault((Action.NONE,), "15m", FaultSeverity.WARNING, FaultSeverity.CRITICAL),
            Hold("5m", "slowdowns by heat or power come and go"),
            "A GPU reports something that does not stop it.",
            f"{_FAULT_TEXT}within 15m: the pod serves on.",
            Board.GPU,
        ),
    ),
)

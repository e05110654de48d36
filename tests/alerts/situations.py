"""What each alert is tried on: series as Prometheus would have scraped them, and the alerts that must come of them.

Series are written in promtool's notation, one sample a minute. Two replicas of a process publish the same series.
"""

from dataclasses import dataclass

from autoglm_agent import metrics as agent
from autoglm_operator import metrics as operator
from autoglm_operator.autoscaler import metrics as autoscaler

Series = dict[str, str]
PHONE = {"namespace": "team-a", "name": "phone"}
ENGINE = {"namespace": "team-a", "autoglm_io_deployment": "phone", "pod": "phone-1"}
POD = PHONE | {"pod": "phone-1"}
ABOUT = "AutoGLMDeployment team-a/phone: "


@dataclass(frozen=True)
class Fires:
    """One alert that must be there, and no others of its name."""

    severity: str
    labels: dict[str, str]
    description: str


@dataclass(frozen=True)
class Situation:
    """One state of the world.

    Attributes:
        alert: that is asked about.
        title: of the situation.
        at: minutes after the first sample.
        series: samples by selector.
        fires: alerts of that name; none if it must be silent.
    """

    alert: str
    title: str
    at: int
    series: Series
    fires: tuple[Fires, ...] = ()


def series(metric, labels, values) -> Series:
    """Return one series of a metric of a catalogue."""
    pairs = ", ".join(f'{name}="{value}"' for name, value in labels.items())
    return {f"{metric.name}{{{pairs}}}": values}


def twice(metric, labels, values) -> Series:
    """Return the series as both replicas of a process publish them."""
    return series(metric, labels | {"instance": "a"}, values) | series(metric, labels | {"instance": "b"}, values)


def replicas(**states) -> Series:
    """Return the replicas of the deployment by state."""
    found = {}
    for state, values in states.items():
        found |= series(operator.REPLICAS, PHONE | {"state": state, "instance": "a"}, values)
    return found


def cold_start(seconds) -> Series:
    """Return a learned start of two stages."""
    return series(operator.COLD_START, PHONE | {"stage": "pull"}, f"{seconds / 3}x200") | series(
        operator.COLD_START, PHONE | {"stage": "load"}, f"{seconds * 2 / 3}x200"
    )


def signal(name, values) -> Series:
    return twice(autoscaler.SIGNAL, PHONE | {"metric": name}, values)


OBJECTIVE_2S = series(operator.OBJECTIVE, PHONE | {"objective": "ttft_p99"}, "2x300")
BOUNDS = series(operator.REPLICA_BOUNDS, PHONE | {"bound": "max"}, "4x300") | series(
    operator.REPLICA_BOUNDS, PHONE | {"bound": "min"}, "1x300"
)
SCALER_UP = twice(autoscaler.LEADER, {"namespace": "autoglm-system"}, "1x300")


def queue(values) -> Series:
    return series(agent.ENGINE_LATENCY, ENGINE | {"latency": "queue", "quantile": "0.99"}, values)


def _queue_text(wait):
    return (
        f"{ABOUT}P99 of the wait in the queue is {wait}; 50% of the objective for the first token may pass there, or "
        "1 s where none is set."
    )


def _late(number, rest):
    return (
        f"{ABOUT}replicas missing for more than twice the learned time of a start: {number}; none became ready "
        f"meanwhile{rest}."
    )


_NONE = ", and no replica answers requests"
_SOME = "; others answer requests"

SERVING = (
    Situation("AutoGLMQueueDelay", "the queue takes less than its share", 30, queue("0.9x60") | OBJECTIVE_2S),
    Situation("AutoGLMQueueDelay", "one burst", 30, queue("0.1x24 3x3 0.1x60") | OBJECTIVE_2S),
    Situation("AutoGLMQueueDelay", "no objective, and a short wait", 30, queue("0.9x60")),
    Situation("AutoGLMQueueDelay", "no data", 30, {}),
    Situation(
        "AutoGLMQueueDelay",
        "the queue takes more than its share",
        30,
        queue("1.5x60") | OBJECTIVE_2S,
        (Fires("warning", PHONE, _queue_text("1.5s")),),
    ),
    Situation(
        "AutoGLMQueueDelay",
        "no objective, and a long wait",
        30,
        queue("1.2x60"),
        (Fires("warning", PHONE, _queue_text("1.2s")),),
    ),
    Situation(
        "AutoGLMColdStartOverdue",
        "a start within twice its time",
        12,
        replicas(wanted="1x5 2x60", ready="1x60") | cold_start(240),
    ),
    Situation(
        "AutoGLMColdStartOverdue",
        "one after the other becomes ready",
        48,
        replicas(wanted="6x60", ready="1x9 2x9 3x9 4x9 5x20") | cold_start(300),
    ),
    Situation("AutoGLMColdStartOverdue", "just created", 4, replicas(wanted="1x60", ready="0x60")),
    Situation(
        "AutoGLMColdStartOverdue", "nothing learned, within 80 minutes", 70, replicas(wanted="1x90", ready="0x90")
    ),
    Situation(
        "AutoGLMColdStartOverdue", "scaled to zero", 100, replicas(wanted="0x120", ready="0x120") | cold_start(120)
    ),
    Situation("AutoGLMColdStartOverdue", "gone", 60, replicas(wanted="1x30 stale", ready="0x30 stale")),
    Situation(
        "AutoGLMColdStartOverdue",
        "a further replica is overdue",
        30,
        replicas(wanted="1x5 3x60", ready="1x60") | cold_start(240),
        (Fires("warning", PHONE, _late(2, _SOME)),),
    ),
    Situation(
        "AutoGLMColdStartOverdue",
        "all replicas were lost",
        30,
        replicas(wanted="2x60", ready="2x5 0x60") | cold_start(90),
        (Fires("critical", PHONE, _late(2, _NONE)),),
    ),
    Situation(
        "AutoGLMColdStartOverdue",
        "nothing learned, and longer than the longest that is waited for",
        100,
        replicas(wanted="1x120", ready="0x120"),
        (Fires("critical", PHONE, _late(1, _NONE)),),
    ),
    Situation(
        "AutoGLMColdStartOverdue",
        "the operator restarted meanwhile",
        40,
        series(operator.REPLICAS, PHONE | {"state": "wanted", "instance": "a"}, "2x20 stale")
        | series(operator.REPLICAS, PHONE | {"state": "ready", "instance": "a"}, "1x20 stale")
        | series(operator.REPLICAS, PHONE | {"state": "wanted", "instance": "b"}, "_x21 2x60")
        | series(operator.REPLICAS, PHONE | {"state": "ready", "instance": "b"}, "_x21 1x60")
        | cold_start(240),
        (Fires("warning", PHONE, _late(1, _SOME)),),
    ),
    Situation(
        "AutoGLMGPUMemoryExhaustion",
        "an hour is left",
        20,
        series(agent.MEMORY_EXHAUSTION, ENGINE | {"gpu": "0", "uuid": "GPU-1", "product": "H100"}, "3600x60"),
    ),
    Situation(
        "AutoGLMGPUMemoryExhaustion",
        "one step up",
        20,
        series(agent.MEMORY_EXHAUSTION, ENGINE | {"gpu": "0", "uuid": "GPU-1"}, "_x18 90 stale"),
    ),
    Situation(
        "AutoGLMGPUMemoryExhaustion",
        "five minutes are left",
        20,
        series(agent.MEMORY_EXHAUSTION, ENGINE | {"gpu": "0", "uuid": "GPU-1", "product": "H100"}, "300x60"),
        (
            Fires(
                "warning",
                POD | {"gpu": "0"},
                f"{ABOUT}pod phone-1: the memory of GPU 0 is used up in 5m 0s if it goes on as in the last minute.",
            ),
        ),
    ),
    Situation(
        "AutoGLMKVCacheExhaustion",
        "full for a moment",
        20,
        series(agent.ENGINE_KV_USAGE, ENGINE, "0.5x18 0.97x40")
        | series(agent.SIGNAL, ENGINE | {"signal": "kv_pressure"}, "0x18 1x40"),
    ),
    Situation(
        "AutoGLMKVCacheExhaustion",
        "another signal is on",
        20,
        series(agent.ENGINE_KV_USAGE, ENGINE, "0.5x40")
        | series(agent.SIGNAL, ENGINE | {"signal": "memory_pressure"}, "1x40"),
    ),
    Situation(
        "AutoGLMKVCacheExhaustion",
        "full for long",
        20,
        series(agent.ENGINE_KV_USAGE, ENGINE, "0.97x40")
        | series(agent.SIGNAL, ENGINE | {"signal": "kv_pressure"}, "1x40")
        | series(agent.SIGNAL, ENGINE | {"signal": "kv_exhaustion"}, "1x40"),
        (
            Fires(
                "warning",
                POD,
                f"{ABOUT}pod phone-1: 97% of the KV cache is in use; the agent's signal is on from 90%, or when it is "
                "used up within 30 s.",
            ),
        ),
    ),
    Situation(
        "AutoGLMEngineStalled",
        "an engine at work",
        20,
        series(agent.ENGINE_HANGS, ENGINE, "0x40") | series(agent.ENGINE_HUNG, ENGINE, "0x40"),
    ),
    Situation(
        "AutoGLMEngineStalled",
        "the agent restarts and counts from 0",
        20,
        series(agent.ENGINE_HANGS, ENGINE, "2x18 0x40"),
    ),
    Situation("AutoGLMEngineStalled", "half an hour after it", 40, series(agent.ENGINE_HANGS, ENGINE, "0x5 1x60")),
    Situation(
        "AutoGLMEngineStalled",
        "the engine was restarted between two scrapes",
        20,
        series(agent.ENGINE_HANGS, ENGINE, "7x15 8x40") | series(agent.ENGINE_HUNG, ENGINE, "0x40"),
        (
            Fires(
                "critical",
                POD,
                f"{ABOUT}pod phone-1: hangs of the engine within 10m: 1; the kubelet restarts it, and its requests are "
                "lost.",
            ),
        ),
    ),
    Situation(
        "AutoGLMEngineStalled",
        "the agent began with the engine hanging",
        1,
        series(agent.ENGINE_HANGS, ENGINE, "1x40") | series(agent.ENGINE_HUNG, ENGINE, "1x40"),
        (
            Fires(
                "critical",
                POD,
                f"{ABOUT}pod phone-1: hangs of the engine within 10m: 1; the kubelet restarts it, and its requests are "
                "lost.",
            ),
        ),
    ),
)


def fault(code, severity, action, values) -> Series:
    labels = ENGINE | {"uuid": "GPU-1", "code": code, "severity": severity, "action": action}
    return series(agent.FAULT, labels, values)


def _fault(severity, code, rest):
    text = f"{ABOUT}pod phone-1: GPU GPU-1 reports {code} {rest}"
    return (Fires(severity, POD | {"uuid": "GPU-1", "code": code}, text),)


FAULTS = (
    Situation(
        "AutoGLMGPUNeedsReset", "a fault that a restart cures", 10, fault("xid-31", "warning", "restart", "1x60")
    ),
    Situation("AutoGLMGPUNeedsReset", "two hours after it", 180, fault("xid-79", "critical", "drain", "1x20 stale")),
    Situation("AutoGLMGPUNeedsReset", "no data", 10, {}),
    Situation(
        "AutoGLMGPUNeedsReset",
        "the pod has left already",
        40,
        fault("xid-79", "critical", "drain", "1x20 stale"),
        _fault("critical", "xid-79", "within 1h: the GPU or its node has to be reset, and the pod takes no traffic."),
    ),
    Situation(
        "AutoGLMGPUNeedsReset",
        "not ready until somebody helps",
        10,
        fault("recovery-5", "critical", "not-ready", "1x60"),
        _fault(
            "critical", "recovery-5", "within 1h: the GPU or its node has to be reset, and the pod takes no traffic."
        ),
    ),
    Situation("AutoGLMGPUErrorRestarts", "another class", 10, fault("xid-79", "critical", "drain", "1x60")),
    Situation(
        "AutoGLMGPUErrorRestarts", "half an hour after it", 50, fault("xid-31", "warning", "restart", "1x10 stale")
    ),
    Situation(
        "AutoGLMGPUErrorRestarts",
        "an error within the engine",
        10,
        fault("xid-31", "warning", "restart", "_x5 1x2 stale"),
        _fault("warning", "xid-31", "within 15m: the engine restarts, and its requests are lost."),
    ),
    Situation("AutoGLMGPUNotice", "nothing to do", 30, fault("xid-63", "info", "none", "1x60")),
    Situation("AutoGLMGPUNotice", "for the first time", 12, fault("thermal", "warning", "none", "_x10 1x60")),
    Situation(
        "AutoGLMGPUNotice",
        "hot for long",
        30,
        fault("thermal", "warning", "none", "1x60"),
        _fault("info", "thermal", "within 15m: the pod serves on."),
    ),
)


def trouble(reason, values) -> Series:
    return series(operator.TROUBLE, PHONE | {"reason": reason}, values)


def _scaling(text, **labels):
    return (Fires("warning", PHONE | labels, ABOUT + text),)


def both(metric, values) -> Series:
    return twice(metric, PHONE, values)


SCALING = (
    Situation(
        "AutoGLMScalingBlocked",
        "the engine crashes",
        30,
        replicas(wanted="3x60", ready="1x60") | trouble("EngineCrashing", "1x60"),
    ),
    Situation(
        "AutoGLMScalingBlocked",
        "a node comes in time",
        30,
        replicas(wanted="3x60", ready="1x8 3x60") | trouble("Unschedulable", "1x8 stale"),
    ),
    Situation("AutoGLMScalingBlocked", "no data", 30, {}),
    Situation(
        "AutoGLMScalingBlocked",
        "no node takes the pods",
        30,
        replicas(wanted="3x60", ready="1x60") | trouble("Unschedulable", "1x60"),
        _scaling("replicas missing: 2, because of Unschedulable.", reason="Unschedulable"),
    ),
    Situation(
        "AutoGLMScalingBlocked",
        "a quota refuses the pods",
        30,
        replicas(wanted="3x60", ready="1x60") | trouble("PodsRejected", "1x60"),
        _scaling("replicas missing: 2, because of PodsRejected.", reason="PodsRejected"),
    ),
    Situation(
        "AutoGLMScalingMetricsStale",
        "fresh",
        30,
        replicas(ready="2x60") | BOUNDS | SCALER_UP | signal("autoglm_desired_replicas", "2x60"),
    ),
    Situation("AutoGLMScalingMetricsStale", "autoscaling is off", 30, replicas(ready="2x60") | SCALER_UP),
    Situation("AutoGLMScalingMetricsStale", "scaled to zero", 30, replicas(ready="0x60") | BOUNDS | SCALER_UP),
    Situation(
        "AutoGLMScalingMetricsStale", "the autoscaler is away, which is told otherwise", 30, replicas(ready="2x60")
    ),
    Situation(
        "AutoGLMScalingMetricsStale",
        "engines say nothing",
        30,
        replicas(ready="2x60") | BOUNDS | SCALER_UP | signal("autoglm_desired_replicas", "2x10 stale"),
        _scaling("ready replicas: 2; autoglm_desired_replicas has no value."),
    ),
    Situation("AutoGLMScalingAtMaximum", "at it", 30, BOUNDS | signal("autoglm_desired_replicas", "4x60")),
    Situation("AutoGLMScalingAtMaximum", "a short peak", 30, BOUNDS | signal("autoglm_desired_replicas", "4x20 6x60")),
    Situation("AutoGLMScalingAtMaximum", "autoscaling is off", 30, signal("autoglm_desired_replicas", "6x60")),
    Situation(
        "AutoGLMScalingAtMaximum",
        "over it",
        30,
        BOUNDS | signal("autoglm_desired_replicas", "6x60"),
        _scaling("replicas needed: 6, more than maxReplicas."),
    ),
    Situation("AutoGLMScalingFlapping", "up in steps", 60, replicas(wanted="1x9 2x9 3x9 4x9 5x9 6x20")),
    Situation("AutoGLMScalingFlapping", "twice", 60, replicas(wanted="1x9 2x9 1x9 2x9 1x60")),
    Situation(
        "AutoGLMScalingFlapping",
        "the operator restarted",
        60,
        series(operator.REPLICAS, PHONE | {"state": "wanted", "instance": "a"}, "3x20 stale")
        | series(operator.REPLICAS, PHONE | {"state": "wanted", "instance": "b"}, "_x22 3x60"),
    ),
    Situation(
        "AutoGLMScalingFlapping",
        "again and again",
        60,
        replicas(wanted="1x7 3x7 1x7 3x7 1x7 3x7 1x20"),
        _scaling("within 1h replicas were taken away 3 times, and added at least 3 times."),
    ),
    Situation(
        "AutoGLMDemandOverCapacity",
        "enough",
        30,
        both(autoscaler.DEMAND, "9x60") | both(autoscaler.CAPACITY, "5x60") | replicas(ready="2x60"),
    ),
    Situation("AutoGLMDemandOverCapacity", "capacity is not known", 30, both(autoscaler.DEMAND, "9x60")),
    Situation(
        "AutoGLMDemandOverCapacity",
        "too much",
        30,
        both(autoscaler.DEMAND, "12.5x60") | both(autoscaler.CAPACITY, "5x60") | replicas(ready="2x60"),
        _scaling("12.5 requests come in each second, more than the ready replicas can serve."),
    ),
    Situation(
        "AutoGLMFirstTokenSlow", "within the objective", 30, signal("autoglm_ttft_p99_seconds", "1.9x60") | OBJECTIVE_2S
    ),
    Situation("AutoGLMFirstTokenSlow", "no objective", 30, signal("autoglm_ttft_p99_seconds", "9x60")),
    Situation(
        "AutoGLMFirstTokenSlow",
        "for five minutes",
        30,
        signal("autoglm_ttft_p99_seconds", "1x25 9x60") | OBJECTIVE_2S,
    ),
    Situation(
        "AutoGLMFirstTokenSlow",
        "over the objective",
        30,
        signal("autoglm_ttft_p99_seconds", "3.5x60") | OBJECTIVE_2S,
        _scaling("P99 of the time to first token is 3.5s, over the objective."),
    ),
)
SYSTEM = {"namespace": "autoglm-system"}


def system(metric, values, **labels) -> Series:
    return series(metric, SYSTEM | {"instance": "a"} | labels, values)


def agents(*pods) -> Series:
    found = {}
    for pod in pods:
        found |= series(agent.BUILD_INFO, ENGINE | {"pod": pod, "version": "0.1.0"}, "1x60")
    return found


def _about_system(severity, text, **labels):
    return (Fires(severity, labels, text),)


_EXPIRES = (
    "The serving certificate of the metrics API in namespace autoglm-system expires in {}; after that no HPA on an "
    "AutoGLMDeployment can scale."
)
_DAY = 86_400
_HALF_HOUR = 1800

MACHINERY = (
    Situation("AutoGLMAgentDown", "each is heard", 30, replicas(ready="2x60") | agents("phone-1", "phone-2")),
    Situation("AutoGLMAgentDown", "scaled to zero", 30, replicas(ready="0x60")),
    Situation("AutoGLMAgentDown", "a pod just became ready", 30, replicas(ready="1x27 2x60") | agents("phone-1")),
    Situation(
        "AutoGLMAgentDown",
        "one is silent",
        30,
        replicas(ready="2x60") | agents("phone-1"),
        _scaling("ready replicas whose agent is not heard: 1; GPU faults and hangs of these are not seen."),
    ),
    Situation(
        "AutoGLMAgentDown",
        "all are silent",
        30,
        replicas(ready="2x60"),
        _scaling("ready replicas whose agent is not heard: 2; GPU faults and hangs of these are not seen."),
    ),
    Situation(
        "AutoGLMMetricsAPIDown",
        "one of two replicas is left",
        30,
        system(autoscaler.LAST_TICK, "0+60x10 stale") | system(autoscaler.LAST_TICK, "0+60x60", instance="b"),
    ),
    Situation(
        "AutoGLMMetricsAPIDown",
        "stuck",
        30,
        system(autoscaler.LAST_TICK, "0+60x20 1200x60"),
        _about_system("critical", "The last tick of any replica of the autoscaler was 10m 0s ago."),
    ),
    Situation(
        "AutoGLMMetricsAPIDown",
        "gone",
        30,
        system(autoscaler.LAST_TICK, "0+60x20 stale"),
        _about_system("critical", "The last tick of any replica of the autoscaler was 10m 0s ago."),
    ),
    Situation(
        "AutoGLMMetricsAPIDown",
        "never there",
        30,
        {},
        _about_system("critical", "The last tick of any replica of the autoscaler was 6h 0m 0s ago."),
    ),
    *(
        situation
        for name, metric, process, severity in (
            ("AutoGLMAutoscalerNoLeader", autoscaler.LEADER, "autoscaler", "warning"),
            ("AutoGLMOperatorNoLeader", operator.LEADER, "operator", "critical"),
        )
        for situation in (
            Situation(name, "one of two leads", 30, system(metric, "1x60") | system(metric, "0x60", instance="b")),
            Situation(
                name,
                "the Lease changes hands",
                30,
                system(metric, "1x20 stale") | system(metric, "0x21 1x60", instance="b"),
            ),
            Situation(
                name, "two installations", 30, system(metric, "1x60") | system(metric, "1x60", namespace="other-system")
            ),
            Situation(
                name,
                "nobody leads",
                30,
                system(metric, "0x60") | system(metric, "0x60", instance="b"),
                _about_system(severity, f"0 replicas of the {process} hold its Lease; it should be 1.", **SYSTEM),
            ),
            Situation(
                name,
                "two lead",
                30,
                system(metric, "1x60") | system(metric, "1x60", instance="b"),
                _about_system(severity, f"2 replicas of the {process} hold its Lease; it should be 1.", **SYSTEM),
            ),
            Situation(
                name,
                "no replica at all",
                30,
                {},
                _about_system(severity, f"0 replicas of the {process} hold its Lease; it should be 1."),
            ),
        )
    ),
    Situation(
        "AutoGLMCertificateExpiry", "a month is left", 30, system(autoscaler.CERTIFICATE_EXPIRY, f"{30 * _DAY}x60")
    ),
    Situation("AutoGLMCertificateExpiry", "none is loaded yet", 30, system(autoscaler.CERTIFICATE_EXPIRY, "0x60")),
    Situation(
        "AutoGLMCertificateExpiry",
        "replaced in time",
        30,
        system(autoscaler.CERTIFICATE_EXPIRY, f"{_DAY}x25 {90 * _DAY}x60"),
    ),
    Situation(
        "AutoGLMCertificateExpiry",
        "ten days are left on one replica",
        30,
        system(autoscaler.CERTIFICATE_EXPIRY, f"{10 * _DAY + _HALF_HOUR}x60")
        | system(autoscaler.CERTIFICATE_EXPIRY, f"{90 * _DAY}x60", instance="b"),
        _about_system("warning", _EXPIRES.format("10d 0h 0m 0s"), **SYSTEM),
    ),
    Situation(
        "AutoGLMCertificateExpiry",
        "a day is left",
        30,
        system(autoscaler.CERTIFICATE_EXPIRY, f"{_DAY + _HALF_HOUR}x60"),
        (
            *_about_system("critical", _EXPIRES.format("1d 0h 0m 0s"), **SYSTEM),
            *_about_system("warning", _EXPIRES.format("1d 0h 0m 0s"), **SYSTEM),
        ),
    ),
    Situation(
        "AutoGLMReconcileErrors",
        "one of a hundred",
        30,
        system(operator.RECONCILE_TOTAL, "0+99x60", result="success")
        | system(operator.RECONCILE_TOTAL, "0+1x60", result="error"),
    ),
    Situation(
        "AutoGLMReconcileErrors",
        "now and then a failure while nothing else happens",
        30,
        system(operator.RECONCILE_TOTAL, "0x5 1x8 2x8 3x8 4x8", result="error"),
    ),
    Situation(
        "AutoGLMReconcileErrors",
        "a third",
        30,
        system(operator.RECONCILE_TOTAL, "0+2x60", result="success")
        | system(operator.RECONCILE_TOTAL, "0+1x60", result="error"),
        _about_system("warning", "33.33% of the reconciles within 10m ended in an error.", **SYSTEM),
    ),
    Situation(
        "AutoGLMReconcileErrors",
        "a third, over a restart",
        30,
        system(operator.RECONCILE_TOTAL, "0+2x25 0+2x60", result="success")
        | system(operator.RECONCILE_TOTAL, "0+1x25 0+1x60", result="error"),
        _about_system("warning", "33.33% of the reconciles within 10m ended in an error.", **SYSTEM),
    ),
    Situation(
        "AutoGLMReconcileLate",
        "the queue of the standby waits until it leads",
        30,
        system(operator.QUEUE_AGE, "0x60")
        | system(operator.LEADER, "1x60")
        | system(operator.QUEUE_AGE, "0+60x60", instance="b")
        | system(operator.LEADER, "0x60", instance="b"),
    ),
    Situation(
        "AutoGLMReconcileLate",
        "the leader does not keep up",
        30,
        system(operator.QUEUE_AGE, "0x27 30 90 100x60") | system(operator.LEADER, "1x60"),
        _about_system("warning", "The deployment that waits longest has waited 1m 40s for a reconcile.", **SYSTEM),
    ),
    Situation(
        "AutoGLMTraceExportsFailing",
        "all arrive",
        40,
        system(operator.TRACE_EXPORTS, "0+9x60", result="ok") | system(operator.TRACE_EXPORTS, "0x60", result="failed"),
    ),
    Situation("AutoGLMTraceExportsFailing", "tracing is off", 40, system(operator.LEADER, "1x60")),
    Situation(
        "AutoGLMTraceExportsFailing",
        "a collector that is away",
        40,
        system(operator.TRACE_EXPORTS, "0+6x60", result="failed")
        | system(autoscaler.TRACE_EXPORTS, "0+3x60", result="dropped")
        | series(agent.OTLP_FAILURES, ENGINE, "0+1x60"),
        (
            *_about_system(
                "info",
                "60 exports of the operator in namespace autoglm-system were lost within 10m.",
                process="operator",
                **SYSTEM,
            ),
            *_about_system(
                "info",
                "30 exports of the autoscaler in namespace autoglm-system were lost within 10m.",
                process="autoscaler",
                **SYSTEM,
            ),
            *_about_system(
                "info",
                "10 exports of the agent in namespace team-a were lost within 10m.",
                process="agent",
                namespace="team-a",
            ),
        ),
    ),
)

"""How many replicas a deployment needs: pure.

```
need     queue    places in the batch for all requests in flight; more if replicas queue with places free
         latency  grow with P99 over objective, judged by what was observed since the last replica became ready
         memory   grow with KV-cache use over its limit
up       the largest need above what is ordered, at once and in full, within the bounds
down     only without doubt and if fewer replicas would stay below 80 % of every limit; at most half
```
Needs count from the replicas that are ready, and never ask for more than a known number of places or twice the ready
ones: while ordered pods start, the same need is found again and nothing is ordered twice. The hold before replicas go
is the HPA's.
"""

from dataclasses import dataclass
from math import ceil
from typing import Final

from autoglm_operator.api.v1alpha1 import Autoscaling
from autoglm_operator.decide.needs import (
    LEAST_QUEUE,
    Need,
    ScalingReason,
    Signals,
    find_needs,
    latencies,
    memory_limit,
    plural,
    requests,
)

#: Assumed where the spec does not say: no engine's default batch is smaller.
ASSUMED_BATCH: Final = 64
#: Seconds of samples from every pod without which replicas are never removed.
EVIDENCE_SECONDS: Final = 30.0
#: Of a limit, after replicas were removed: between this and the limit nothing changes.
HEADROOM: Final = 0.8


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer.

    Attributes:
        to: replicas wanted, within the bounds.
        message: one sentence with its numbers.
        causes: every need that was found, the largest first.
        traceparent: W3C reference of its span, once it has one.
    """

    to: int
    reason: ScalingReason
    message: str
    causes: tuple[Need, ...] = ()
    traceparent: str | None = None


def decide(autoscaling: Autoscaling, batch: int | None, ordered: int, signals: Signals) -> Decision:
    """Return how many replicas are wanted.

    Args:
        autoscaling: bounds, objective and signals of the spec.
        batch: most requests in the batch of one replica, if the spec says.
        ordered: replicas that `spec.replicas` asks for now.
        signals: what the pods say.
    """
    bounded = _clamp(autoscaling, ordered)
    found = _decide_within(autoscaling, batch or ASSUMED_BATCH, bounded, signals)
    if found.to != bounded or bounded == ordered:
        return found
    bounds = f"minReplicas is {autoscaling.min_replicas} and maxReplicas {autoscaling.max_replicas}"
    return _decision(ordered, bounded, ScalingReason.BOUNDS, bounds, found.causes)


def _decide_within(autoscaling: Autoscaling, batch: int, ordered: int, signals: Signals) -> Decision:
    if signals.ready == 0:
        why = f"no replica is ready ({signals.starting} starting, {signals.silent} without fresh metrics)"
        return _decision(ordered, ordered, ScalingReason.NO_READY_REPLICA, why)
    causes = find_needs(autoscaling, batch, signals)
    if causes and causes[0].replicas > ordered:
        return _up(autoscaling, ordered, signals, causes)
    return _down(autoscaling, batch, ordered, signals, causes)


def _clamp(autoscaling: Autoscaling, replicas: int) -> int:
    return max(autoscaling.min_replicas, min(autoscaling.max_replicas, replicas))


def _decision(ordered: int, to: int, reason: ScalingReason, because: str, causes: tuple[Need, ...] = ()) -> Decision:
    change = f"{ordered} → {to} replicas" if to != ordered else f"{to} {plural('replica', to)}"
    return Decision(to, reason, f"{change}: {because}", causes)


def _up(autoscaling: Autoscaling, ordered: int, signals: Signals, causes: tuple[Need, ...]) -> Decision:
    need = causes[0]
    if signals.unschedulable:
        none = f"no node takes {signals.unschedulable} of the {ordered} already ordered"
        return _decision(ordered, ordered, ScalingReason.UNSCHEDULABLE, f"{need.because}, but {none}", causes)
    to = min(autoscaling.max_replicas, need.replicas)
    capped = f"; maxReplicas is {to}" if to < need.replicas else ""
    return _decision(ordered, to, need.reason, need.because + capped, causes)


def _down(autoscaling: Autoscaling, batch: int, ordered: int, signals: Signals, causes: tuple[Need, ...]) -> Decision:
    if causes:
        coming = f"; {ordered} are ordered" if ordered > signals.ready else ""
        return _decision(ordered, ordered, causes[0].reason, causes[0].because + coming, causes)
    if ordered == autoscaling.min_replicas:
        return _decision(ordered, ordered, ScalingReason.STEADY, f"minReplicas, with {_load(signals)}")
    if doubt := _doubt(ordered, signals):
        return _decision(ordered, ordered, ScalingReason.UNCERTAIN, f"none is removed while {doubt}")
    if signals.peak == 0:
        to = autoscaling.min_replicas
        return _decision(ordered, to, ScalingReason.IDLE, f"no request for {EVIDENCE_SECONDS:.0f} s")
    # Of the ready ones too, so that the same signals do not halve what was just halved.
    least = ceil(max(ordered, signals.ready) / 2)
    for to in range(max(autoscaling.min_replicas, least), ordered):
        if _fits(autoscaling, batch, signals, to):
            return _decision(ordered, to, ScalingReason.SPARE, f"{to} suffice for {_load(signals)}")
    return _decision(ordered, ordered, ScalingReason.STEADY, _load(signals))


def _load(signals: Signals) -> str:
    peak = f"at most {signals.peak:.0f} in flight in {EVIDENCE_SECONDS:.0f} s"
    return f"{requests(signals.in_flight, 'run')} or wait, {peak}"


def _doubt(ordered: int, signals: Signals) -> str:
    """Return what is not known well enough to remove replicas; empty if nothing."""
    if signals.silent:
        return f"{signals.silent} ready {plural('pod', signals.silent)} without fresh metrics"
    if signals.starting:
        return f"{signals.starting} {plural('pod', signals.starting)} still starting"
    missing = ordered - signals.ready - signals.unschedulable
    if missing > 0:
        return f"{missing} of {ordered} {plural('pod', ordered)} not there yet"
    if signals.evidence < EVIDENCE_SECONDS:
        return f"samples cover only {signals.evidence:.0f} of {EVIDENCE_SECONDS:.0f} s"
    return ""


def _fits(autoscaling: Autoscaling, batch: int, signals: Signals, replicas: int) -> bool:
    """Whether `replicas` would stay inside 80 % of every limit.

    A queue grows at least in proportion as replicas go, and TTFT with it. ITL does not: a decode step reads the weights
    once for the whole batch, which is most of its time until the batch is nearly full, and that is checked by itself.
    """
    growth = max(1.0, signals.ready / replicas)
    alone = signals.peak <= replicas
    memory = memory_limit(autoscaling)
    fast = all(
        tail.p99 * (growth if name == "TTFT" else 1.0) <= HEADROOM * limit
        for name, tail, limit in latencies(autoscaling, signals)
    )
    return (
        signals.waiting < LEAST_QUEUE
        and signals.peak <= HEADROOM * replicas * batch
        and (memory is None or signals.kv_cache * growth <= HEADROOM * memory)
        and (signals.saturated_rate is None or signals.rate <= HEADROOM * replicas * signals.saturated_rate)
        # A request that has a replica to itself does not get slower by the removal of others.
        and (alone or fast)
    )

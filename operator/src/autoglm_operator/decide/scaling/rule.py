"""How many replicas a deployment needs: pure.

```
need     law      what the control law expects to need, by demand and the learned capacity of a replica
         queue    places in the batch for all requests in flight; more if replicas queue with places free
         latency  grow with P99 over objective, judged by what was observed since the last replica became ready
         memory   grow with KV-cache use over its limit
up       the largest need above what is ordered, at once and in full, within the bounds
down     only without doubt, if the law wants it, and if fewer would stay below 80 % of every limit; at most half
```
What is measured counts from the replicas that are ready, and never asks for more than a known number of places or twice
the ready ones: while ordered pods start, the same need is found again and nothing is ordered twice. Without a law, what
is measured decides alone. Whoever asks keeps the hold before replicas go.
"""

from dataclasses import dataclass, replace
from math import ceil
from typing import Final

from autoglm_operator.api.status import ScalingLimit
from autoglm_operator.api.types import seconds
from autoglm_operator.api.v1alpha1 import Autoscaling
from autoglm_operator.decide.law.explain import unless
from autoglm_operator.decide.law.parameters import Parameters
from autoglm_operator.decide.scaling.bounds import Bounds, quota_reached
from autoglm_operator.decide.scaling.needs import (
    LEAST_QUEUE,
    Need,
    ScalingReason,
    Signals,
    Tail,
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
#: Of what a replica carries: with less to do, it is not slow for want of others.
_BUSY: Final = Parameters().blame_from


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a decision expects, in requests per second.

    Attributes:
        demand: that arrive now.
        capacity: that one replica carries in a burst, at the objective.
        expected: that arrive when a replica ordered now would serve.
        upper: the same with its reserve.
        lead: seconds from an order to a replica that serves.
    """

    demand: float
    capacity: float
    expected: float
    upper: float
    lead: float


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer.

    Attributes:
        to: replicas wanted, within the bounds.
        message: one sentence with its numbers.
        causes: every need that was found by what is measured now, the largest first.
        traceparent: W3C reference of its span, once it has one.
        forecast: what is expected; `None` until one replica's capacity is known.
        candidates: cause and replicas as a fraction of everything that was weighed, the largest first.
        limits: what keeps the replicas from being what demand needs, the worst first.
        draining: replicas that finish their requests before they are removed.
    """

    to: int
    reason: ScalingReason
    message: str
    causes: tuple[Need, ...] = ()
    traceparent: str | None = None
    forecast: Forecast | None = None
    candidates: tuple[tuple[str, float], ...] = ()
    limits: tuple[ScalingLimit, ...] = ()
    draining: int = 0


@dataclass(frozen=True, slots=True)
class Advice:
    """What the control law says of a deployment whose replicas it knows well enough.

    Attributes:
        to: replicas wanted, within the bounds.
        need: replicas wanted, whatever the bounds.
        because: that cause with its numbers, as a clause.
        demand: requests that arrive per second.
        capacity: requests per second that one replica carries in a burst, at the objective.
        sure: whether the capacity is learned; it is believed before that.
    """

    to: int
    need: int
    reason: ScalingReason
    because: str
    demand: float
    capacity: float
    sure: bool

    def relieves(self, replicas: int) -> bool:
        """Whether `replicas` would have so little to do that what is slow is not slow for want of replicas."""
        return self.sure and self.demand <= _BUSY * replicas * self.capacity


@dataclass(frozen=True, slots=True)
class Case:
    """What is decided on.

    Attributes:
        autoscaling: objective and signals of the spec.
        bounds: in force.
        batch: most requests in the batch of one replica.
        ordered: replicas that `spec.replicas` asks for now.
        signals: what the pods say.
        advice: of the law; `None` while it has none to give.
        doubt: what is not known well enough to remove replicas, beside what the signals tell; empty if nothing.
        patient: whether pods that are not ready are waited for: those that never will be are no reason to keep others.
        held: most replicas that what was measured within the hold asked for.
        hold: seconds of it.
    """

    autoscaling: Autoscaling
    bounds: Bounds
    batch: int
    ordered: int
    signals: Signals
    advice: Advice | None = None
    doubt: str = ""
    patient: bool = True
    held: int = 0
    hold: float = 0.0


def decide(case: Case) -> Decision:
    """Return how many replicas are wanted."""
    bounded = max(case.bounds.least, min(case.bounds.most, case.ordered))
    found = _decide_within(replace(case, ordered=bounded))
    if found.to == bounded and bounded != case.ordered:
        found = _decision(case.ordered, bounded, ScalingReason.BOUNDS, case.bounds.why, found.causes)
    asked = max((need.replicas for need in found.causes), default=0)
    limit = quota_reached(case.bounds, max(asked, case.advice.need if case.advice else 0))
    return replace(found, limits=(*case.bounds.limits, *((limit,) if limit else ())))


def hurting(case: Case) -> Signals:
    """Return the signals without the latencies that ask for nothing once a replica is known.

    Without the law replicas are added before an objective is missed. The law keeps a reserve for that by itself, so
    that one that is met, and one that is missed by replicas with little to do, add none.
    """
    signals, advice = case.signals, case.advice
    if advice is None or not advice.sure or signals.waiting >= 1:
        return signals
    if advice.relieves(signals.ready):
        return replace(signals, ttft=None, itl=None)
    objective, signal = case.autoscaling.objective, case.autoscaling.signals.latency_p99
    if signal is not None and signal.target is not None:
        return signals
    ttft, itl = _missed(signals.ttft, objective.ttft_p99), _missed(signals.itl, objective.itl_p99)
    return replace(signals, ttft=ttft, itl=itl)


def _missed(tail: Tail | None, objective: str) -> Tail | None:
    return None if tail is None or tail.p99 <= seconds(objective) else tail


def _decide_within(case: Case) -> Decision:
    ordered, signals, advice = case.ordered, case.signals, case.advice
    if signals.ready == 0:
        why = f"no replica is ready ({signals.starting} starting, {signals.silent} without fresh metrics)"
        return _decision(ordered, ordered, ScalingReason.NO_READY_REPLICA, why)
    causes = find_needs(case.autoscaling, case.batch, hurting(case))
    measured = causes[0].replicas if causes else 0
    if advice is not None and advice.to > ordered and advice.to >= min(measured, case.bounds.most):
        law = Need(advice.need, advice.reason, advice.because)
        return _up(case, advice.to, law, causes)
    if measured > ordered:
        return _up(case, min(case.bounds.most, measured), causes[0], causes)
    if causes:
        coming = f"; {ordered} are ordered" if ordered > signals.ready else ""
        return _decision(ordered, ordered, causes[0].reason, causes[0].because + coming, causes)
    return _down(case) if advice is None else _follow_down(case, advice)


def _decision(ordered: int, to: int, reason: ScalingReason, because: str, causes: tuple[Need, ...] = ()) -> Decision:
    change = f"{ordered} → {to} replicas" if to != ordered else f"{to} {plural('replica', to)}"
    return Decision(to, reason, f"{change}: {because}", causes)


def _up(case: Case, to: int, need: Need, causes: tuple[Need, ...]) -> Decision:
    ordered, signals = case.ordered, case.signals
    if signals.unschedulable:
        none = f"no node takes {signals.unschedulable} of the {ordered} already ordered"
        return _decision(ordered, ordered, ScalingReason.UNSCHEDULABLE, f"{need.because}, but {none}", causes)
    capped = f"; {case.bounds.cap}" if to < need.replicas else ""
    return _decision(ordered, to, need.reason, need.because + capped, causes)


def _down(case: Case) -> Decision:
    """Return what is left by what is measured alone."""
    ordered, signals, least = case.ordered, case.signals, case.bounds.least
    if ordered == least:
        return _decision(ordered, ordered, ScalingReason.STEADY, f"minReplicas, with {_load(signals)}")
    if doubt := doubt_of(case):
        return _decision(ordered, ordered, ScalingReason.UNCERTAIN, f"none is removed while {doubt}")
    to, reason, because = ordered, ScalingReason.STEADY, _load(signals)
    if signals.peak == 0:
        to, reason, because = least, ScalingReason.IDLE, f"no request for {EVIDENCE_SECONDS:.0f} s"
    elif (spare := _fewest(case, least)) < ordered:
        to, reason, because = spare, ScalingReason.SPARE, f"{spare} suffice for {_load(signals)}"
    if to < ordered and to < case.held:
        to, reason = min(ordered, case.held), ScalingReason.HOLD
        because = f"{_load(signals)}, but {case.held} were needed in the last {case.hold:.0f} s"
    return _decision(ordered, to, reason, because)


def _follow_down(case: Case, advice: Advice) -> Decision:
    """Return what the law leaves, as far as what is measured allows it."""
    ordered = case.ordered
    if advice.to >= ordered or ordered == case.bounds.least:
        return _decision(ordered, ordered, advice.reason, advice.because)
    if doubt := doubt_of(case):
        because = advice.because.removesuffix(unless(doubt)) + unless(doubt)
        return _decision(ordered, ordered, ScalingReason.UNCERTAIN, because)
    to = _fewest(case, max(advice.to, case.held))
    if to < ordered:
        return _decision(ordered, to, advice.reason, advice.because)
    near = f"{advice.because}; with {ordered - 1} a limit would be near"
    return _decision(ordered, ordered, ScalingReason.STEADY, near)


def _fewest(case: Case, least: int) -> int:
    """Return the fewest replicas from `least` on that suffice; what is ordered if none fewer do."""
    # At most half: of the ready ones too, so that the same signals do not halve what was just halved.
    half = ceil(max(case.ordered, case.signals.ready) / 2)
    candidates = range(max(case.bounds.least, least, half), case.ordered)
    return next((replicas for replicas in candidates if _fits(case, replicas)), case.ordered)


def _load(signals: Signals) -> str:
    peak = f"at most {signals.peak:.0f} in flight in {EVIDENCE_SECONDS:.0f} s"
    return f"{requests(signals.in_flight, 'run')} or wait, {peak}"


def doubt_of(case: Case) -> str:
    """Return what is not known well enough to remove replicas; empty if nothing."""
    ordered, signals = case.ordered, case.signals
    if case.doubt:
        return case.doubt
    if signals.silent:
        return f"{signals.silent} ready {plural('pod', signals.silent)} without fresh metrics"
    if signals.starting and case.patient:
        return f"{signals.starting} {plural('pod', signals.starting)} still starting"
    missing = ordered - signals.ready - signals.unschedulable
    if missing > 0 and case.patient:
        return f"{missing} of {ordered} {plural('pod', ordered)} not there yet"
    if signals.evidence < EVIDENCE_SECONDS:
        return f"samples cover only {signals.evidence:.0f} of {EVIDENCE_SECONDS:.0f} s"
    return ""


def _fits(case: Case, replicas: int) -> bool:
    """Whether `replicas` would stay inside 80 % of every limit.

    A queue grows at least in proportion as replicas go, and TTFT with it. ITL does not: a decode step reads the weights
    once for the whole batch, which is most of its time until the batch is nearly full, and that is checked by itself.
    """
    autoscaling, signals = case.autoscaling, case.signals
    growth = max(1.0, signals.ready / replicas)
    # A request that has a replica to itself does not get slower by the removal of others.
    calm = signals.peak <= replicas or (case.advice is not None and case.advice.relieves(replicas))
    memory = memory_limit(autoscaling)
    fast = all(
        tail.p99 * (growth if name == "TTFT" else 1.0) <= HEADROOM * limit
        for name, tail, limit in latencies(autoscaling, signals)
    )
    return (
        signals.waiting < LEAST_QUEUE
        and signals.peak <= HEADROOM * replicas * case.batch
        and (memory is None or signals.kv_cache * growth <= HEADROOM * memory)
        and (signals.saturated_rate is None or signals.rate <= HEADROOM * replicas * signals.saturated_rate)
        and (calm or fast)
    )

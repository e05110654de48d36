"""Judges how many replicas each deployment needs: the control law and the reactive rule together.

```
not known   model or GPU have no profile, and fewer than 30 ticks were learned from: the reactive rule alone
believed    the profile says what a replica carries: the law counts, and orders at most twice the ready replicas
learned     30 ticks were learned from: the law counts in full
```

The law never removes what the reactive rule would keep, and neither removes anything before this process has watched
the deployment for the hold of its spec without a gap: what was needed before is not known.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from autoglm_operator.api.types import seconds
from autoglm_operator.autoscaler.law_feed import Seen, feed
from autoglm_operator.autoscaler.learned import Learned, batch_of, lead_of, parameters
from autoglm_operator.autoscaler.pods import Key, Target
from autoglm_operator.autoscaler.snapshot import AGENT_STALE_SECONDS, STALE_TICKS, Snapshot, are_fresh
from autoglm_operator.autoscaler.store import Row
from autoglm_operator.decide.law import law, store
from autoglm_operator.decide.law.types import Cause, Sample
from autoglm_operator.decide.law.types import Decision as Answer
from autoglm_operator.decide.scaling.bounds import Bounds
from autoglm_operator.decide.scaling.elastic import Load, limit_of, reduce
from autoglm_operator.decide.scaling.needs import ScalingReason, Signals
from autoglm_operator.decide.scaling.rule import Advice, Case, Decision, Forecast, decide, doubt_of

#: Pods that have not become ready for so long, or for so many times the usual, may never be: they are no reason to keep
#: others.
_PATIENCE_SECONDS: Final = 600.0
_PATIENCE_LEADS: Final = 3.0
#: Until the capacity is learned, the law orders at most so many times the ready replicas.
_MOST_GROWTH: Final = 2

_Rows = Sequence[Row]


@dataclass(slots=True)
class _Kept:
    """What is remembered of one deployment.

    Attributes:
        learned: by the law.
        seen: of the pods, at the last tick.
        began: monotonic time since when replicas were seen without a gap.
        looked: monotonic time when they were seen last.
        asked: what was measured asked for within the hold: (monotonic time, replicas), each fewer than the one before.
        wanted: replicas wanted at the last tick that had no doubt; `None` before the first.
        counted: whether the law counted at the last tick.
        short: replicas ordered and ready as long as some are missing, and since when.
    """

    learned: Learned
    seen: Seen
    began: float
    looked: float
    asked: deque[tuple[float, int]] = field(default_factory=deque)
    wanted: int | None = None
    counted: bool = False
    short: tuple[int, int, float] = (0, 0, 0.0)

    def look(self, ready: int, now: float, gap: float) -> None:
        """Note that replicas were seen, if any were; what was needed during more than a `gap` nobody knows."""
        if ready:
            self.began = now if now - self.looked > gap else self.began
            self.looked = now


class Judge:
    """Judges all deployments, and learns about each.

    Args:
        interval: seconds between two scrapes.
        clock: Unix time in seconds.
    """

    def __init__(self, interval: float, clock: Callable[[], float] = time.time) -> None:
        self._interval = interval
        self._clock = clock
        self._kept: dict[Key, _Kept] = {}
        self._stored: dict[Key, dict[str, Any]] = {}

    def judge(self, target: Target, rows: _Rows, snapshot: Snapshot, bounds: Bounds, now: float) -> Decision | None:
        """Return the decision; `None` if autoscaling is off, or ready pods are there and all of them are silent.

        Args:
            target: with the replicas in service as those that are ordered.
            rows: its pods in service, with what is known of each.
            snapshot: of them.
            bounds: in force.
            now: monotonic time.
        """
        signals, autoscaling = snapshot.signals, target.autoscaling
        if autoscaling is None or (signals.silent and not signals.ready):
            return None
        kept = self._of(target, now)
        kept.look(signals.ready, now, STALE_TICKS * self._interval)
        hold = seconds(autoscaling.scale_down_hold)
        reduced = reduce(batch_of(target), self._loads(target, rows, now), signals)
        setup = kept.learned.objectives(target.setup)
        sample = feed(rows, kept.seen, setup, _ordered(target, bounds, kept), now)
        case = Case(
            autoscaling=autoscaling,
            bounds=bounds,
            batch=reduced.batch,
            ordered=target.replicas,
            signals=reduced.signals,
            doubt=_doubt(kept, sample),
            patient=_is_patient(kept, target, signals, now),
            hold=hold,
        )
        young = _young(kept, now, hold)
        if sample is not None:
            sample.doubt = young or doubt_of(case)
        told = self._advise(target, kept.learned, case, sample, signals)
        kept.counted = told is not None
        case = replace(case, advice=told and told[0], signals=kept.learned.mendable(reduced.signals))
        decision = _hold(case, kept.asked, now)
        if young and decision.to < target.replicas:
            decision = decide(replace(case, doubt=young))
        if kept.wanted is None or decision.reason is not ScalingReason.UNCERTAIN:
            kept.wanted = decision.to
        message = f"{decision.message}; {reduced.sentence}" if reduced.sentence else decision.message
        limits = (*decision.limits, *kept.learned.unmet.values())
        return _with_causes(replace(decision, message=message, limits=limits), target, told[1] if told else None)

    def capacity(self, key: Key) -> float | None:
        """Return the requests per second that one replica carries in a burst; `None` until it is learned."""
        kept = self._kept.get(key)
        return kept.learned.state.capacity.rate or None if kept and kept.learned.sure else None

    def dump(self, key: Key) -> dict[str, Any] | None:
        """Return what was learned of a deployment, for JSON; `None` if nothing was."""
        kept = self._kept.get(key)
        if kept is None or not kept.learned.state.demand.age:
            return self._stored.get(key)
        return store.dump(kept.learned.state)

    def restore(self, key: Key, stored: dict[str, Any]) -> None:
        """Go on from what `dump` returned once, at the next tick; what is not whole is left out."""
        self._stored[key] = stored

    def forget(self, key: Key) -> None:
        """Drop a deployment that is gone."""
        self._kept.pop(key, None)
        self._stored.pop(key, None)

    def _of(self, target: Target, now: float) -> _Kept:
        """Return what is known of a deployment."""
        key = target.key
        kept = self._kept.get(key)
        if kept is None:
            learned = Learned.of(target, self._stored.pop(key, {}))
            kept = self._kept[key] = _Kept(learned, Seen(now, self._clock(), self._interval), now, now)
        elif key in self._stored:
            # It came late: whoever has seen more knows better.
            stored = Learned.of(target, self._stored.pop(key))
            if stored.state.demand.age > kept.learned.state.demand.age:
                kept.learned = stored
        kept.learned.follow(target)
        return kept

    def _loads(self, target: Target, rows: _Rows, now: float) -> list[Load]:
        """Return the ready replicas, each with the smaller batch that its agent asks for."""
        loads = []
        for _, history in are_fresh(rows, now, self._interval):
            heard = history.gpu is not None and now - history.gpu.taken <= AGENT_STALE_SECONDS
            limit = limit_of(history.requests, target.tolerance) if heard else None
            loads.append(Load(history.samples[-1].running, limit))
        return loads

    @staticmethod
    def _advise(
        target: Target, learned: Learned, case: Case, sample: Sample | None, signals: Signals
    ) -> tuple[Advice, Answer] | None:
        """Let the law see the sample; return its advice and what it is made of, once it counts."""
        if sample is None:
            return None
        numbers = parameters(case.hold)
        answer = law.decide(
            numbers, learned.goal(target, case.autoscaling, case.bounds, signals), learned.state, sample
        )
        if not answer.candidates or not learned.counts:
            return None
        to = need = answer.replicas
        if to == case.bounds.most:
            top = next(item for item in answer.candidates if item.cause != Cause.HOLD)
            need = max(to, math.ceil(top.replicas - numbers.up_margin))
        if not learned.sure:
            most = max(sample.ordered, _MOST_GROWTH * signals.ready)
            to, need = min(to, most), min(need, most)
        reason = ScalingReason(answer.reason)
        return Advice(to, need, reason, answer.because, answer.demand, answer.capacity, learned.sure), answer


def _ordered(target: Target, bounds: Bounds, kept: _Kept) -> int:
    """Return the replicas that the law goes by: those that are to go are gone for it, although whoever acts waits."""
    wanted = target.replicas if kept.wanted is None else min(target.replicas, kept.wanted)
    return max(bounds.least, min(bounds.most, wanted))


def _young(kept: _Kept, now: float, hold: float) -> str:
    """Return why nothing is removed soon after the start; empty later on."""
    seen = now - kept.began
    return f"needs are known for only {seen:.0f} s of the hold of {hold:.0f} s" if seen < hold else ""


def _doubt(kept: _Kept, sample: Sample | None) -> str:
    """Return what is not known, beside what the signals tell; empty if nothing."""
    if sample is None:
        return "what arrives cannot be told" if kept.counted else ""
    return sample.doubt


def _is_patient(kept: _Kept, target: Target, signals: Signals, now: float) -> bool:
    """Whether replicas that are missing are still waited for."""
    ordered, ready, since = kept.short
    if (ordered, ready) != (target.replicas, signals.ready) or signals.ready >= target.replicas:
        since = now
    kept.short = (target.replicas, signals.ready, since)
    return now - since < max(_PATIENCE_SECONDS, _PATIENCE_LEADS * lead_of(target))


def _hold(case: Case, asked: deque[tuple[float, int]], now: float) -> Decision:
    """Return the decision, with no fewer replicas than what was measured within the hold asked for."""
    decision = decide(case)
    measured = max((need.replicas for need in decision.causes), default=0)
    value = decision.to if case.advice is None else measured
    while asked and asked[0][0] <= now - case.hold:
        asked.popleft()
    held = asked[0][1] if asked else 0
    while asked and asked[-1][1] <= value:
        asked.pop()
    asked.append((now, value))
    return decide(replace(case, held=held)) if decision.to < min(case.ordered, held) else decision


def _with_causes(decision: Decision, target: Target, answer: Answer | None) -> Decision:
    """Return the decision with all that was weighed, and what is expected."""
    weighed = [(need.reason.value, float(need.replicas)) for need in decision.causes]
    forecast = None
    if answer is not None:
        weighed += [(item.cause, item.replicas) for item in answer.candidates]
        lead = law.horizon(parameters(0.0), lead_of(target))
        forecast = Forecast(answer.demand, answer.capacity, answer.expected, answer.upper, lead)
    return replace(decision, forecast=forecast, candidates=tuple(sorted(weighed, key=_by_replicas)))


def _by_replicas(weighed: tuple[str, float]) -> float:
    return -weighed[1]

"""What is followed of each deployment from tick to tick: the events counted, and the bottleneck that is named."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from autoglm_operator.api.signals import GPU_MEMORY_UTILIZATION
from autoglm_operator.api.status import Bottleneck
from autoglm_operator.autoscaler import bottleneck, slo
from autoglm_operator.autoscaler.metrics import BOTTLENECK, Metrics
from autoglm_operator.autoscaler.pods import Key, Target
from autoglm_operator.autoscaler.snapshot import Snapshot, are_fresh
from autoglm_operator.autoscaler.store import Row
from autoglm_operator.decide.bottleneck import Held
from autoglm_operator.decide.scaling.needs import ScalingReason
from autoglm_operator.decide.scaling.rule import Decision
from autoglm_operator.exposition import Own

logger = logging.getLogger(__name__)

#: GPU figures come no more often, and a cause takes longer than that to change.
_LOOK_SECONDS: Final = 10.0
_CAUSES: Final[Mapping[ScalingReason, str]] = {
    ScalingReason.QUEUE: "queue",
    ScalingReason.LATENCY: "latency",
    ScalingReason.MEMORY: "memory",
}
#: What the law asks for, under its own names: its queue is the time to work one off, not the places that it takes.
_FORESEEN: Final[Mapping[str, str]] = {
    ScalingReason.LOAD: "load",
    ScalingReason.LEAD: "forecast",
    ScalingReason.PERIOD: "period",
    ScalingReason.QUEUE: "backlog",
    ScalingReason.HOLD: "hold",
}
(_CAUSE,) = BOTTLENECK.labels[-1:]


@dataclass(slots=True)
class _Followed:
    held: Held | None = None
    looked: float | None = None


class Following:
    """Follows all deployments, and shows what it finds in the metrics.

    Args:
        metrics: of this process.
        interval: seconds between two scrapes.
        started: Unix time when this process began. What pods counted before is not counted again.
    """

    def __init__(self, metrics: Metrics, *, interval: float, started: float) -> None:
        self._metrics = metrics
        self._interval = interval
        self._started = started
        self._followed: dict[Key, _Followed] = {}

    def count(self, target: Target, rows: Sequence[Row]) -> None:
        """Count what the engines did since their last samples.

        A pod that is younger than this process counts from its start. An older one counts from the first sample on:
        what it did before was counted by the process before, or lies too long ago for any budget.
        """
        total = slo.Events()
        for pod, history in rows:
            latest = history.samples[-1] if history.samples else None
            if latest is None or latest is history.counted:
                continue
            if history.counted is not None or pod.created >= self._started:
                total.add(slo.events(history.counted, latest, target.setup))
            history.counted = latest
        key, metrics = target.key, self._metrics
        for series, amounts in (
            (metrics.slo_requests, total.judged),
            (metrics.slo_good, total.good),
            (metrics.tokens, total.tokens),
        ):
            for name, amount in amounts.items():
                series.add(key, amount, name)

    def show(self, target: Target, snapshot: Snapshot, decision: Decision | None, capacity: float | None) -> None:
        """Show demand, forecast, capacity of one replica in requests per second, and what the causes ask for."""
        key, metrics = target.key, self._metrics
        causes = decision.causes if decision else ()
        needs: dict[Own, float] = {
            (_CAUSES[need.reason],): float(need.replicas) for need in reversed(causes) if need.reason in _CAUSES
        }
        measured = [(need.reason.value, float(need.replicas)) for need in causes]
        for cause, replicas in decision.candidates if decision else ():
            if cause in _FORESEEN and (cause, replicas) not in measured:
                needs[_FORESEEN[cause],] = replicas
        forecast = decision.forecast if decision else None
        bounds: dict[Own, float] = (
            {} if forecast is None else {("expected",): forecast.expected, ("upper",): forecast.upper}
        )
        metrics.forecast.replace(key, bounds)
        metrics.need.replace(key, needs)
        metrics.demand.replace(key, {} if snapshot.demand is None else {(): snapshot.demand})
        metrics.capacity.replace(key, {} if capacity is None else {(): capacity})

    def look(self, target: Target, rows: Sequence[Row], snapshot: Snapshot, now: float) -> Bottleneck | None:
        """Return what limits the deployment, for its status; `None` if no replica is ready.

        Args:
            target: with what the status says now.
            rows: its pods, with what is known of each.
            snapshot: of now.
            now: monotonic time.
        """
        key = target.key
        if not any(pod.ready for pod, _ in rows):
            self.forget(key)
            return None
        followed = self._followed.setdefault(key, _Followed())
        written = target.serving.bottleneck if target.serving else None
        if followed.looked is None or now - followed.looked >= _LOOK_SECONDS:
            self._diagnose(target, followed, written, (are_fresh(rows, now, self._interval), snapshot), now)
        return written if followed.held is None else bottleneck.status(followed.held)

    def _diagnose(
        self,
        target: Target,
        followed: _Followed,
        written: Bottleneck | None,
        seen: tuple[Sequence[Row], Snapshot],
        now: float,
    ) -> None:
        fresh, snapshot = seen
        memory = snapshot.values.get(GPU_MEMORY_UTILIZATION.name)
        found = bottleneck.figures([history for _, history in fresh], snapshot, memory, now)
        if found is None:
            return
        followed.looked = now
        before, followed.held = followed.held, bottleneck.follow(followed.held, written, found, target.setup, now)
        named = followed.held.named
        key = target.key
        shown: dict[Own, float] = {(cause,): float(cause == named.cause) for cause in _causes()}
        self._metrics.bottleneck.replace(key, shown)
        told = bottleneck.evidence(found, target.setup)
        self._metrics.evidence.replace(key, {(name,): value for name, value in told.items()})
        if before is None or before.named.cause is not named.cause:
            fields = {"namespace": key[0], "deployment": key[1], "reason": named.cause.value}
            logger.info("bottleneck", extra={**fields, "bottleneck": named.sentence})

    def forget(self, key: Key) -> None:
        """Stop following a deployment that is gone or has no replica; what was counted stays until it is gone."""
        if self._followed.pop(key, None) is not None:
            self._metrics.bottleneck.forget(key)
            self._metrics.evidence.forget(key)


def _causes() -> tuple[str, ...]:
    return _CAUSE.bound if isinstance(_CAUSE.bound, tuple) else ()

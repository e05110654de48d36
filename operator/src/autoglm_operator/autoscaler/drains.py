"""Takes replicas out of service before they are removed, and puts them back: the thin shell around `decide.victims`.

All that is remembered of a drain is written on the pods: their label says how far they are, an annotation since when.
Whoever leads goes on with what is there, and a standby serves the same number without writing anything.

The patches go to `pods/status`. That subresource takes labels and annotations and leaves a pod's spec and owners alone,
so that nobody who takes over the autoscaler can change what runs in a pod: `pods` itself would let him change images.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from autoglm_operator.api import names
from autoglm_operator.api.types import seconds
from autoglm_operator.api.v1alpha1 import PredictionMode
from autoglm_operator.autoscaler.pods import ANNOTATION_COST_BEFORE, ANNOTATION_SINCE, EnginePod, Key, Target
from autoglm_operator.autoscaler.snapshot import are_fresh
from autoglm_operator.autoscaler.store import History, Row
from autoglm_operator.decide.scaling.actuation import OURS
from autoglm_operator.decide.scaling.rule import Decision
from autoglm_operator.decide.scaling.victims import (
    Order,
    Plan,
    Replica,
    Stage,
    Times,
    follow,
    give_back,
    in_service,
    plan,
)
from autoglm_operator.decide.start.timing import DRAIN_SECONDS, PRE_STOP_SECONDS, learned_drain
from autoglm_operator.kube import resources
from autoglm_operator.kube.client import Client, Document
from autoglm_operator.kube.errors import HTTP_CONFLICT, HTTP_INVALID, HTTP_NOT_FOUND, ApiError, KubeError

logger = logging.getLogger(__name__)

#: Lower than what anybody sets, and what may go now lower than what finishes. Both are in the range of the annotation.
_COSTS: Final = {Stage.DRAINING: str(-(2**31) + 1), Stage.DRAINED: str(-(2**31))}
#: Who may be waited for by the HPA beyond its hold: its sync periods, and a busy controller.
_SLACK_SECONDS: Final = 120.0
#: In a row, before a replica counts as idle: one may have been taken between two requests.
_IDLE_SAMPLES: Final = 2
#: Longer than a write takes. A tick does not wait for more: the next one tries again.
_PATCH_SECONDS: Final = 2.0
#: Answers about a pod that is not there any more; the last one is about another pod of its name.
_GONE: Final = (HTTP_NOT_FOUND, HTTP_CONFLICT, HTTP_INVALID)


def serving_rows(target: Target, rows: Sequence[Row]) -> tuple[Target, list[Row]]:
    """Return the deployment and its pods as a decision should see them: without those that are on their way out."""
    kept = [row for row in rows if row[0].serving]
    if len(kept) == len(rows):
        return target, kept
    return replace(target, replicas=in_service(target.replicas, len(rows), len(rows) - len(kept))), kept


class Drains:
    """Settles what is served, and patches pods as the leader.

    Args:
        client: of the API server.
        is_leader: whether this replica may write.
        interval: seconds between two scrapes.
        clock: Unix time in seconds.
    """

    def __init__(
        self, client: Client, is_leader: Callable[[], bool], *, interval: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._client = client
        self._is_leader = is_leader
        self._interval = interval
        self._clock = clock
        self._orders: dict[Key, Order] = {}
        self._told: dict[Key, str] = {}

    def forget(self, key: Key) -> None:
        """Drop a deployment that is gone."""
        self._orders.pop(key, None)
        self._told.pop(key, None)

    async def settle(
        self, target: Target, rows: Sequence[Row], decision: Decision | None, now: float
    ) -> Decision | None:
        """Return the decision with the number to serve now, after replicas were taken out of service or put back.

        A write that fails is tried again at the next tick. The number falls all the same once the time for it is up.

        Args:
            target: as it is.
            rows: all its pods that are not being removed.
            decision: of this tick; `None` if nothing is known, which puts every replica back.
            now: monotonic time.
        """
        key, wall = target.key, self._clock()
        pods = {pod.uid: pod for pod, _ in rows}
        replicas = self._replicas(rows, now, wall)
        if decision is None or not _may_drain(target, rows):
            self._orders.pop(key, None)
            moves = give_back(replicas)
        else:
            order = follow(self._orders.get(key), decision, target.replicas, wall)
            self._orders[key] = order
            made = plan(order, decision, replicas, ordered=target.replicas, times=_times(target), now=wall)
            decision, moves = made.decision, _with_corrections(made, replicas, pods)
        if moves and self._is_leader():
            await self._move(key, [(pods[replica.name], stage) for replica, stage in moves], wall)
        return decision

    def _replicas(self, rows: Sequence[Row], now: float, wall: float) -> list[Replica]:
        fresh = {pod.uid for pod, _ in are_fresh(rows, now, self._interval)}
        return [_replica(pod, history, now, wall, fresh=pod.uid in fresh) for pod, history in rows]

    async def _move(self, key: Key, moves: Sequence[tuple[EnginePod, Stage]], wall: float) -> None:
        results = await asyncio.gather(*(self._patch(pod, stage, wall) for pod, stage in moves))
        failed = [result for result in results if result]
        if not failed:
            self._told.pop(key, None)
        elif self._told.get(key) != failed[0]:
            # Once for each kind of trouble: what is refused is refused at each tick.
            self._told[key] = failed[0]
            fields = {"namespace": key[0], "deployment": key[1], "pods": len(failed), "error": failed[0]}
            logger.warning("pods not taken out of service or put back", extra=fields)

    async def _patch(self, pod: EnginePod, stage: Stage, wall: float) -> str:
        """Write one pod's stage and return what went wrong; empty if nothing did, or if the pod is gone."""
        path = resources.path("v1", "Pod", pod.namespace, pod.name, "status")
        try:
            async with asyncio.timeout(_PATCH_SECONDS):
                await self._client.request(
                    "PATCH",
                    path,
                    params={"fieldManager": names.AUTOSCALER_MANAGER},
                    body=body(pod, stage, wall),
                    content_type="application/merge-patch+json",
                )
        except TimeoutError:
            return f"PATCH {path}: no answer within {_PATCH_SECONDS:.0f} s"
        except KubeError as error:
            return "" if isinstance(error, ApiError) and error.status in _GONE else str(error)
        fields = {"namespace": pod.namespace, "deployment": pod.deployment, "pod": pod.name, "stage": stage.value}
        logger.info("pod moved", extra=fields)
        return ""


def _may_drain(target: Target, rows: Sequence[Row]) -> bool:
    """Whether it is ours to say who goes: the number is ours, and all pods are of one template.

    While a rollout replaces pods, its controller removes those of the old template, whatever they cost.
    """
    autoscaling, actuation = target.autoscaling, target.actuation
    return (
        autoscaling is not None
        and autoscaling.prediction.mode is not PredictionMode.ADVISORY
        and actuation is not None
        and actuation.path in OURS
        and len({pod.revision for pod, _ in rows}) <= 1
    )


def _times(target: Target) -> Times:
    said = target.serving.model_dump(by_alias=True) if target.serving else {}
    hold = seconds(target.autoscaling.scale_down_hold) if target.autoscaling else 0.0
    return Times(float(learned_drain(said) or DRAIN_SECONDS), hold + _SLACK_SECONDS)


def _replica(pod: EnginePod, history: History, now: float, wall: float, *, fresh: bool) -> Replica:
    # Proxies on other nodes may send requests for as long as that after the label was changed.
    quiet = now - (wall - pod.draining_since) + PRE_STOP_SECONDS
    last = [sample for sample in list(history.samples)[-_IDLE_SAMPLES:] if sample.taken >= quiet]
    return Replica(
        name=pod.uid,
        ready=pod.ready,
        stage=Stage.SERVING if pod.serving else Stage.DRAINED if pod.drained else Stage.DRAINING,
        load=history.samples[-1].in_flight if fresh else None,
        idle=fresh and len(last) == _IDLE_SAMPLES and not any(sample.in_flight for sample in last),
        since=pod.draining_since,
        created=pod.created,
        index=pod.index,
    )


def _with_corrections(
    made: Plan, replicas: Sequence[Replica], pods: dict[str, EnginePod]
) -> tuple[tuple[Replica, Stage], ...]:
    """Return the moves, and the stages to write once more since somebody else wrote another deletion cost."""
    moved = {replica.name for replica, _ in made.moves}
    wrong = [
        (replica, replica.stage)
        for replica in replicas
        if replica.out and replica.name not in moved and pods[replica.name].deletion_cost != _COSTS[replica.stage]
    ]
    return (*made.moves, *wrong)


def body(pod: EnginePod, stage: Stage, wall: float) -> Document:
    """Return the merge patch that writes label, deletion cost and what to remember, all at once.

    Args:
        pod: as it is.
        stage: that it is to be in.
        wall: Unix time.
    """
    notes: dict[str, str | None]
    if stage is Stage.SERVING:
        notes = {
            names.ANNOTATION_DELETION_COST: pod.cost_before or None,
            ANNOTATION_SINCE: None,
            ANNOTATION_COST_BEFORE: None,
        }
    else:
        notes = {names.ANNOTATION_DELETION_COST: _COSTS[stage]}
    if pod.serving:
        began = datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds")
        notes |= {ANNOTATION_SINCE: began, ANNOTATION_COST_BEFORE: pod.deletion_cost or None}
    # The uid makes it this pod and not its successor in a StatefulSet, which bears its name.
    labels = {names.LABEL_SERVING: stage.value}
    return {"metadata": {"uid": pod.uid, "labels": labels, "annotations": notes}}

"""Which replicas go when fewer are wanted, and how none is missed: pure.

```
serving   the Service sends it requests
draining  it gets no new ones and finishes those that it has
drained   it has none left, or has had its time: next to be removed
```

The number of replicas stays what it was until a replica is drained, so that its controller removes exactly that one.
Until it is removed it can be given back, which is capacity at once. So it is whenever it is wanted again, whenever
another replica fails or is removed instead, and when the number is not lowered in the end. Nothing is lost by it: a
replica that is drained is idle, and one whose time is up still has its pod's grace. Clients that keep connections open
go on to reach a draining replica over them, which is what the time is for.

Not everything is ours to choose. A ReplicaSet removes first what has no node, then what is pending, then what is not
ready, and goes by the deletion cost only among pods that are equal in that: kubernetes, controller.ActivePodsWithRanks.
So a replica that still loads goes before any that answers, whatever we say; it serves nobody, and whether to remove one
while it loads is decided where the number is. Groups of pods go by their index, the highest first.

A draining replica stays ready: it is healthy, answers what it holds, and its disruption budget is right to count it. As
not ready it would be removed before its time, since that comes before the cost, and its deployment would report a
fault. The price is that `status.readyReplicas` counts it for as long as it is there.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import inf
from typing import Final

from autoglm_operator.api import names
from autoglm_operator.decide.scaling.needs import ScalingReason, plural
from autoglm_operator.decide.scaling.rule import EVIDENCE_SECONDS, Decision


class Stage(StrEnum):
    """Where a replica is on its way out, as its pod's label says."""

    SERVING = names.SERVING
    DRAINING = names.DRAINING
    DRAINED = names.DRAINED


#: Of those that are out of service already, the one that is further goes first and is given back last.
_FIRST: Final = {Stage.DRAINED: 0, Stage.DRAINING: 1, Stage.SERVING: 2}


@dataclass(frozen=True, slots=True)
class Replica:
    """One replica, by the pod that answers for it.

    Attributes:
        name: tells it from the others.
        load: requests that it runs and that wait there; `None` if it has not said so lately.
        idle: whether it has had none for long enough since it was taken out of service.
        since: Unix time when it was; 0 if nobody noted it.
        created: Unix time when its pod was.
        index: number of its group; `None` of a pod that is a replica by itself.
    """

    name: str
    ready: bool
    stage: Stage = Stage.SERVING
    load: float | None = None
    idle: bool = False
    since: float = 0.0
    created: float = 0.0
    index: int | None = None

    @property
    def out(self) -> bool:
        """Whether it is given no new requests."""
        return self.stage is not Stage.SERVING


@dataclass(frozen=True, slots=True)
class Times:
    """How long things may take, in seconds.

    Attributes:
        drain: what a replica has to finish its requests.
        patience: beyond that, until the number of replicas is lowered by whoever lowers it.
    """

    drain: float
    patience: float

    @property
    def most(self) -> float:
        """What a replica is out of service at most if it is not removed."""
        return self.drain + self.patience


@dataclass(frozen=True, slots=True)
class Order:
    """The number that is wanted.

    Attributes:
        decision: that asked for it first.
        since: Unix time since when it is lower than what is ordered; `None` if it is not.
        lowered: Unix time when replicas were last asked to leave.
    """

    decision: Decision
    since: float | None = None
    lowered: float = -inf


Move = tuple[Replica, Stage]


@dataclass(frozen=True, slots=True)
class Plan:
    """The answer.

    Attributes:
        decision: with the number to serve now, and why it is that.
        moves: replicas that change their stage.
    """

    decision: Decision
    moves: tuple[Move, ...] = ()


def in_service(ordered: int, replicas: int, out: int) -> int:
    """Return how many replicas are ordered apart from those on their way out.

    That is what a decision is made on: who leaves is gone for it, and may be called back by it.

    Args:
        ordered: in the spec.
        replicas: that exist.
        out: of these, how many are out of service. Those beyond what is ordered are no longer part of the order.
    """
    return ordered - max(0, out - max(0, replicas - ordered))


def follow(before: Order | None, decision: Decision, ordered: int, now: float) -> Order:
    """Return the order that holds now.

    The samples of the last seconds lack what replicas that just left would say, and the others have not taken over all
    of it: by themselves they would have more replicas leave. A lower number waits until they can be believed again.

    Args:
        before: the order until now; `None` if there is none to go on with.
        decision: of now.
        ordered: in the spec.
        now: Unix time.
    """
    kept, lowered = decision, -inf
    if before is not None:
        lowered = before.lowered
        early = now - lowered < EVIDENCE_SECONDS
        if decision.to == before.decision.to or (decision.to < before.decision.to and early):
            kept = before.decision
    if kept.to >= ordered:
        return Order(kept, None, lowered)
    if before is not None and before.since is not None and kept is before.decision:
        return before
    return Order(kept, now, now)


def plan(
    order: Order, decision: Decision, replicas: Sequence[Replica], *, ordered: int, times: Times, now: float
) -> Plan:
    """Return what to serve, and who is drained, done or given back.

    Args:
        order: that holds.
        decision: of now; it asks for the same, or for a moment for less.
        replicas: of the deployment, all of one template.
        ordered: in the spec.
        times: how long things may take.
        now: Unix time.
    """
    wanted = max(1, order.decision.to)
    lower = wanted < ordered
    if lower and now - _begun(order, replicas, now) > times.most:
        return _given_up(order, decision, replicas, ordered, times)
    leaving = _leaving(replicas, wanted, lower=lower)
    back = [replica for replica in replicas if replica.out and replica not in leaving]
    moves = (*_outward(leaving, times, now), *((replica, Stage.SERVING) for replica in back))
    if lower:
        message = _joined(order.decision.message, _progress(leaving, len(replicas)), _returned(back))
        served = min(ordered, max(wanted, _needed(replicas, leaving)))
        made = replace(decision, to=served, reason=order.decision.reason, message=message, draining=len(leaving))
        return Plan(made, moves)
    if decision.to < (kept := min(wanted, ordered)):
        return Plan(_not_yet(decision, kept), moves)
    return Plan(replace(decision, message=_joined(decision.message, _returned(back))), moves)


def give_back(replicas: Collection[Replica]) -> tuple[Move, ...]:
    """Return the moves that put every replica into service again."""
    return tuple((replica, Stage.SERVING) for replica in replicas if replica.out)


def _begun(order: Order, replicas: Collection[Replica], now: float) -> float:
    """Return when the wait for a lower number began: with the first replica that is out, or with the order."""
    first = min((replica.since for replica in replicas if replica.out and replica.since > 0), default=None)
    return first or order.since or now


def _leaving(replicas: Sequence[Replica], wanted: int, *, lower: bool) -> list[Replica]:
    """Return the replicas to have out of service: so many that as many as wanted are ready and in service.

    Args:
        replicas: of the deployment.
        wanted: at least one.
        lower: whether more may be taken out; otherwise those that are out already may stay so.
    """
    ready = sorted((replica for replica in replicas if replica.ready), key=_order_of_removal)
    spare = ready[: max(0, len(ready) - wanted)]
    leaving = [replica for replica in spare if lower or replica.out]
    # Those that fell ill on their way out are removed before any that is ready, as long as anything is to be removed.
    room = len(replicas) - wanted - len(leaving)
    ill = [replica for replica in replicas if replica.out and not replica.ready]
    return leaving + ill[: max(0, room)]


def _order_of_removal(replica: Replica) -> tuple[float, ...]:
    """Return what ready replicas are sorted by: the least busy goes first, and the newest of equals."""
    if replica.index is not None:
        return (-replica.index,)
    return (_FIRST[replica.stage], inf if replica.load is None else replica.load, -replica.created)


def _outward(leaving: Collection[Replica], times: Times, now: float) -> list[Move]:
    moves: list[Move] = []
    for replica in leaving:
        if not replica.out:
            moves.append((replica, Stage.DRAINING))
        elif replica.stage is Stage.DRAINING:
            over = now - replica.since >= times.drain
            if replica.idle or over or not replica.ready:
                moves.append((replica, Stage.DRAINED))
    return moves


def _needed(replicas: Collection[Replica], leaving: Collection[Replica]) -> int:
    """Return the number that keeps every ready replica that is not drained."""
    kept = [one for one in replicas if one.ready and not (one.stage is Stage.DRAINED and one in leaving)]
    return max(len(kept), *(one.index + 1 for one in kept if one.index is not None), 0)


def _given_up(order: Order, decision: Decision, replicas: Collection[Replica], ordered: int, times: Times) -> Plan:
    """Return the plan once it took too long: somebody else keeps the number up, or the pods cannot be changed."""
    wanted = order.decision
    waited = f"{ordered} replicas were not lowered within {times.most:.0f} s, so none is kept out of service for it"
    made = replace(decision, to=wanted.to, reason=wanted.reason, message=_joined(wanted.message, waited))
    return Plan(made, give_back(replicas))


def _not_yet(decision: Decision, wanted: int) -> Decision:
    because = f"none is removed while samples cover less than {EVIDENCE_SECONDS:.0f} s since the last one left"
    message = f"{wanted} {plural('replica', wanted)}: {because}"
    return replace(decision, to=wanted, reason=ScalingReason.UNCERTAIN, message=message)


def _progress(leaving: Collection[Replica], total: int) -> str:
    busy = [replica for replica in leaving if replica.stage is not Stage.DRAINED]
    done = len(leaving) - len(busy)
    parts = []
    if busy:
        held = round(sum(replica.load or 0.0 for replica in busy))
        finish, they = ("finishes", "it goes") if len(busy) == 1 else ("finish", "they go")
        parts.append(f"{len(busy)} of {total} replicas {finish} {held} {plural('request', held)} before {they}")
    if done:
        parts.append(f"{done} of {total} replicas {'is' if done == 1 else 'are'} drained")
    return ", ".join(parts)


def _returned(back: Collection[Replica]) -> str:
    number = len(back)
    if not number:
        return ""
    return f"{number} {plural('replica', number)} on the way out {'serves' if number == 1 else 'serve'} again"


def _joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)

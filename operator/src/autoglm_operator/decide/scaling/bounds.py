"""Between which numbers of replicas the autoscaler may choose now: pure.

```
spec       minReplicas and maxReplicas
schedules  those that hold now move them: the highest minimum and the highest maximum of them
quota      at most what a ResourceQuota of the namespace leaves room for
```

A quota that leaves no room at all still lets one replica be ordered: it starts as soon as there is room.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from autoglm_operator.api.status import ScalingLimit
from autoglm_operator.api.v1alpha1 import Autoscaling, ScheduledBounds
from autoglm_operator.decide.scaling.quota import QuotaRoom
from autoglm_operator.decide.scaling.schedule import ScheduleError, held_until

_MESSAGE_LENGTH: Final = 512
#: Starts and ends that are looked through for the next change: schedules that never end bring none.
_MOST_STEPS: Final = 500


class Limit(StrEnum):
    """What keeps the replicas from being what demand, or the spec, asks for."""

    QUOTA_BELOW_MINIMUM = "QuotaBelowMinimum"
    QUOTA_REACHED = "QuotaReached"
    SCHEDULE_IGNORED = "ScheduleIgnored"
    MEMORY_NOT_KEPT = "MemoryNotKept"


@dataclass(frozen=True, slots=True)
class Bounds:
    """The bounds in force.

    Attributes:
        least: fewest replicas; never more than `most`.
        most: most replicas; at least one.
        why: where both come from, as a clause without an end.
        limits: what is wrong with them, the worst first.
        cap: where `most` comes from, as a clause without an end.
        quota: the one that `most` comes from; `None` if it is not a quota.
        until: Unix time at which a schedule may change them; infinite if none ever does.
    """

    least: int
    most: int
    why: str
    limits: tuple[ScalingLimit, ...] = ()
    cap: str = ""
    quota: QuotaRoom | None = None
    until: float = math.inf


def bounds_of(autoscaling: Autoscaling, wall: float, quota: QuotaRoom | None) -> Bounds:
    """Return the bounds in force.

    Args:
        autoscaling: the spec's.
        wall: Unix time.
        quota: what the namespace has room for; `None` if no quota counts what a replica takes.
    """
    scheduled = _scheduled(autoscaling, wall)
    if quota is None or max(1, quota.replicas) >= scheduled.most:
        return scheduled
    most, limits = max(1, quota.replicas), scheduled.limits
    if scheduled.least > quota.replicas:
        message = f"{quota.sentence}; minReplicas is {scheduled.least}: raise the quota or lower minReplicas"
        limits = (_limit(Limit.QUOTA_BELOW_MINIMUM, message), *limits)
    return Bounds(
        least=min(scheduled.least, most),
        most=most,
        why=f"{scheduled.why}; {quota.sentence}",
        limits=limits,
        cap=quota.sentence,
        quota=quota,
        until=scheduled.until,
    )


def quota_reached(bounds: Bounds, wanted: int) -> ScalingLimit | None:
    """Return what to say when `wanted` replicas are needed; `None` unless it is a quota that keeps them away."""
    told = any(limit.reason == Limit.QUOTA_BELOW_MINIMUM for limit in bounds.limits)
    if bounds.quota is None or wanted <= bounds.quota.replicas or told:
        return None
    message = f"{bounds.quota.sentence}; {wanted} are needed: raise the quota or free what others use of it"
    return _limit(Limit.QUOTA_REACHED, message)


def next_change(autoscaling: Autoscaling, wall: float) -> tuple[float, Bounds] | None:
    """Return when schedules move the bounds next, and to what; `None` if they never do, or not soon enough to tell."""
    now = moved = _scheduled(autoscaling, wall)
    for _ in range(_MOST_STEPS):
        if math.isinf(time := moved.until):
            return None
        moved = _scheduled(autoscaling, time)
        if (moved.least, moved.most) != (now.least, now.most):
            return time, moved
    return None


def widest(autoscaling: Autoscaling) -> tuple[int, int]:
    """Return the lowest minimum and the highest maximum of all times: bounds for an HPA, which knows no schedules."""
    rows = [
        (autoscaling.min_replicas, autoscaling.max_replicas),
        *(_moved(autoscaling, schedule) for schedule in autoscaling.schedules),
    ]
    return min(least for least, _ in rows), max(most for _, most in rows)


def _scheduled(autoscaling: Autoscaling, wall: float) -> Bounds:
    """Return the bounds of spec and schedules."""
    rows: list[tuple[int, int]] = []
    held, limits, until = [], [], math.inf
    for place, schedule in enumerate(autoscaling.schedules):
        try:
            end, again = held_until(schedule, wall)
        except ScheduleError as error:
            message = f"spec.autoscaling.schedules[{place}].{error}; until then the schedule is ignored"
            limits.append(_limit(Limit.SCHEDULE_IGNORED, message))
            continue
        until = min(until, again)
        if end is not None:
            rows.append(_moved(autoscaling, schedule))
            held.append(f'schedules[{place}] ("{schedule.schedule}" {schedule.time_zone})')
    least = max((row[0] for row in rows), default=autoscaling.min_replicas)
    most = max((row[1] for row in rows), default=autoscaling.max_replicas)
    by = f" by {' and '.join(held)}" if held else ""
    return Bounds(
        least=min(least, most),
        most=most,
        why=f"minReplicas is {least} and maxReplicas {most}{by}",
        limits=tuple(limits),
        cap=f"maxReplicas is {most}{by}",
        until=until,
    )


def _moved(autoscaling: Autoscaling, schedule: ScheduledBounds) -> tuple[int, int]:
    """Return the bounds while `schedule` holds: one that it leaves out is that of the spec, so the pair is in order."""
    return schedule.min_replicas or autoscaling.min_replicas, schedule.max_replicas or autoscaling.max_replicas


def _limit(reason: Limit, message: str) -> ScalingLimit:
    return ScalingLimit(reason=reason, message=message[:_MESSAGE_LENGTH])

import math
from datetime import UTC, datetime

import pytest

from autoglm_operator.api.v1alpha1 import Autoscaling
from autoglm_operator.decide.scaling.bounds import Limit, bounds_of, next_change, quota_reached, widest
from autoglm_operator.decide.scaling.quota import QuotaRoom

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()
HOUR = 3600


def spec(*schedules, least=2, most=8):
    return Autoscaling.model_validate({"minReplicas": least, "maxReplicas": most, "schedules": schedules})


def from_ten(duration, **bounds):
    return {"schedule": "0 10 * * *", "duration": duration} | bounds


def room(replicas):
    return QuotaRoom(replicas, f"ResourceQuota gpu of namespace x allows {replicas} replicas of 2 GPUs")


def test_without_schedules_and_quotas_they_are_those_of_the_spec():
    found = bounds_of(spec(), NOON, None)
    assert (found.least, found.most, found.limits, found.until) == (2, 8, (), math.inf)
    assert found.why == "minReplicas is 2 and maxReplicas 8"
    assert found.cap == "maxReplicas is 8"


def test_a_schedule_moves_them_while_it_holds():
    launch = spec(from_ten("3h", minReplicas=6, maxReplicas=20))
    found = bounds_of(launch, NOON, None)
    assert (found.least, found.most, found.until) == (6, 20, NOON + HOUR)
    assert found.why == 'minReplicas is 6 and maxReplicas 20 by schedules[0] ("0 10 * * *" UTC)'
    over = bounds_of(launch, NOON + HOUR, None)
    assert (over.least, over.most, over.until) == (2, 8, NOON + 22 * HOUR)


def test_a_schedule_may_lower_them():
    night = spec(from_ten("3h", minReplicas=1, maxReplicas=1))
    assert bounds_of(night, NOON, None).most == 1


def test_of_several_that_hold_the_highest_count():
    several = spec(
        from_ten("3h", minReplicas=6),
        from_ten("4h", maxReplicas=4),
        from_ten("5h", minReplicas=3, maxReplicas=12),
        from_ten("1h", minReplicas=11, maxReplicas=30),
    )
    found = bounds_of(several, NOON, None)
    assert (found.least, found.most, found.until) == (6, 12, NOON + HOUR)
    assert [f"schedules[{place}]" in found.why for place in range(4)] == [True, True, True, False]
    # What one leaves out is that of the spec: 8 replicas, although the other allows 4 only.
    assert bounds_of(spec(from_ten("3h", minReplicas=6), from_ten("3h", maxReplicas=4)), NOON, None).most == 8


def test_a_schedule_that_cannot_be_read_is_ignored_and_said():
    odd = spec(
        from_ten("3h", minReplicas=6, timeZone="Mars/Olympus"),
        {"schedule": "0 25 * * *", "duration": "3h", "minReplicas": 5},
        from_ten("3h", minReplicas=4),
    )
    found = bounds_of(odd, NOON, None)
    assert found.least == 4
    assert [limit.reason for limit in found.limits] == [Limit.SCHEDULE_IGNORED] * 2
    assert found.limits[0].message == (
        'spec.autoscaling.schedules[0].timeZone "Mars/Olympus" is not in the IANA time zone database: write a name '
        "such as Asia/Shanghai or UTC; until then the schedule is ignored"
    )
    assert found.limits[1].message.startswith('spec.autoscaling.schedules[1].schedule "0 25 * * *" is no cron line')


def test_a_quota_caps_and_says_so():
    found = bounds_of(spec(), NOON, room(5))
    assert (found.least, found.most, found.limits) == (2, 5, ())
    assert found.cap == room(5).sentence
    assert found.why == f"minReplicas is 2 and maxReplicas 8; {room(5).sentence}"


@pytest.mark.parametrize("replicas", [8, 100])
def test_a_quota_with_room_for_all_is_not_spoken_of(replicas):
    assert bounds_of(spec(), NOON, room(replicas)) == bounds_of(spec(), NOON, None)


def test_a_minimum_above_the_quota_is_lowered_to_it_and_said():
    found = bounds_of(spec(least=4), NOON, room(3))
    assert (found.least, found.most) == (3, 3)
    (limit,) = found.limits
    assert limit.reason == Limit.QUOTA_BELOW_MINIMUM
    assert limit.message == f"{room(3).sentence}; minReplicas is 4: raise the quota or lower minReplicas"


def test_one_replica_is_ordered_even_without_any_room():
    found = bounds_of(spec(least=1), NOON, room(0))
    assert (found.least, found.most) == (1, 1)
    assert [limit.reason for limit in found.limits] == [Limit.QUOTA_BELOW_MINIMUM]


def test_the_limit_of_a_schedule_comes_after_that_of_the_quota():
    found = bounds_of(spec(from_ten("3h", minReplicas=6, timeZone="Nowhere")), NOON, room(1))
    assert [limit.reason for limit in found.limits] == [Limit.QUOTA_BELOW_MINIMUM, Limit.SCHEDULE_IGNORED]


def test_what_a_quota_keeps_away_is_said():
    capped = bounds_of(spec(), NOON, room(5))
    assert quota_reached(capped, 5) is None
    limit = quota_reached(capped, 7)
    assert limit.reason == Limit.QUOTA_REACHED
    assert limit.message == f"{room(5).sentence}; 7 are needed: raise the quota or free what others use of it"
    # It is the spec that caps here, or the minimum that says it already.
    assert quota_reached(bounds_of(spec(), NOON, room(8)), 12) is None
    assert quota_reached(bounds_of(spec(least=6), NOON, room(5)), 7) is None


def test_the_next_change_is_the_first_that_moves_a_bound():
    launch = spec(from_ten("3h", minReplicas=6))
    at, then = next_change(launch, NOON)
    assert (at, then.least, then.most) == (NOON + HOUR, 2, 8)
    at, then = next_change(launch, at)
    assert (at, then.least) == (NOON + 22 * HOUR, 6)
    # Two schedules that follow on each other with the same bounds are no change between them.
    relay = spec(from_ten("2h", minReplicas=6), {"schedule": "0 12 * * *", "duration": "2h", "minReplicas": 6})
    assert next_change(relay, NOON - HOUR)[0] == NOON + 2 * HOUR


@pytest.mark.parametrize(
    "schedules",
    [
        (),
        (from_ten("3h", minReplicas=2),),
        ({"schedule": "* * * * *", "duration": "5m", "minReplicas": 6},),
        (from_ten("3h", minReplicas=6, timeZone="Nowhere"),),
    ],
)
def test_there_may_be_no_next_change(schedules):
    assert next_change(spec(*schedules), NOON) is None


def test_the_widest_bounds_are_for_who_knows_no_schedules():
    assert widest(spec()) == (2, 8)
    assert widest(spec(from_ten("3h", minReplicas=1), from_ten("3h", maxReplicas=20))) == (1, 20)
    assert widest(spec(from_ten("3h", minReplicas=5, maxReplicas=6))) == (2, 8)

"""Whatever schedules and quotas say, the bounds are in order, and a start is where the calendar has it."""

import math
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from autoglm_operator.api.v1alpha1 import Autoscaling
from autoglm_operator.decide.scaling.bounds import bounds_of, next_change, quota_reached, widest
from autoglm_operator.decide.scaling.quota import Footprint, Quota, QuotaRoom, room_of
from autoglm_operator.decide.scaling.schedule import Calendar

ZONES = ("UTC", "Europe/Berlin", "Asia/Shanghai", "America/St_Johns", "Australia/Lord_Howe", "Mars/Olympus")
LINES = (
    "0 8 * * 1-5",
    "30 2 * * *",
    "*/7 * * * *",
    "15 1,3 * * *",
    "0 0 1 * *",
    "0 0 29 2 *",
    "70 0 * * *",
    "0 */5 * * *",
)
#: 2026 and 2027, with all their changes of clocks.
walls = st.floats(1_767_225_600, 1_830_297_600)


@st.composite
def schedules(draw, least, most):
    low = draw(st.none() | st.integers(1, most))
    high = draw(st.none() | st.integers(max(low or least, 1), 60))
    if low is None and high is None:
        low = least
    return {
        "schedule": draw(st.sampled_from(LINES)),
        "timeZone": draw(st.sampled_from(ZONES)),
        "duration": draw(st.sampled_from(["90s", "59m", "10h", "168h"])),
    } | {name: value for name, value in (("minReplicas", low), ("maxReplicas", high)) if value is not None}


@st.composite
def specs(draw):
    least = draw(st.integers(1, 20))
    most = least + draw(st.integers(0, 20))
    given_schedules = draw(st.lists(schedules(least, most), max_size=4))
    return Autoscaling.model_validate({"minReplicas": least, "maxReplicas": most, "schedules": given_schedules})


rooms = st.none() | st.builds(QuotaRoom, st.integers(0, 50), st.just("a sentence"))


@given(specs(), walls, rooms)
def test_they_are_in_order_and_inside_what_anybody_allows(spec, wall, room):
    found = bounds_of(spec, wall, room)
    least, most = widest(spec)
    assert 1 <= found.least <= found.most <= most
    assert room is None or found.most <= max(1, room.replicas)
    assert found.least >= least or room is not None
    assert found.until > wall


@given(specs(), walls, rooms, st.integers(0, 100))
def test_a_quota_is_blamed_only_for_what_it_keeps_away(spec, wall, room, wanted):
    found = bounds_of(spec, wall, room)
    if quota_reached(found, wanted) is not None:
        assert room.replicas < wanted
        assert room.replicas < bounds_of(spec, wall, None).most


@given(specs(), walls)
def test_nothing_changes_before_it_says_so(spec, wall):
    now = bounds_of(spec, wall, None)
    if math.isfinite(now.until):
        just_before = bounds_of(spec, now.until - 0.001, None)
        assert (just_before.least, just_before.most) == (now.least, now.most)
    change = next_change(spec, wall)
    if change is not None:
        at, then = change
        assert (then.least, then.most) != (now.least, now.most)
        assert bounds_of(spec, at, None) == then


@given(st.sampled_from(LINES).filter(lambda line: not line.startswith("70")), st.sampled_from(ZONES[:-1]), walls, walls)
def test_the_answer_does_not_depend_on_what_was_asked_before(line, zone, one, other):
    asked = Calendar(line, zone)
    asked.around(one)
    found = asked.around(other)
    assert found == Calendar(line, zone).around(other)
    assert found[0] <= other < found[1]


@given(st.integers(0, 59), st.integers(0, 23), st.sets(st.integers(0, 6), min_size=1), walls)
def test_in_utc_a_start_is_a_time_of_day_on_a_day_of_the_week(minute, hour, days, wall):
    line = f"{minute} {hour} * * {','.join(map(str, sorted(days)))}"
    now = datetime.fromtimestamp(wall, UTC)
    times = [
        (now + timedelta(days=shift)).replace(hour=hour, minute=minute, second=0, microsecond=0)
        for shift in range(-8, 9)
    ]
    # Cron counts the days of the week from Sunday.
    starts = [time.timestamp() for time in times if (time.weekday() + 1) % 7 in days]
    expected = max(start for start in starts if start <= wall), min(start for start in starts if start > wall)
    assert Calendar(line, "UTC").around(wall) == expected


#: Where the clocks change in 2026: by an hour, by half of one, at midnight, and where it is summer in January.
CHANGES = {
    "Europe/Berlin": ("2026-03-29T01:00:00+00:00", "2026-10-25T01:00:00+00:00"),
    "Australia/Lord_Howe": ("2026-04-04T15:00:00+00:00", "2026-10-03T15:30:00+00:00"),
    "America/Santiago": ("2026-04-05T03:00:00+00:00", "2026-09-06T04:00:00+00:00"),
    "America/St_Johns": ("2026-03-08T05:30:00+00:00", "2026-11-01T04:30:00+00:00"),
}


@given(
    st.sampled_from([(zone, change) for zone, changes in CHANGES.items() for change in changes]),
    st.integers(0, 3),
    st.sampled_from([0, 15, 30, 59]),
    st.floats(-7200, 7200) | st.integers(-7200, 7200),
)
def test_around_a_change_of_clocks_each_day_has_one_start(where, hour, minute, offset):
    zone, change = ZoneInfo(where[0]), datetime.fromisoformat(where[1])
    wall = change.timestamp() + offset

    def start(day):
        """Return the first moment at which a clock on the wall shows the time, or has passed it."""
        local = (datetime.fromtimestamp(wall, zone) + timedelta(days=day)).replace(
            hour=hour, minute=minute, second=0, microsecond=0, fold=0
        )
        while local.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != local.replace(tzinfo=None):
            local += timedelta(minutes=1)
        return local.timestamp()

    starts = [start(day) for day in range(-3, 4)]
    expected = max(one for one in starts if one <= wall), min(one for one in starts if one > wall)
    # Asked by somebody who remembers nothing.
    assert Calendar(f"{minute} {hour} * * *", where[0]).around(wall) == expected


@given(st.integers(0, 64), st.integers(0, 64), st.integers(1, 16), st.integers(0, 8))
def test_what_fits_is_never_less_than_what_is_there_and_never_more_than_the_quota(hard, others, each, present):
    used = others + present * each
    quota = Quota("x", "gpu", {"requests.nvidia.com/gpu": hard}, {"requests.nvidia.com/gpu": used})
    found = room_of([quota], Footprint(gpus=each), present)
    assert found.replicas >= present
    if found.replicas > present:
        assert others + found.replicas * each <= hard
        assert others + (found.replicas + 1) * each > hard

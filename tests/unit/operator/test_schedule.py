import math
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from autoglm_operator.api.v1alpha1 import ScheduledBounds
from autoglm_operator.decide.scaling.schedule import Calendar, ScheduleError, held_until

BERLIN = "Europe/Berlin"
DAY = 86_400


def at(text, zone="UTC", *, fold=0):
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


def schedule(line, duration, zone="UTC"):
    return ScheduledBounds(schedule=line, duration=duration, time_zone=zone, min_replicas=2)


@pytest.mark.parametrize(
    ("now", "last", "following"),
    [
        ("2026-11-20 08:30:00", "2026-11-20 08:30", "2026-11-23 08:30"),
        ("2026-11-20 08:29:59.9", "2026-11-19 08:30", "2026-11-20 08:30"),
        ("2026-11-20 08:30:00.5", "2026-11-20 08:30", "2026-11-23 08:30"),
        ("2026-11-22 23:59", "2026-11-20 08:30", "2026-11-23 08:30"),
    ],
)
def test_the_starts_around_a_moment(now, last, following):
    found = Calendar("30 8 * * 1-5", "Asia/Shanghai").around(at(now, "Asia/Shanghai"))
    assert found == (at(last, "Asia/Shanghai"), at(following, "Asia/Shanghai"))


def test_what_is_remembered_changes_no_answer():
    asked = Calendar("15,45 */3 * * *", BERLIN)
    # Back and forth, over the change of the clocks on 25 October 2026.
    moments = [at("2026-10-24 12:00") + step for step in (0, 60, 5 * 3600, -DAY, 13 * 3600, 11 * 3600, 2 * DAY)]
    assert [asked.around(moment) for moment in moments] == [
        Calendar("15,45 */3 * * *", BERLIN).around(moment) for moment in moments
    ]


def test_it_holds_from_its_start_for_its_duration():
    office = schedule("0 8 * * *", "10h")
    assert held_until(office, at("2026-11-20 07:59:59")) == (None, at("2026-11-20 08:00"))
    assert held_until(office, at("2026-11-20 08:00")) == (at("2026-11-20 18:00"),) * 2
    assert held_until(office, at("2026-11-20 17:59:59.9")) == (at("2026-11-20 18:00"),) * 2
    assert held_until(office, at("2026-11-20 18:00")) == (None, at("2026-11-21 08:00"))


def test_a_start_while_it_holds_makes_it_hold_longer():
    overlapping = schedule("0 * * * *", "90m")
    end, again = held_until(overlapping, at("2026-11-20 10:59"))
    assert (end, again) == (at("2026-11-20 11:30"),) * 2
    assert held_until(overlapping, again)[0] == at("2026-11-20 12:30")


def test_an_hour_that_is_left_out_begins_at_its_end():
    # On 29 March 2026 it was 3:00 in Berlin a second after 1:59:59.
    night = schedule("30 2 * * *", "1h", BERLIN)
    begin = at("2026-03-29 03:00", BERLIN)
    assert held_until(night, begin - 1)[0] is None
    assert held_until(night, begin - 1)[1] == begin
    assert held_until(night, begin) == (begin + 3600,) * 2
    assert held_until(night, begin + 3599)[0] == begin + 3600
    assert held_until(night, begin + 3600) == (None, at("2026-03-30 02:30", BERLIN))
    for seconds in (0, 1, 59, 60, 1800, 7200):
        around = Calendar("30 2 * * *", BERLIN).around(begin + seconds)
        assert around == (begin, at("2026-03-30 02:30", BERLIN)), seconds


def test_an_hour_that_comes_twice_begins_once_and_time_passes_in_it():
    # On 25 October 2026 it was 2:00 in Berlin twice, an hour apart.
    night = schedule("30 2 * * *", "1h", BERLIN)
    begin = at("2026-10-25 02:30", BERLIN)
    assert at("2026-10-25 02:30", BERLIN, fold=1) == begin + 3600
    assert held_until(night, begin - 1) == (None, begin)
    following = at("2026-10-26 02:30", BERLIN)
    for seconds in (0, 1799, 1800, 1801, 3599, 3600):
        # Each asked by somebody who remembers nothing.
        assert Calendar("30 2 * * *", BERLIN).around(begin + seconds) == (begin, following), seconds
        assert held_until(night, begin + seconds)[0] == (begin + 3600 if seconds < 3600 else None), seconds
    # The second 2:30 is an hour later: it is over, and the next start is that of the day after.
    assert held_until(night, begin + 3600) == (None, following)


@pytest.mark.parametrize("fold", [0, 1])
def test_lines_of_each_hour_are_not_moved_by_the_clocks(fold):
    hourly = schedule("15 * * * *", "30m", BERLIN)
    begin = at("2026-10-25 02:15", BERLIN, fold=fold)
    assert held_until(hourly, begin) == (begin + 1800,) * 2
    assert held_until(hourly, begin - 1) == (None, begin)


def test_a_day_that_never_comes_never_holds():
    # The 30th and at the same time the last Sunday of a February.
    assert held_until(schedule("0 0 29 2 *", "1h"), at("2027-01-01 00:00")) == (None, at("2028-02-29 00:00"))
    assert Calendar("* * */20 * 1L", "UTC").around(at("2026-01-01 00:00")) == (-math.inf, math.inf)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "America", "Europe/", "UTC0815"])
def test_a_zone_that_does_not_exist_is_named(zone):
    with pytest.raises(ScheduleError, match=f'timeZone "{zone}" is not in the IANA time zone database'):
        Calendar("0 8 * * *", zone)


@pytest.mark.parametrize("line", ["61 8 * * *", "0 24 * * *", "0 8 30 2 *", "0 8 * * FRI-MON", "0 8 * *"])
def test_a_line_that_means_nothing_is_named(line):
    with pytest.raises(ScheduleError) as caught:
        Calendar(line, "UTC")
    assert str(caught.value).startswith(f'schedule "{line}" is no cron line (')


def test_what_cannot_be_read_is_said_each_time():
    for _ in range(2):
        with pytest.raises(ScheduleError, match="schedule"):
            held_until(schedule("99 8 * * *", "1h"), 0.0)

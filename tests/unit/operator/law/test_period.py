import math
import random

import pytest

from autoglm_operator.decide.law.period import BIN, Periods


def fed(rate, hours, lead=280.0):
    periods = Periods()
    for minute in range(round(hours * 60)):
        periods.add(rate(minute), BIN, lead)
    return periods


def square(length):
    return lambda minute: 40.0 if minute % length >= length / 2 else 10.0


@pytest.mark.parametrize("length", [30, 60, 97, 180])
def test_the_shortest_period_is_found(length):
    assert fed(square(length), 12).period == length


def test_spikes_of_a_minute_are_seen_ahead():
    periods = fed(lambda minute: 60.0 if minute % 90 == 0 else 15.0, 9)
    assert periods.period == 90
    # The next bin is number 540, which is a spike.
    assert periods.most(0, 59) == 60
    assert periods.most(70, 3000) == 15
    assert periods.most(0, 90 * 60) == 60


def test_it_is_not_believed_before_it_came_twice():
    assert fed(square(120), 3).period == 0


def test_it_is_forgotten_when_traffic_changes():
    rng = random.Random(2)
    periods = fed(square(60), 10)
    assert periods.period == 60
    for _ in range(8 * 60):
        periods.add(rng.choice((10.0, 40.0)), BIN, 280.0)
    assert periods.period == 0


def test_noise_has_no_period():
    rng = random.Random(3)
    assert fed(lambda _: rng.gauss(20, 4), 48).period == 0


def test_a_day_is_too_long_to_be_one():
    rng = random.Random(4)
    daily = fed(lambda minute: 20 + 12 * math.sin(minute / 1440 * 2 * math.pi) + rng.gauss(0, 1), 72)
    assert daily.period == 0


def test_steady_traffic_has_nothing_to_win():
    assert fed(lambda _: 20.0, 24).period == 0
    assert fed(lambda _: 0.0, 24).period == 0


def test_ticks_add_up_to_bins():
    periods = Periods()
    for _ in range(12):
        periods.add(6.0, 5.0, 280.0)
    assert periods.bins == [6.0]
    assert periods.open_seconds == 0

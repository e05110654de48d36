import json
import math
import random

import pytest

from autoglm_operator.decide.law.forecast import BIN, DAILY, PERSISTENCE, WEEKLY, Models
from autoglm_operator.decide.law.forecast_store import dump_models, load_models
from autoglm_operator.decide.law.parameters import Parameters

LEAD = 600.0
BELIEVE = Parameters().believe
HOUR = 3600.0


def fed(rate, days, models=None, start=0.0):
    """Feed minutes of a rate over days; return the models and each minute's choice."""
    models = models or Models()
    chosen = []
    for minute in range(round(days * 1440)):
        now = start + 60.0 * (minute + 1)
        at = rate(now)
        models.add(now, at, at, 60.0, LEAD, BELIEVE)
        chosen.append(models.chosen)
    return models, chosen


def office(now):
    """Return a steep rise at nine and a fall at six, on every day."""
    hour = now / HOUR % 24
    return 5 + 35 * max(0.0, min(1.0, hour - 8.5, 18.5 - hour))


def workdays(now):
    return office(now) if int(now / 86_400) % 7 < 5 else 5.0


def test_a_day_that_repeats_is_believed_and_expected():
    models, _ = fed(office, 4 + 9 / 24)  # to nine o'clock, in the middle of the rise
    assert models.chosen == DAILY
    level = office(4 * 86_400 + 9 * HOUR)
    assert models.at(DAILY, level, LEAD) == pytest.approx(office(4 * 86_400 + 9 * HOUR + LEAD), rel=0.05)
    assert models.at(PERSISTENCE, level, LEAD) == level


def test_a_week_is_believed_where_days_differ():
    models, chosen = fed(workdays, 21 + 9 / 24)  # Monday at nine; the day before was free
    assert models.chosen == WEEKLY
    assert WEEKLY not in chosen[: 7 * 1440]


def test_nothing_is_believed_before_it_was_seen_to_be_right():
    _, chosen = fed(office, 1.5)
    assert set(chosen) <= {PERSISTENCE, 1}
    assert DAILY not in chosen


def test_a_random_walk_leaves_persistence():
    rng, level, levels = random.Random(1), 20.0, []
    for _ in range(6 * 1440):
        level = max(2.0, level * math.exp(rng.gauss(0, 0.02)))
        levels.append(level)
    _, chosen = fed(lambda now: levels[int(now / 60) - 1], 6)
    assert sum(one in {DAILY, WEEKLY} for one in chosen) < 0.02 * len(chosen)


def test_a_change_point_falls_back_to_persistence_within_half_an_hour():
    models, _ = fed(office, 5 + 8 / 24)  # eight o'clock
    assert models.chosen == DAILY
    # A holiday: the rise does not come.
    _, chosen = fed(lambda now: 5.0, 2 / 24, models, 5 * 86_400 + 8 * HOUR)
    assert chosen[-1] == PERSISTENCE
    wrong = [minute for minute, one in enumerate(chosen) if one == DAILY]
    assert max(wrong, default=0) < 30 + LEAD / 60 + 30  # at half past eight the rise was due


def test_the_upper_quantile_is_exceeded_as_often_as_it_says():
    rng = random.Random(4)
    models, exceeded, total = Models(), 0, 0
    expected = []
    for minute in range(4 * 1440):
        rate = 20 * math.exp(rng.gauss(0, 0.1))
        models.add(60.0 * (minute + 1), rate, rate, 60.0, LEAD, BELIEVE)
        expected.append(rate * (1 + models.offsets[PERSISTENCE]))
        if minute > 1440:
            exceeded += rate > expected[minute - 10]
            total += 1
    assert exceeded / total == pytest.approx(0.1, abs=0.03)


def test_the_phase_is_kept_over_a_pause():
    models, _ = fed(office, 4 + 8 / 24)
    models.skip(HOUR)
    now = 4 * 86_400 + 9 * HOUR
    assert models.at(DAILY, office(now), LEAD) == pytest.approx(office(now + LEAD), rel=0.07)


def test_a_long_pause_is_a_new_beginning():
    models, _ = fed(office, 4)
    models.skip(3 * 86_400)
    assert models.chosen == PERSISTENCE
    assert models.bins == []


def test_the_memory_is_bounded():
    models, _ = fed(office, 9)
    assert len(models.bins) <= 7 * 86_400 / BIN + 2
    assert len(json.dumps(dump_models(models))) < 16_000


def test_a_restart_keeps_what_was_learned():
    models, _ = fed(office, 4 + 8.6 / 24)
    again = load_models(json.loads(json.dumps(dump_models(models))))
    assert dump_models(again) == dump_models(models)
    assert again.chosen == DAILY
    level = office(4 * 86_400 + 8.6 * HOUR)
    assert again.expected(level, LEAD) == pytest.approx(models.expected(level, LEAD), rel=0.001)
    assert again.expected(level, LEAD) > level + 4


@pytest.mark.parametrize(
    "wrong",
    [{"bins": [1.0, -2.0]}, {"bins": [0.0] * 3000}, {"chosen": 4}, {"offsets": [0.1]}, {"slow": "x"}, {"since": -1.0}],
)
def test_what_was_not_written_by_us_is_a_fresh_start(wrong):
    models, _ = fed(office, 1)
    assert dump_models(load_models(dump_models(models) | wrong)) == dump_models(Models())
    assert dump_models(load_models(None)) == dump_models(Models())

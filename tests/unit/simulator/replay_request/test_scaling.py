"""Replicas that start, drain, come back, fail and are billed; and that no request is forgotten on the way."""

import random

import pytest

from autoglm_simulator.replay.request.calls import Call
from autoglm_simulator.replay.request.plant import RequestPlant
from autoglm_simulator.replay.request.serving import Serving
from autoglm_simulator.replay.settings import ColdStart, Fleet

LONG = 4000  # tokens: about a minute of decoding


def plant(calls, replicas, serving=None, seed=0, **changed):
    return RequestPlant(Fleet(ColdStart((100.0,), sigma=0.0), **changed), serving or Serving(), calls, replicas, seed)


def test_an_order_serves_after_its_cold_start_and_is_billed_from_the_start():
    one = plant([], 1)
    one.scale(3)
    assert one.advance(100).ready == 1
    assert one.advance(101).ready == 3
    assert one.totals().gpu_seconds == 3 * 101


def test_the_newest_that_starts_is_given_up_first():
    one = plant([], 1)
    one.scale(2)
    one.advance(50)
    one.scale(3)
    one.scale(2)
    seen = one.advance(101)
    assert (seen.ready, seen.starting, seen.ordered) == (2, 0, 2)


def test_bounds_hold():
    one = plant([], 2, min_replicas=2, max_replicas=4)
    one.scale(9)
    assert one.advance(1).ordered == 4
    one.scale(0)
    assert one.advance(2).ordered == 2


def test_drain_ends_what_runs_and_loses_nothing():
    one = plant([Call(0.0, 1000, LONG)] * 4, 2)
    one.advance(5)
    one.scale(1)
    seen = one.advance(10)
    assert (seen.ready, one.draining, seen.running) == (1, 1, 2)
    one.advance(100)
    totals = one.totals()
    assert (one.draining, one.in_flight, totals.lost, totals.late) == (0, 0, 0, 0)
    assert 100 + 60 < totals.gpu_seconds < 100 + 70  # about a minute for the one that drained


def test_a_draining_replica_gets_no_request():
    one = plant([Call(0.0, 1000, LONG)] * 2 + [Call(6.0, 1000, 10)] * 8, 2)
    one.advance(5)
    one.scale(1)
    assert one.advance(7).running == 9


def test_the_least_busy_drains():
    one = plant([Call(0.0, 1000, LONG)] * 3, 2)
    one.advance(5)
    one.scale(1)
    assert one.advance(6).running == 2


def test_an_idle_replica_goes_at_once():
    one = plant([], 2)
    one.advance(5)
    one.scale(1)
    one.advance(6)
    assert one.draining == 0


def test_the_deadline_loses_what_still_runs():
    one = plant([Call(0.0, 1000, LONG)] * 4, 2, drain_deadline=10.0)
    one.advance(5)
    one.scale(1)
    one.advance(100)
    totals = one.totals()
    assert (totals.lost, totals.late, totals.requests) == (2, 2, 4)
    assert totals.gpu_seconds == 100 + 15
    assert one.in_flight == 0


def test_demand_that_returns_takes_draining_replicas_back():
    one = plant([Call(0.0, 1000, LONG)] * 4, 2, drain_deadline=10.0)
    one.advance(5)
    one.scale(1)
    one.advance(6)
    one.scale(3)
    seen = one.advance(7)
    assert (seen.ready, seen.starting, one.draining) == (2, 1, 0)
    one.advance(100)
    assert one.totals().lost == 0


def test_without_undrain_a_new_one_starts():
    one = plant([Call(0.0, 1000, LONG)] * 4, 2, Serving(undrain=False))
    one.advance(5)
    one.scale(1)
    one.advance(6)
    one.scale(2)
    seen = one.advance(7)
    assert (seen.ready, seen.starting, one.draining) == (1, 1, 1)


def test_failed_starts_begin_again():
    one = plant([], 1, Serving(failed_starts=0.25))
    one.scale(1001 - 1)
    first = one.advance(101).ready
    second = one.advance(201).ready
    assert first == pytest.approx(0.75 * 1000, abs=50)
    assert second == pytest.approx(0.9375 * 1000, abs=30)
    assert one.totals().gpu_seconds == 1000 * 201


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="view_seconds is 0"):
        Serving(view_seconds=0)
    with pytest.raises(ValueError, match="failed_starts is 1"):
        Serving(failed_starts=1.0)


def wild(seed):
    """Return a plant after 300 s of chaos, with its requests and how many were judged at their end."""
    rng = random.Random(seed)
    calls = sorted(
        Call(rng.uniform(0, 250), rng.randint(1, 4500), rng.randint(1, 1500), (rng.randint(0, 9),)) for _ in range(800)
    )
    one = RequestPlant(
        Fleet(ColdStart((5.0, 5.0)), drain_deadline=3.0, kv_tokens=5600.0), Serving(failed_starts=0.2), calls, 2, seed
    )
    judged = 0.0
    for second in range(0, 300, 5):
        judged += one.advance(second + 5).requests
        one.scale(rng.randint(1, 12))
    return one, calls, judged


@pytest.mark.parametrize("seed", range(4))
def test_every_request_ends_once_or_is_counted_as_lost(seed):
    one, calls, judged = wild(seed)
    totals = one.totals()
    assert totals.requests == len(calls) == judged + one.in_flight
    assert totals.lost > 0
    assert one.rejected > 0
    assert one.preemptions > 0


def test_the_seed_repeats():
    assert wild(1)[0].totals() == wild(1)[0].totals()
    assert wild(1)[0].totals() != wild(2)[0].totals()


def test_only_what_arrives_after_the_counting_began_counts():
    one = plant([Call(39.9, 1000, LONG), Call(50.0, 1000, 10)], 1)
    one.advance(40)
    one.count()
    one.advance(200)
    totals = one.totals()
    assert totals.requests == sum(totals.ttft) == sum(totals.itl) == 1
    assert totals.gpu_seconds == 160

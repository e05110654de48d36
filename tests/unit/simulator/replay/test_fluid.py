import pytest

from autoglm_simulator.replay.fluid import FluidPlant, safe_rate
from autoglm_simulator.replay.peers.reference import Static
from autoglm_simulator.replay.run import percentile, replay
from autoglm_simulator.replay.settings import ColdStart, Fleet
from autoglm_simulator.replay.traffic import Traffic


def fleet(**changed):
    return Fleet(ColdStart((100.0,), sigma=0.0), **changed)


def steady(rate, seconds):
    return Traffic([rate] * seconds, [rate] * seconds, [1000.0] * seconds, [250.0] * seconds)


def plant(rate, replicas, seconds=2000, **changed):
    return FluidPlant(fleet(**changed), steady(rate, seconds), replicas, 0)


def test_steady_traffic_settles_where_the_formula_says():
    # One replica at 2/s: u = 0.27; batch = 2 x (250 x ITL - 1), for a request joins the batch at the end of its second;
    # ITL = (0.015 + 0.00015 batch) / 0.73.
    seen = plant(2.0, 1).advance(1000)
    itl = (0.015 - 0.0003) / (0.73 - 0.075)
    assert seen.itl == pytest.approx(itl, rel=0.01)
    assert seen.batch == pytest.approx(500 * itl - 2, rel=0.02)
    assert seen.late == 0


def test_safe_rate_is_the_edge_of_the_objectives():
    edge = safe_rate(fleet(), 1000.0, 250.0)
    assert edge == pytest.approx(1 / 0.23, rel=0.01)  # 0.06 (1 - 0.135 r) = 0.015 + 0.00225 r
    below = plant(edge * 0.97, 1)
    below.advance(1000)
    below.count()
    below.advance(1500)
    assert below.totals().late == 0
    above = plant(edge * 1.03, 1)
    above.advance(1000)
    above.count()
    above.advance(1500)
    assert above.totals().late == above.totals().requests


def test_requests_wait_when_prefill_takes_all_the_time():
    seen = plant(20.0, 1).advance(100)
    assert seen.waiting > 1000
    assert seen.late > 0.9 * seen.requests


def test_without_a_ready_replica_requests_queue_and_none_is_lost():
    empty = plant(2.0, 0)
    seen = empty.advance(60)
    assert seen.waiting == pytest.approx(120)
    assert empty.totals().late == empty.totals().requests == 120


def test_an_order_serves_after_its_cold_start_and_is_billed_from_the_start():
    starting = plant(2.0, 1)
    starting.scale(3)
    assert starting.advance(99).ready == 1
    assert starting.advance(102).ready == 3
    assert starting.totals().gpu_seconds == pytest.approx(3 * 102)


def test_what_starts_is_given_up_first():
    shrinking = plant(2.0, 2)
    shrinking.scale(5)
    shrinking.advance(10)
    shrinking.scale(2)
    seen = shrinking.advance(11)
    assert (seen.ready, seen.starting, seen.ordered) == (2, 0, 2)


def test_a_removed_replica_drains_and_is_billed_until_then():
    draining = plant(4.0, 2)
    draining.advance(500)
    draining.count()
    draining.scale(1)
    draining.advance(700)
    totals = draining.totals()
    assert totals.lost == 0
    assert 200 + 5 < totals.gpu_seconds < 200 + 60


def test_a_drain_deadline_that_is_too_short_loses_requests():
    draining = plant(4.0, 2, drain_deadline=2.0)
    draining.advance(500)
    draining.scale(1)
    draining.advance(700)
    assert draining.totals().lost > 1


def test_bounds_hold():
    bounded = plant(1.0, 2, max_replicas=4)
    bounded.scale(9)
    assert bounded.advance(1).ordered == 4
    bounded.scale(0)
    assert bounded.advance(2).ordered == 1


def test_stages_of_a_cold_start_add_up():
    import random  # noqa: PLC0415

    rng = random.Random(1)
    starts = [ColdStart((60.0, 120.0, 60.0), 0.2).draw(rng) for _ in range(2000)]
    mean = sum(starts) / len(starts)
    assert mean == pytest.approx(240 * 1.02, rel=0.02)  # a log-normal's mean is exp(sigma^2 / 2) above its median
    assert ColdStart((60.0, 120.0, 60.0)).median == 240


class Steps:
    """Orders as told, to see what is measured of it."""

    period = 10
    lag = 30

    def __init__(self, orders):
        self.orders = orders
        self.ages = []

    def decide(self, seen):
        self.ages.append(seen.now)
        return next((number for until, number in self.orders if seen.now <= until), seen.ordered)


def test_measures():
    seconds = 1000
    traffic = steady(2.0, seconds)
    traffic.rate[500:] = [12.0] * 500
    traffic.arrivals[500:] = [12.0] * 500
    policy = Steps([(550, 1), (700, 4), (800, 3), (1000, 6)])
    result = replay(FluidPlant(fleet(), traffic, 1, 0), policy, traffic.rate, 4.0, 0, seconds)
    assert result.requests == 2 * 500 + 12 * 500
    assert result.lost_requests == 0
    assert 0 < result.slo_attainment < 1
    assert result.direction_changes_per_day == pytest.approx(2 * 86_400 / 1000)  # up, down, up
    assert result.reaction_seconds == pytest.approx(50)  # 3 are needed from 510 on, 4 ordered at 560
    assert result.overshoot == pytest.approx(1.0)  # 6 where 3 are needed


def test_gpu_hours_count_from_the_first_day_on():
    result = replay(plant(2.0, 3), Static(3), [2.0] * 2000, 4.0, 1000, 2000)
    assert result.gpu_hours == pytest.approx(3 * 1000 / 3600, rel=0.05)
    assert result.requests == pytest.approx(2000, rel=0.05)


def test_progress_is_told_in_hundredths():
    told = []
    replay(plant(2.0, 3), Static(3), [2.0] * 2000, 4.0, 0, 2000, told.append)
    assert told[-1] == 1.0
    assert told == sorted(told)


def test_percentile():
    assert percentile([10.0, 80.0, 9.0, 1.0], 0.99) == 3
    assert percentile([0.0, 0.0], 0.99) == 0


@pytest.mark.parametrize(("undrain", "serving"), [(False, 2), (True, 3)])
def test_replicas_that_drain_serve_again_only_if_the_plant_lets_them(undrain, serving):
    fleet_of_four = FluidPlant(fleet(), steady(8.0, 600), 4, 0, undrain=undrain)
    fleet_of_four.advance(300)
    fleet_of_four.scale(2)
    fleet_of_four.advance(305)
    fleet_of_four.scale(3)
    seen = fleet_of_four.advance(310)
    assert seen.ready == serving
    assert seen.ready + seen.starting == seen.ordered == 3
    assert fleet_of_four.totals().lost == 0

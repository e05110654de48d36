import random
from dataclasses import replace

import pytest

from autoglm_operator.decide.law.capacity import Capacity, Speed, burst_rate

TRUE = Speed(0.015, 0.00015, 0.000135, 128.0, 144_000.0)


def test_the_burst_rate_meets_the_objective_exactly():
    rate = burst_rate(TRUE, 1000.0, 250.0, 2.0, 0.06)
    mean = 0.65 * rate
    batch = mean * 250 * 0.015 / (1 - mean * 0.135 - mean * 250 * 0.00015)
    assert (0.015 + 0.00015 * batch) / (1 - rate * 0.135) == pytest.approx(0.06, rel=1e-4)


def test_longer_requests_make_it_smaller():
    rate = burst_rate(TRUE, 1000.0, 250.0, 2.0, 0.06)
    assert burst_rate(TRUE, 2000.0, 250.0, 2.0, 0.06) < 0.6 * rate
    assert burst_rate(TRUE, 1000.0, 1000.0, 2.0, 0.06) < 0.9 * rate


def test_memory_bounds_it():
    small = replace(TRUE, kv_tokens=9_000.0)
    assert burst_rate(small, 1000.0, 250.0, 2.0, 0.06) < burst_rate(TRUE, 1000.0, 250.0, 2.0, 0.06)


def test_an_objective_that_no_replica_meets_leaves_a_rate_above_zero():
    assert 0 < burst_rate(TRUE, 50_000.0, 250.0, 2.0, 0.001) < 0.01


@pytest.mark.parametrize("factor", [0.6, 1.5])
def test_a_wrong_profile_is_corrected_by_what_is_measured(factor):
    prior = Speed(0.015 * factor, 0.00015 * factor, 0.000135 * factor, 128.0, 144_000.0)
    capacity = Capacity(replace(prior), prior)
    rng = random.Random(1)
    for _ in range(3000):
        load = rng.uniform(500.0, 5000.0)
        batch = rng.uniform(5.0, 70.0)
        itl = (0.015 + 0.00015 * batch) / (1 - 0.000135 * load) * rng.gauss(1.0, 0.03)
        capacity.learn(batch, load, itl)
    assert capacity.speed.decode_base == pytest.approx(0.015, rel=0.1)
    assert capacity.speed.prefill_per_token == pytest.approx(0.000135, rel=0.1)
    assert capacity.per_replica(2.0, 0.06) == pytest.approx(burst_rate(TRUE, 1000.0, 250.0, 2.0, 0.06), rel=0.07)


def test_until_it_is_learned_less_is_promised():
    young = Capacity(replace(TRUE), TRUE)
    assert young.per_replica(2.0, 0.06) == pytest.approx(0.9 * burst_rate(TRUE, 1000.0, 250.0, 2.0, 0.06), rel=0.01)


def test_the_capacity_follows_the_mix_of_tokens():
    capacity = Capacity(replace(TRUE), TRUE)
    capacity.mix(1000.0, 250.0, 0.1)
    before = capacity.per_replica(2.0, 0.06)
    for _ in range(60):
        capacity.mix(3000.0, 250.0, 0.1)
    assert capacity.per_replica(2.0, 0.06) < 0.5 * before

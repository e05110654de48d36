import random
from dataclasses import replace

import pytest

from autoglm_operator.decide.law.capacity import Capacity, Speed, burst_rate, guess

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


@pytest.mark.parametrize(
    "true",
    [TRUE, Speed(0.02, 0.003, 0.0005, 128.0, 144_000.0), Speed(0.2, 0.002, 0.01, 128.0, 144_000.0)],
    ids=["GPU", "demonstration", "processor"],
)
def test_a_replica_of_which_nothing_is_known_is_found_out(true):
    capacity = guess(true.max_batch, true.kv_tokens)
    rng = random.Random(1)
    for _ in range(1000):
        share, batch = rng.uniform(0.05, 0.7), rng.uniform(1.0, 70.0)
        itl = (true.decode_base + true.decode_per_sequence * batch) / (1 - share)
        capacity.learn(batch, share / true.prefill_per_token, itl * rng.uniform(0.95, 1.05))
    capacity.mix(1000.0, 250.0, 1.0)
    found = capacity.per_replica(60.0, 8 * true.decode_base)
    assert found == pytest.approx(burst_rate(true, 1000.0, 250.0, 60.0, 8 * true.decode_base), rel=0.1)


def test_a_guess_is_right_about_the_first_tick_whatever_it_is():
    capacity = guess(128.0, 144_000.0)
    capacity.learn(10.0, 1000.0, 0.5)
    speed = capacity.speed
    assert (speed.decode_base + 10 * speed.decode_per_sequence) / (1 - 1000 * speed.prefill_per_token) == (
        pytest.approx(0.5)
    )


def test_what_cannot_be_told_apart_neither_fades_nor_explains_everything():
    capacity = guess(128.0, 144_000.0)
    for _ in range(5000):
        capacity.learn(1.0, 1.0, 0.05)
    speed = capacity.speed
    assert speed.decode_base > 0.03
    assert 1e-3 <= speed.decode_per_sequence / speed.decode_base <= 0.5
    assert 1e-4 <= speed.prefill_per_token / speed.decode_base <= 0.2


def test_longer_prompts_count_although_answers_take_most_of_the_time():
    capacity = Capacity(replace(TRUE), TRUE)
    capacity.mix(1000.0, 250.0, 1.0)
    before = capacity.per_replica(2.0, 0.06)
    capacity.mix(1300.0, 250.0, 1.0)
    assert capacity.per_replica(2.0, 0.06) == pytest.approx(0.9 * burst_rate(TRUE, 1300.0, 250.0, 2.0, 0.06))
    assert capacity.per_replica(2.0, 0.06) < 0.85 * before

"""Which stages of a start are worth making ready beforehand."""

import math
import random
from itertools import pairwise

import pytest

from autoglm_operator.api.status import ColdStart
from autoglm_operator.api.v1alpha1 import WarmStartMode
from autoglm_operator.decide.law import store
from autoglm_operator.decide.law.capacity import guess
from autoglm_operator.decide.law.law import State, decide, need_of_start
from autoglm_operator.decide.law.parameters import Parameters
from autoglm_operator.decide.law.types import Sample, Target
from autoglm_operator.decide.scaling.prewarm import Prewarm, needs

CAPACITY = 4.0


def start(**stages):
    return ColdStart.model_validate(
        {
            "observedAt": "2026-11-21T12:00:00Z",
            "samples": 7,
            "totalSeconds": sum(stages.values()),
            "totalP90Seconds": sum(stages.values()),
            "recentTotalSeconds": [sum(stages.values())] * 7,
            "stages": [
                {"name": name, "lastSeconds": took, "medianSeconds": took, "p90Seconds": took}
                for name, took in stages.items()
            ],
        }
    )


COLD = start(schedule=2, pull=96, download=60, load=14, compile=16, ready=4)


def learned(lead=192.0):
    """Return the state of the law after a day of traffic that wanders, as in a random walk around 20 requests/s."""
    state, rng, level = State(guess(128.0, math.inf)), random.Random(3), 20.0
    target = Target(2.0, 0.06, lead, 1, 100)
    for tick in range(17_280):
        level = 20 + (level - 20) * 0.998 + rng.gauss(0.0, 0.4)
        rate = max(1.0, level)
        sample = Sample(
            now=5.0 * tick, seconds=5.0, arrivals=rate, input_tokens=1000.0, output_tokens=250.0, waiting=0.0,
            batch=20.0, prefill_rate=5000.0, itl=0.02, requests=5.0 * rate, late=0.0, ready=8, ordered=8,
        )  # fmt: skip
        decide(Parameters(), target, state, sample)
    return state


@pytest.fixture(scope="module")
def state():
    return learned()


def test_the_longer_a_start_the_more_replicas(state):
    found = [need_of_start(Parameters(), state, CAPACITY, seconds, 192.0) for seconds in (1, 30, 60, 120, 192, 600)]

    assert all(one <= other for one, other in pairwise(found))
    assert found[-1] > found[0] + 0.5


def test_what_is_kept_says_the_same_as_the_law_itself(state):
    need = needs(store.dump(state), CAPACITY, 192.0)

    assert need(60.0) == pytest.approx(need_of_start(Parameters(), state, CAPACITY, 60.0, 192.0), rel=1e-3)


def test_tiers_beyond_the_one_in_force(state):
    need = needs(store.dump(state), CAPACITY, 192.0)

    lazy, hybrid = Prewarm.of(COLD, WarmStartMode.LAZY, need), Prewarm.of(COLD, WarmStartMode.HYBRID, need)

    assert [(tier.mode, tier.seconds) for tier in lazy.tiers] == [("Hybrid", 116), ("Full", 20)]
    assert 0 < lazy.tiers[0].saves < lazy.tiers[1].saves < lazy.needed
    assert [(tier.mode, tier.seconds) for tier in hybrid.tiers] == [("Full", 96)]
    assert Prewarm.of(COLD, WarmStartMode.FULL, need).tiers == ()


def test_in_words(state):
    found = Prewarm.of(COLD, WarmStartMode.LAZY, lambda seconds: 6 + seconds / 192)

    assert found.sentences == [
        "A replica takes 192 s to start, the median of the last 7: "
        "96 s pull, 60 s download, 16 s compile, 14 s load, 4 s ready, 2 s schedule",
        "With warmStart.mode Hybrid it would be about 116 s, "
        "which saves at least 0.4 of the 7.0 replicas of the last day",
        "With warmStart.mode Full it would be about 20 s, which saves at least 0.9 of the 7.0 replicas of the last day",
    ]


def test_demand_that_needs_no_reserve_saves_nothing():
    found = Prewarm.of(COLD, WarmStartMode.HYBRID, lambda _: 1.0)

    assert found.sentences[1].endswith("saves no replica on an average day")


def test_a_tier_that_makes_nothing_shorter_is_not_offered():
    local = start(schedule=2, load=14, ready=4)

    assert Prewarm.of(local, WarmStartMode.LAZY, None).tiers == ()


def test_before_demand_is_known_only_the_times_are_told():
    found = Prewarm.of(COLD, WarmStartMode.LAZY, None)

    assert found.needed is None
    assert found.sentences[1] == "With warmStart.mode Hybrid it would be about 116 s"


@pytest.mark.parametrize("stored", [None, [], {}, {"level": "high"}, {"level": -1.0}])
def test_what_cannot_be_read_is_not_known(stored):
    assert needs(stored, CAPACITY, 192.0) is None


def test_without_a_capacity_nothing_is_known(state):
    assert needs(store.dump(state), None, 192.0) is None

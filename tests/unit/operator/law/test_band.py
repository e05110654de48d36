"""What counts as a change of direction: what was ordered, not what was wished for."""

import itertools
import math
from dataclasses import replace

import pytest

from autoglm_operator.decide.law.capacity import Capacity, Speed
from autoglm_operator.decide.law.law import State, decide
from autoglm_operator.decide.law.parameters import DAY, Parameters
from autoglm_operator.decide.law.types import Sample, Target

P = Parameters()
SPEED = Speed(0.015, 0.00015, 0.000135, 128.0, 144_000.0)
TARGET = Target(2.0, 0.06, 240.0, 1, 50)


def tick(state, now, arrivals, ordered):
    measured = {"waiting": 0.0, "batch": 0.0, "prefill_rate": 0.0, "itl": 0.0, "late": 0.0}
    sample = Sample(
        now=now,
        seconds=5.0,
        arrivals=arrivals,
        input_tokens=1000.0,
        output_tokens=250.0,
        requests=5 * arrivals,
        ready=ordered,
        ordered=ordered,
        **measured,
    )
    return decide(P, TARGET, state, sample)


def fresh():
    return State(Capacity(replace(SPEED), SPEED))


def test_a_wish_that_nobody_grants_changes_no_direction():
    state = fresh()
    for number in range(200):
        decision = tick(state, 5.0 * number, 10.0, 20)
    assert decision.replicas < 20
    assert state.direction == 0


def test_the_band_grows_with_each_change_of_direction_and_shrinks_with_time():
    state, width = fresh(), []
    for number, ordered in enumerate((4, 4, 6, 7, 6, 5, 6)):
        tick(state, 5.0 * number, 20.0, ordered)
        width.append(state.band + P.band_gain * P.changes_per_day * 5.0 * (number + 1) / DAY)
    turns = [round((later - earlier) / P.band_gain, 6) for earlier, later in itertools.pairwise(width)]
    assert turns == [0, 1, 0, 1, 0, 1]
    assert state.direction == 1


@pytest.mark.parametrize(("direction", "kept"), [(1, True), (-1, False)])
def test_a_replica_that_was_just_added_stays_while_the_need_is_within_the_band(direction, kept):
    state, ordered = fresh(), 5
    for number in range(400):
        ordered = tick(state, 5.0 * number, 20.0, ordered).replicas
    need = tick(state, 2000.0, 20.0, ordered).candidates[0].replicas
    spare = math.floor(need) + 2
    assert 1 - P.band_start * math.exp(state.band) < need % 1 < 1  # below spare - 1, and not by the band
    state.direction, state.ordered = direction, spare
    assert (tick(state, 2005.0, 20.0, spare).replicas == spare) is kept

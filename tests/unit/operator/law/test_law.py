import itertools
import math
from dataclasses import replace

import pytest

from autoglm_operator.decide.law.capacity import Capacity, Speed, guess
from autoglm_operator.decide.law.law import State, decide
from autoglm_operator.decide.law.parameters import Parameters
from autoglm_operator.decide.law.store import dump, load
from autoglm_operator.decide.law.types import Cause, Sample, Target

P = Parameters()
SPEED = Speed(0.015, 0.00015, 0.000135, 128.0, 144_000.0)
TARGET = Target(2.0, 0.06, 240.0, 1, 50)


def sample(now, arrivals, ordered, **changed):
    values = {
        "now": now,
        "seconds": 5.0,
        "arrivals": arrivals,
        "input_tokens": 1000.0 if arrivals else 0.0,
        "output_tokens": 250.0 if arrivals else 0.0,
        "waiting": 0.0,
        "batch": 0.0,
        "prefill_rate": 0.0,
        "itl": 0.0,
        "requests": arrivals * 5,
        "late": 0.0,
        "ready": ordered,
        "ordered": ordered,
    }
    return Sample(**(values | changed))


def settled(arrivals=20.0, ticks=400, ordered=4, parameters=P, target=TARGET):
    state = State(Capacity(replace(SPEED), SPEED))
    for tick in range(ticks):
        decision = decide(parameters, target, state, sample(5.0 * tick, arrivals, ordered))
        ordered = decision.replicas
    return state, decision, 5.0 * ticks


def test_steady_demand_gets_its_level_and_a_reserve():
    _, decision, _ = settled()
    assert decision.demand == pytest.approx(20.0)
    assert decision.capacity == pytest.approx(
        0.9 * 5.03, rel=0.01
    )  # nothing was decoded yet, so that nothing is learned
    assert 20 / 5.03 < decision.replicas <= 8
    assert decision.upper > 20


def test_a_step_is_ordered_at_once_and_in_full():
    state, before, now = settled()
    ordered = before.replicas
    for tick in range(6):
        decision = decide(P, TARGET, state, sample(now + 5 * tick, 60.0, ordered))
        ordered = decision.replicas
    assert ordered >= 60 / 5.03
    assert decision.demand > 35  # the jump was taken, not averaged away


def test_replicas_go_only_after_the_hold_and_at_most_a_quarter_at_once():
    state, before, now = settled(60.0, ordered=14)
    ordered, orders = before.replicas, []
    for tick in range(60):
        decision = decide(P, TARGET, state, sample(now + 5 * tick, 10.0, ordered))
        ordered = decision.replicas
        orders.append(ordered)
    first = next(index for index, number in enumerate(orders) if number < before.replicas)
    assert 5 * first >= P.hold_seconds - 60  # the need fell with the level, which takes a while
    assert all(later >= earlier - max(1, earlier // 4) for earlier, later in itertools.pairwise(orders))
    assert ordered <= 5


def test_nothing_is_removed_in_doubt_and_the_sentence_says_so():
    state, before, now = settled(60.0, ordered=14)
    ordered = before.replicas
    for tick in range(100):
        quiet = sample(now + 5 * tick, 5.0, ordered, doubt="1 ready pod without fresh metrics")
        decision = decide(P, TARGET, state, quiet)
        assert decision.replicas == ordered
    assert decision.sentence.endswith("; none is removed while 1 ready pod without fresh metrics")


@pytest.mark.parametrize(
    "bad", [{"arrivals": math.nan}, {"late": -1.0}, {"itl": math.inf}, {"itl": 1e-200}, {"seconds": 0.0}]
)
def test_a_sample_that_cannot_be_changes_nothing(bad):
    state, before, now = settled()
    kept = dump(state)
    decision = decide(P, TARGET, state, replace(sample(now, 20.0, before.replicas), **bad))
    assert decision.replicas == before.replicas
    assert decision.reason == Cause.DOUBT
    assert "cannot be" in decision.sentence
    assert dump(state) == kept


def test_late_requests_raise_the_price_and_with_it_the_reserve():
    calm, before, now = settled()
    hurt, _, _ = settled()
    for tick in range(720):
        a = decide(P, TARGET, calm, sample(now + 5 * tick, 20.0, before.replicas))
        b = decide(P, TARGET, hurt, sample(now + 5 * tick, 20.0, before.replicas, late=20.0))
    assert hurt.price > calm.price + 0.5
    assert b.upper > a.upper


def test_late_requests_on_idle_replicas_are_not_blamed_on_their_number():
    state, _, now = settled()
    price = state.price
    for tick in range(720):
        decide(P, TARGET, state, sample(now + 5 * tick, 20.0, 40, late=100.0))
    assert state.price < price


def test_a_queue_asks_for_more():
    state, before, now = settled()
    decision = decide(P, TARGET, state, sample(now, 20.0, before.replicas, waiting=1200.0))
    assert decision.reason == Cause.BACKLOG
    assert decision.replicas >= before.replicas + 5
    assert "1200 requests wait" in decision.sentence


def test_bounds_hold():
    few = replace(TARGET, max_replicas=3)
    assert settled(target=few)[1].replicas == 3
    many = replace(TARGET, min_replicas=20)
    assert settled(target=many)[1].replicas == 20


def test_no_traffic_at_all_goes_to_the_minimum():
    _, decision, _ = settled(0.0, ticks=600, ordered=10)
    assert decision.replicas == 1


def repeating(minutes, hours, target=TARGET):
    """Serve half a period of 10/s and half of 40/s; return what was ordered one lead ahead of each rise."""
    state, ordered, ahead = State(Capacity(replace(SPEED), SPEED)), 4, []
    period = minutes * 60
    for tick in range(hours * 720):
        now = 5.0 * tick
        rate = 40.0 if now % period >= period / 2 else 10.0
        decision = decide(P, target, state, sample(now, rate, ordered))
        ordered = decision.replicas
        if now % period == period / 2 - 240:
            ahead.append((ordered, decision))
    return ahead


def test_a_period_is_learned_and_ordered_for_ahead():
    ahead = repeating(90, 12)
    assert ahead[0][0] < 40 / 5.03
    assert ahead[-1][0] >= 40 / 5.03
    assert ahead[-1][1].expected == pytest.approx(40, rel=0.01)


@pytest.mark.parametrize("gap", [600.0, 2.5 * 5400.0])
def test_a_period_keeps_its_phase_over_a_pause(gap):
    state, ordered, period = State(Capacity(replace(SPEED), SPEED)), 4, 5400.0
    for tick in range(12 * 720):
        now = 5.0 * tick
        ordered = decide(P, TARGET, state, sample(now, 40.0 if now % period >= period / 2 else 10.0, ordered)).replicas
    state = load(Capacity(replace(SPEED), SPEED), dump(state))
    now = 12 * 3600.0 + gap
    rise = now - now % period + period / 2 + (period if now % period >= period / 2 else 0)
    while now <= rise - 240:
        decision = decide(P, TARGET, state, sample(now, 40.0 if now % period >= period / 2 else 10.0, 4))
        now += 5.0
    assert decision.expected == pytest.approx(40, rel=0.01)
    early = rise - 700
    assert state.demand.periods.most(0.0, early - now) < 40 or early < now


def test_reactive_mode_never_orders_ahead():
    ahead = repeating(90, 12, replace(TARGET, reactive=True))
    assert ahead[-1][0] < 40 / 5.03


def test_a_restart_with_the_stored_state_decides_the_same():
    state, before, now = settled(33.0)
    again = load(Capacity(replace(SPEED), SPEED), dump(state))
    for tick in range(200):
        rate = 33.0 + 10 * math.sin(tick / 7)
        one = decide(P, TARGET, state, sample(now + 5 * tick, rate, before.replicas))
        two = decide(P, TARGET, again, sample(now + 5 * tick, rate, before.replicas))
    # What was expected one lead ago is not stored, so that the drift differs a little.
    assert one.upper == pytest.approx(two.upper, rel=0.05)
    assert one.demand == two.demand


@pytest.mark.parametrize("text", [{}, {"level": "high"}, {"level": math.nan}, {"period": 7, "bins": [1, "x"]}])
def test_a_stored_state_that_cannot_be_read_is_a_fresh_start(text):
    assert dump(load(Capacity(replace(SPEED), SPEED), text)) == dump(State(Capacity(replace(SPEED), SPEED)))


def test_what_was_learned_of_another_replica_is_left_out_and_demand_is_not():
    kept = dump(settled(33.0)[0]) | {"samples": 500.0}
    faster = replace(SPEED, decode_base=0.01)
    other = load(Capacity(replace(faster), faster), kept)
    assert (other.capacity.samples, other.capacity.speed.decode_base) == (0, 0.01)
    assert other.demand.level == pytest.approx(33.0)
    guessed = load(guess(128.0, 144_000.0), kept | {"decode_base": 0.012})
    assert (guessed.capacity.samples, guessed.capacity.speed.decode_base) == (500, 0.012)
    again = load(Capacity(replace(SPEED), SPEED), dump(guessed))
    assert again.capacity.samples == 0, "that was a guess, and this is a profile"


def test_the_price_of_what_was_late_before_a_period_was_known_is_forgotten():
    state, ordered, period, dearest = State(Capacity(replace(SPEED), SPEED)), 4, 3600.0, 0.0
    for tick in range(4 * 720):
        now = 5.0 * tick
        rate = 40.0 if now % period >= period / 2 else 10.0
        late = rate * 5 if 0 <= now % period - period / 2 < 240 else 0.0
        known = state.demand.periods.period
        ordered = decide(P, TARGET, state, sample(now, rate, ordered, late=late)).replicas
        dearest = max(dearest, state.price)
        if state.demand.periods.period and not known:
            break
    assert state.demand.periods.period == 60
    assert dearest > 0.1
    assert state.price <= 0

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoglm_agent.device import GpuSample
from autoglm_agent.signals.catalogue import MEMORY, SIGNALS
from autoglm_agent.signals.memory import MemoryWatch
from autoglm_agent.signals.window import GAP_SECONDS, Gate, Trend

GIB = 1 << 30


def fired(gate, values, start=0.0, step=1.0):
    return [gate.update(value, start + step * n) for n, value in enumerate(values)]


def test_fires_after_three_in_a_row_and_not_before():
    assert fired(Gate(0.9, 0.8), [0.95, 0.95, 0.5, 0.95, 0.95, 0.95]) == [False] * 5 + [True]


def test_holds_between_the_thresholds_and_ends_after_three_below_the_lower():
    gate = Gate(0.9, 0.8)
    fired(gate, [0.9] * 3)

    assert fired(gate, [0.85] * 10 + [0.7, 0.7, 0.85, 0.7, 0.7, 0.7], start=3) == [True] * 15 + [False]
    assert gate.since == 18.0


def test_breach_to_signal_takes_three_periods():
    gate = Gate(0.9, 0.8)
    fired(gate, [0.1] * 10)
    breach = 9.0
    seen = [breach + n for n in range(1, 10) if gate.update(1.0, breach + n)]

    assert seen[0] - breach == 3.0


def test_unknown_values_break_no_row_by_themselves_but_a_gap_does():
    gate = Gate(0.9, 0.8)
    assert fired(gate, [1.0, None, 1.0, math.nan, 1.0]) == [False] * 4 + [True]

    other = Gate(0.9, 0.8)
    fired(other, [1.0, 1.0])
    assert not other.update(1.0, 1.0 + GAP_SECONDS + 1)


def test_signal_that_nobody_sees_any_more_ends():
    gate = Gate(0.9, 0.8)
    fired(gate, [1.0] * 3)

    assert gate.update(None, 2.0 + GAP_SECONDS)
    assert not gate.update(None, 2.1 + GAP_SECONDS)


def test_clock_that_runs_backwards_begins_the_row_anew():
    gate = Gate(0.9, 0.8)
    fired(gate, [1.0, 1.0], start=100)

    assert fired(gate, [1.0, 1.0, 1.0], start=0) == [False, False, True]


def test_thresholds_the_wrong_way_round_are_refused():
    with pytest.raises(ValueError, match=r"rises at 0\.8 falls at 0\.9"):
        Gate(0.8, 0.9)


@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=60))
def test_never_turns_twice_within_three_periods(values):
    states = fired(Gate(0.6, 0.4), values)
    turns = [n for n, (a, b) in enumerate(zip([False, *states], states, strict=False)) if a != b]

    assert all(b - a >= 3 for a, b in pairwise(turns))


def test_slope_of_a_straight_line():
    trend = Trend()
    for second in range(0, 61, 2):
        trend.add(100.0 + 5.0 * second, float(second))

    assert trend.slope() == pytest.approx(5.0)
    assert trend.seconds_to(500.0) == pytest.approx(20.0)
    assert trend.seconds_to(300.0) == 0.0


def test_slope_stays_right_with_one_point_in_seven_wrong():
    trend = Trend()
    for n, second in enumerate(range(0, 60, 2)):
        trend.add(2.0 * second + (1e6 if n % 7 == 3 else 0.0), float(second))

    assert trend.slope() == pytest.approx(2.0)


@pytest.mark.parametrize("values", [[5.0] * 30, [500.0 - n for n in range(30)], [1.0] * 5])
def test_what_does_not_grow_or_is_too_short_is_not_foreseen(values):
    trend = Trend()
    for n, value in enumerate(values):
        trend.add(value, 2.0 * n)

    assert trend.seconds_to(1000.0) is None


@pytest.mark.parametrize("jump", [-50.0, 1e6])
def test_trend_over_a_clock_jump_begins_anew(jump):
    trend = Trend()
    for second in range(0, 60, 2):
        trend.add(float(second), float(second))
    trend.add(0.0, 60.0 + jump)

    assert trend.slope() is None


def gpu(number, used, taken, total=80 * GIB):
    return GpuSample(number, f"GPU-{number}", "NVIDIA H100", used, total, None, taken)


def test_memory_that_fills_is_foreseen_and_fires_in_time():
    watch, seen = MemoryWatch(), None
    for second in range(200):
        used = min(80 * GIB, 60 * GIB + second * GIB // 10)
        signals = watch.update([gpu(0, 10 * GIB, second), gpu(1, used, second)], float(second), settled=True)
        if seen is None and "memory_exhaustion" in signals.fired:
            seen = second

    assert 80 <= seen <= 86  # 120 s before the end at 200 s, and three periods
    assert signals.fired["memory_pressure"] > seen


def test_figures_of_each_gpu():
    watch = MemoryWatch()
    for second in range(30):
        signals = watch.update([gpu(0, 10 * GIB + second * 1000, second)], float(second), settled=True)

    figures = signals.gpus["GPU-0"]
    assert figures.share == pytest.approx(0.125, rel=1e-4)
    assert figures.change == pytest.approx(1000.0)
    assert figures.exhausted_in is None  # 70 GiB at 1 kB/s take more than a day
    assert signals.fired == {}


def test_engine_that_loads_fills_the_memory_without_alarm():
    watch = MemoryWatch()
    for second in range(30):
        signals = watch.update([gpu(0, second * 2 * GIB, second)], float(second), settled=False)
        assert signals.fired == {}


def test_gpus_without_figures_or_that_go_away_leave_nothing_behind():
    watch = MemoryWatch()
    for second in range(20):
        watch.update([gpu(0, 10, second)], float(second), settled=True)
    assert watch.update([gpu(0, None, 20.0)], 20.0, settled=True).gpus["GPU-0"].share is None

    signals = watch.update([], 21.0, settled=True)

    assert signals.share is None
    assert watch._trends == {}


def test_every_signal_has_a_name_of_its_own_and_hysteresis():
    assert len({signal.name for signal in SIGNALS}) == len(SIGNALS)
    assert all(signal.fall < signal.rise for signal in SIGNALS)
    assert MEMORY.gate().fired is False

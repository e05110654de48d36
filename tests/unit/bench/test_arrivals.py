import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoglm_bench.load.arrivals import Arrivals, Phase, arrivals, ramp, spike, steady, steps

phases = st.lists(
    st.builds(
        Phase,
        name=st.sampled_from(["a", "b", "c"]),
        rate=st.floats(0, 50),
        end_rate=st.none() | st.floats(0, 50),
        burstiness=st.floats(0.3, 4),
        seconds=st.floats(0.1, 20),
        arrivals=st.sampled_from(Arrivals),
    ),
    max_size=4,
)


@given(phases, st.integers())
def test_arrivals_are_repeatable_in_order_and_inside_their_phase(plan, seed):
    found = list(arrivals(plan, seed))

    assert found == list(arrivals(plan, seed))
    assert all(earlier.at <= later.at for earlier, later in pairwise(found))
    ends, end = [], 0.0
    for phase in plan:
        ends.append((end, end + phase.seconds, phase.name))
        end += phase.seconds
    for arrival in found:
        assert any(start <= arrival.at <= stop and arrival.phase == name for start, stop, name in ends)


def test_constant_rate_is_evenly_spread():
    found = [arrival.at for arrival in arrivals(steady(4, 1.1, Arrivals.CONSTANT), 0)]

    assert found == [0, 0.25, 0.5, 0.75, 1.0]


def test_constant_rate_does_not_drift():
    found = list(arrivals(steady(10, 600, Arrivals.CONSTANT), 0))

    assert len(found) == 6000
    assert found[-1].at == pytest.approx(599.9)


def test_poisson_has_its_rate_and_is_irregular():
    times = [arrival.at for arrival in arrivals(steady(20, 500, Arrivals.POISSON), 7)]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    mean = sum(gaps) / len(gaps)
    deviation = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5

    assert len(times) == pytest.approx(10_000, rel=0.03)
    assert deviation == pytest.approx(mean, rel=0.05)


def test_seeds_differ():
    plan = steady(5, 10, Arrivals.POISSON)

    assert list(arrivals(plan, 1)) != list(arrivals(plan, 2))


def test_pause_sends_nothing_and_takes_its_time():
    plan = [Phase("pause", 0, 5), Phase("on", 1, 2, Arrivals.CONSTANT)]

    assert [arrival.at for arrival in arrivals(plan, 0)] == [5, 6]


def test_spike_is_three_phases():
    plan = spike(2, 60, spike_rate=20, spike_start=20, spike_seconds=10)

    assert [(phase.name, phase.rate, phase.seconds) for phase in plan] == [
        ("before", 2, 20),
        ("during", 20, 10),
        ("after", 2, 30),
    ]


def test_spike_at_the_end_has_no_phase_after_it():
    assert [phase.name for phase in spike(2, 30, 20, 20, 10)] == ["before", "during"]


def test_spike_outside_the_load_is_refused():
    with pytest.raises(ValueError, match="from second 20 to 41; expected it inside the load of 40 seconds"):
        spike(2, 40, 20, 20, 21)


@pytest.mark.parametrize(("rate", "seconds"), [(-1, 1), (math.nan, 1), (math.inf, 1), (1, 0), (1, math.inf)])
def test_impossible_phase_is_refused(rate, seconds):
    with pytest.raises(ValueError, match=r"phase a: .* expected"):
        Phase("a", rate, seconds)


def test_bursty_arrivals_have_their_rate_and_variation():
    times = [arrival.at for arrival in arrivals(steady(20, 2000, Arrivals.GAMMA, burstiness=3), 7)]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    mean = sum(gaps) / len(gaps)
    deviation = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5

    assert len(times) == pytest.approx(40_000, rel=0.05)
    assert deviation / mean == pytest.approx(3, rel=0.05)


def test_ramp_goes_from_one_rate_to_the_other():
    times = [arrival.at for arrival in arrivals(ramp(10, 50, 100), 1)]
    first, last = (sum(start <= at < start + 10 for at in times) for start in (0, 90))

    assert len(times) == pytest.approx(3000, rel=0.05)
    assert first == pytest.approx(120, rel=0.25)
    assert last == pytest.approx(480, rel=0.15)


def test_ramp_down_to_nothing_ends():
    found = list(arrivals([Phase("down", 10, 10, Arrivals.CONSTANT, end_rate=0)], 0))

    assert len(found) == 50
    assert found[-1].at < 10


def test_steps_share_the_time():
    assert [(phase.name, phase.rate, phase.seconds) for phase in steps([2, 5, 10], 30)] == [
        ("2/s", 2, 10),
        ("5/s", 5, 10),
        ("10/s", 10, 10),
    ]

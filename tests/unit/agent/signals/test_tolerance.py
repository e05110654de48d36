import pytest

from autoglm_agent.signals.stability import Stability, divergence, stability, variation
from autoglm_agent.signals.tolerance import MODES, Deviation, Reaction, Tolerance, signal


def learned(pace=0.03, running=8.0, memory=0.9):
    deviation = Deviation()
    for _ in range(31):
        deviation.update(pace, running, memory)
    return deviation


def test_nothing_is_known_before_thirty_periods():
    deviation = Deviation()
    for _ in range(30):
        deviation.update(0.03, 8.0, None)
        assert deviation.value is None
    deviation.update(0.033, 8.0, None)

    assert deviation.value == pytest.approx(0.1)


def test_deviation_is_the_larger_of_pace_and_memory():
    deviation = learned()
    deviation.update(0.036, 8.0, 0.95)
    assert (deviation.pace, deviation.memory) == (pytest.approx(0.2), pytest.approx(0.05))
    assert deviation.value == pytest.approx(0.2)

    deviation.update(0.02, 8.0, 0.99)

    assert deviation.pace == 0.0  # faster than usual is no deviation
    assert deviation.value == pytest.approx(0.09, abs=1e-3)


def test_larger_batch_has_a_pace_of_its_own():
    deviation = learned(pace=0.03, running=8.0)
    deviation.update(0.06, 32.0, 0.9)

    assert deviation.pace is None
    assert deviation.value == 0.0


def test_trouble_does_not_become_the_norm_but_calm_drift_does():
    deviation = learned()
    for _ in range(5000):
        deviation.update(0.045, 8.0, None)
    assert deviation.pace == pytest.approx(0.5, abs=0.01)

    for _ in range(5000):
        deviation.update(0.032, 8.0, None)
    assert deviation.pace < 0.01


def test_period_without_tokens_tells_no_pace():
    deviation = learned()
    deviation.update(None, 0.0, None)

    assert deviation.value is None


def test_new_process_learns_its_memory_anew():
    deviation = learned(memory=0.5)
    deviation.forget_memory()
    deviation.update(None, 0.0, 0.9)

    assert deviation.memory is None


@pytest.mark.parametrize(
    ("tolerance", "limit", "reaction", "elastic"),
    [
        ("Strict", 0.1, Reaction.ALERT, False),
        ("Elastic", 0.25, Reaction.ALERT, True),
        ("Recovery", 0.3, Reaction.DEGRADE, True),
    ],
)
def test_modes(tolerance, limit, reaction, elastic):
    mode = MODES[Tolerance(tolerance)]
    assert (mode.limit, mode.reaction, mode.elastic) == (limit, reaction, elastic)

    gate = signal(Tolerance(tolerance)).gate()
    assert [gate.update(limit, float(n)) for n in range(3)] == [False, False, True]
    assert [gate.update(0.9 * limit, float(n)) for n in range(3, 9)] == [True] * 6  # hysteresis
    assert [gate.update(0.7 * limit, float(n)) for n in range(9, 12)] == [True, True, False]


def test_tolerances_are_those_of_the_custom_resource():
    from autoglm_operator.api import v1alpha1  # noqa: PLC0415

    assert {each.value for each in v1alpha1.Tolerance} == {each.value for each in Tolerance}


def test_variation():
    assert variation([0.03] * 5) == pytest.approx(0.0, abs=1e-12)
    assert variation([1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx(0.4714, abs=1e-4)
    assert variation([0.03] * 4) is None


def test_divergence_runs_from_same_to_disjoint():
    assert divergence([10, 20, 30], [20, 40, 60]) == pytest.approx(0.0)
    assert divergence([10, 0], [0, 99]) == pytest.approx(1.0)
    assert 0.0 < divergence([10, 20], [20, 10]) < 0.2


def test_stability_needs_enough_of_both():
    few, enough = ([49, 0], [50, 0]), ([50, 0], [50, 0])

    assert stability([0.03] * 9, [few]) == Stability(cv=pytest.approx(0.0, abs=1e-12), ocs=None)
    assert stability([0.03] * 9, [few]).stable is None
    assert stability([0.03] * 9, [few, enough]).stable is True
    assert stability([0.03, 0.06] * 5, [enough]).stable is False
    assert stability([0.03] * 9, [enough, ([99, 0], [0, 99])]).ocs == pytest.approx(0.5)

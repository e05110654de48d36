"""The agent's quantiles are the operator's: two programs that ship apart, one rule."""

from array import array
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from autoglm_agent.engine.histograms import Histogram, Increase, added, quantile
from autoglm_operator.decide.scaling import quantiles as operator

BOUNDS = (0.1, 0.5, 1.0, 5.0)
OTHER = (0.2, 0.4, 2.0, 3.0)


def cumulative(parts):
    total, counts = 0.0, []
    for part in parts:
        total += part
        counts.append(total)
    return counts


buckets = st.lists(st.integers(0, 1000), min_size=5, max_size=5)


@st.composite
def histories(draw):
    """Counters that grow, now and then begin anew, and once perhaps with other bounds."""
    history, current, edges = [], [0.0] * 5, BOUNDS
    upgrade = draw(st.integers(0, 20))
    for number in range(draw(st.integers(2, 12))):
        if number == upgrade or draw(st.integers(0, 4)) == 0:
            current, edges = [0.0] * 5, OTHER if number >= upgrade else BOUNDS
        current = [a + b for a, b in zip(current, draw(buckets), strict=True)]
        history.append((edges, cumulative(current)))
    return history


@given(histories(), st.sampled_from([0.0, 0.5, 0.95, 0.99, 1.0]))
def test_window_over_a_history_is_what_the_operator_computes(history, q):
    theirs = operator.increase([operator.Histogram(edges, array("d", counts)) for edges, counts in history])
    window = Increase(1000.0)
    samples = [Histogram(edges, array("d", counts)) for edges, counts in history]
    for taken, (old, new) in enumerate(pairwise(samples)):
        window.add(float(taken), new.bounds, added(old, new))

    assert list(window.counts) == list(theirs.counts)
    assert window.quantile(q) == operator.quantile(q, theirs)


@given(buckets, st.floats(0, 1))
def test_quantile_is_the_operators(parts, q):
    counts = tuple(cumulative(parts))

    assert quantile(q, BOUNDS, counts) == operator.quantile(q, operator.Increase(BOUNDS, counts))


def test_what_left_the_window_counts_no_longer():
    window = Increase(10.0)
    window.add(0.0, (1.0, 2.0), array("d", [5.0, 5.0, 5.0]))
    window.add(6.0, (1.0, 2.0), array("d", [0.0, 2.0, 2.0]))
    assert list(window.counts) == [5.0, 7.0, 7.0]

    window.add(12.0, (1.0, 2.0), array("d", [0.0, 0.0, 0.0]))

    assert list(window.counts) == [0.0, 2.0, 2.0]
    assert window.quantile(0.5) == 1.5


def test_nothing_observed_has_no_quantile():
    window = Increase(10.0)
    assert window.quantile(0.5) is None
    window.add(0.0, (1.0,), array("d", [0.0, 0.0]))
    assert window.quantile(0.5) is None


def test_beyond_the_last_bound_the_answer_is_that_bound():
    assert quantile(0.99, (1.0, 2.0), (0.0, 0.0, 7.0)) == 2.0


def test_many_samples_leave_no_rest_and_take_no_room():
    window = Increase(60.0)
    for taken in range(100_000):
        window.add(float(taken), (1.0,), array("d", [1.0, 3.0]))

    assert list(window.counts) == [60.0, 180.0]
    assert len(window._parts) == 60

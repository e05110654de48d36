import pytest

from autoglm_operator.decide.scaling.quantiles import Increase, increase, pool, quantile


def test_one_histogram_is_no_increase(histogram):
    assert increase([]) is None
    assert increase([histogram(1)]) is None


def test_the_increase_is_what_came_between_first_and_last(histogram):
    found = increase([histogram(5, 1), histogram(7, 1), histogram(7, 4)])
    assert found.counts == (2, 5, 5, 5, 5, 5)
    assert found.observations == 5


def test_after_a_restart_everything_counted_is_new(histogram):
    found = increase([histogram(100), histogram(110), histogram(0, 3), histogram(0, 4)])
    assert found.counts == (10, 14, 14, 14, 14, 14)


def test_a_restart_is_noticed_even_if_the_total_did_not_fall(histogram):
    assert increase([histogram(100, 0), histogram(0, 200)]).observations == 200


def test_other_bounds_are_another_engine(histogram):
    found = increase([histogram(9, bounds=(1.0,)), histogram(2), histogram(3)])
    assert found.observations == 3


def test_pods_are_added_up():
    a, b = Increase((1.0, 2.0), (1, 2, 3)), Increase((1.0, 2.0), (10, 20, 30))
    assert pool([a, b]) == Increase((1.0, 2.0), (11, 22, 33))


def test_pods_with_other_bounds_meet_on_the_common_ones():
    a, b = Increase((1.0, 2.0), (1, 2, 3)), Increase((0.5, 2.0, 9.0), (1, 4, 5, 6))
    assert pool([a, b]) == Increase((2.0,), (6, 9))


@pytest.mark.parametrize(
    ("q", "expected"),
    [(0.0, 0.0), (0.25, 0.5), (0.5, 1.0), (0.75, 1.5), (1.0, 2.0)],
)
def test_quantiles_are_interpolated(q, expected):
    assert quantile(q, Increase((1.0, 2.0), (50, 100, 100))) == pytest.approx(expected)


def test_beyond_the_last_bound_it_is_the_last_bound():
    assert quantile(0.99, Increase((1.0, 2.0), (1, 1, 100))) == 2.0


@pytest.mark.parametrize("observed", [None, Increase((1.0,), (0, 0)), Increase((), (5,))])
def test_without_observations_there_is_no_quantile(observed):
    assert quantile(0.99, observed) is None

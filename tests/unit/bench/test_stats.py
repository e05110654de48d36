from hypothesis import given
from hypothesis import strategies as st

from autoglm_bench.figures.stats import distribution, percentile

values = st.lists(st.floats(0, 1e6), min_size=1, max_size=200).map(sorted)


@given(values, st.floats(0.01, 100))
def test_percentile_is_a_value_with_enough_at_or_below_it_and_no_smaller_one_will_do(ascending, percent):
    found = percentile(ascending, percent)
    needed = round(percent * len(ascending) / 100, 9)

    assert found in ascending
    assert sum(value <= found for value in ascending) >= needed
    assert sum(value < found for value in ascending) < needed or found == ascending[0]


@given(values)
def test_percentiles_rise_up_to_the_maximum(ascending):
    found = [percentile(ascending, percent) for percent in (1, 50, 90, 99, 100)]

    assert found == sorted(found)
    assert found[-1] == ascending[-1]


def test_percentiles_of_one_to_a_thousand():
    ascending = [float(number) for number in range(1, 1001)]

    expected = {0.1: 1, 16.1: 161, 50: 500, 90: 900, 99: 990, 99.9: 999, 100: 1000}
    assert {percent: percentile(ascending, percent) for percent in expected} == expected


def test_distribution_of_nothing_is_nothing():
    assert distribution([]) is None


def test_distribution_leaves_out_what_is_not_a_number():
    found = distribution([3.0, float("nan"), 1.0])

    assert (found.count, found.mean, found.deviation, found.maximum) == (2, 2.0, 1.0, 3.0)
    assert found.variation == 0.5
    assert found.percentiles == {50: 1.0, 90: 3.0, 95: 3.0, 99: 3.0}

from hypothesis import given
from hypothesis import strategies as st

from autoglm_bench.profiles import Phase
from autoglm_bench.result import Cause, Result
from autoglm_bench.stats import distribution, percentile, summarise, total

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


def result(number, phase, ttft, cause=None, lateness=0.0):
    return Result(number, phase, 1.0, 1.0 + lateness, ttft, (0.1, 0.2), 1.0, 10, 3, cause, "")


def test_summary_counts_failures_and_takes_latencies_of_successes_only():
    plan = [Phase("a", 1, 10), Phase("b", 1, 5), Phase("a", 1, 10)]
    results = [
        result(0, "a", 0.1),
        result(1, "a", 0.3, lateness=0.2),
        result(2, "a", 9.0, Cause.CUT_OFF),
        result(3, "b", None, Cause.REFUSED),
    ]

    first, second = summarise(plan, results)

    assert (first.name, first.seconds, first.requests, first.succeeded, first.late) == ("a", 20, 3, 2, 1)
    assert first.failures == {"cut_off": 1}
    assert first.ttft.maximum == 0.3
    assert first.itl.count == 4
    assert first.output_tokens == 6
    assert (second.name, second.succeeded, second.ttft) == ("b", 0, None)
    whole = total(plan, results)
    assert (whole.requests, whole.succeeded, whole.seconds) == (4, 2, 25)

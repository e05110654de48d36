import math
from random import Random

import pytest

from autoglm_bench.compare.tests import batches, fisher, mann_whitney, rank_test, ratio_interval
from autoglm_bench.compare.verdict import compare
from autoglm_bench.report.markdown import comparison_markdown


def run(latencies, failed=0, **more):
    count = len(latencies)
    samples = {
        "sent": [float(number) for number in range(count)],
        "ttft": list(latencies),
        "itl": [latency / 10 for latency in latencies],
        "duration": [2 * latency for latency in latencies],
        "cause": [None] * count,
    }
    base = {"requests": count + failed, "failed": failed, "late": 0, "partial": False, "partialReason": None}
    base |= {"promptTokens": 1000, "cachedTokens": None}
    return base | {"specHash": "s", "sequenceHash": "q", "plan": {"seed": 0}, "samples": samples} | more


def correlated(seed, count=3000, scale=1.0):
    """Latencies that resemble their neighbours, as those of a queue do."""
    rng, state, found = Random(seed), 0.0, []
    for _ in range(count):
        state = 0.9 * state + rng.gauss(0, 1)
        found.append(scale * math.exp(0.2 * state) / 10)
    return found


def test_mann_whitney_agrees_with_tables():
    # Expected values: scipy.stats.mannwhitneyu(method="asymptotic").
    assert mann_whitney([1.1, 2.2, 3.3, 4.4, 5.5], [6.6, 7.7, 8.8, 9.9, 11.0]) == pytest.approx(0.012185780355344813)
    assert mann_whitney([1, 2, 2, 3], [2, 2, 3, 4]) == pytest.approx(0.35289670147688934)
    assert mann_whitney([1, 1], [1, 1]) == 1


def test_fisher_agrees_with_tables():
    # Expected values: scipy.stats.fisher_exact.
    assert fisher(3, 4, 1, 4) == pytest.approx(0.48571428571428565)
    assert fisher(0, 100, 0, 100) == 1
    assert fisher(0, 1000, 20, 1000) == pytest.approx(1.7328669172182517e-06)


def test_batches_lose_nothing():
    for count in (1, 2, 10, 99, 100, 1001):
        cut = batches(list(range(count)))
        assert [value for batch in cut for value in batch] == list(range(count))
        assert min(map(len, cut)) >= math.isqrt(count)


def test_equal_runs_show_no_difference():
    found = compare(run(correlated(1)), run(correlated(2)))

    assert found.sentence == "no difference seen"
    assert not found.worse
    assert all(change.seen is False for change in found.changes)


def test_false_alarms_are_rare_though_requests_resemble_their_neighbours():
    alarms = 0
    for seed in range(60):
        found = compare(run(correlated(2 * seed, 1000)), run(correlated(2 * seed + 1, 1000)))
        alarms += any(change.seen for change in found.changes)

    # 5 % are promised; 8 of 60 are beyond what chance makes of that.
    assert alarms < 8


def test_slower_run_is_worse_and_faster_is_not():
    slow, fast = run(correlated(1, scale=1.3)), run(correlated(2))

    assert compare(fast, slow).worse
    assert compare(fast, slow).conclusive
    assert "B's TTFT P50 is" in compare(fast, slow).sentence
    assert "higher" in compare(fast, slow).sentence
    assert not compare(slow, fast).worse
    assert "lower" in compare(slow, fast).sentence


def test_slow_tail_alone_is_seen():
    rng = Random(3)
    tail = [value * (4 if rng.random() < 0.03 else 1) for value in correlated(1, 6000)]
    changes = {change.name: change for change in compare(run(correlated(2, 6000)), run(tail)).changes}

    assert changes["TTFT P99"].seen
    assert not changes["TTFT P50"].seen


def test_sure_but_tiny_changes_are_no_difference():
    base = [0.1 + 0.00001 * (number % 7) for number in range(2000)]

    assert compare(run(base), run([1.005 * value for value in base])).sentence == "no difference seen"
    assert compare(run(base), run([1.02 * value for value in base])).worse


def test_few_requests_tell_nothing():
    found = compare(run([0.1] * 20), run([0.3] * 20))

    assert found.sentence == "too few requests to tell a difference"
    assert "P99 needs 1000" in found.changes[1].note


def test_more_failures_are_worse():
    found = compare(run(correlated(1)), run(correlated(2), failed=60))

    assert found.worse
    assert "failures is 1.96 % instead of 0 %" in found.sentence


def test_what_may_mislead_is_said():
    other = run([0.1] * 9, specHash="t", plan={"seed": 1}, partial=True, partialReason="stopped by SIGTERM", late=5)
    texts = " / ".join(compare(run([0.1] * 9), other).warnings)

    assert "B is partial: stopped by SIGTERM" in texts
    assert "B sent 5 of 9 requests late" in texts
    assert "they differ in seed" in texts
    assert compare(run([0.1] * 9), run([0.1] * 9, sequenceHash="z")).warnings == [
        "the runs sent different requests: their sequence hashes differ"
    ]


def test_cache_that_was_warm_for_one_run_is_said():
    (text,) = compare(run([0.1] * 9, cachedTokens=40), run([0.1] * 9, cachedTokens=900)).warnings

    assert "40 prompt tokens of A and 900 of B from its prefix cache" in text
    assert not compare(run([0.1] * 9, cachedTokens=40), run([0.1] * 9, cachedTokens=60)).warnings


def test_interval_holds_the_true_ratio():
    low, high = ratio_interval(correlated(1), correlated(2, scale=1.5), 50, 0.01)

    assert low < 1.5 < high
    assert high / low < 1.5
    assert ratio_interval([0.1] * 999, [0.1] * 999, 99, 0.01) is None
    assert rank_test([0.1] * 30, [0.1] * 30) is None


def test_markdown_of_a_comparison():
    text = comparison_markdown(compare(run(correlated(1)), run(correlated(2))))

    assert text.startswith("**no difference seen**")
    assert "| TTFT P99 |" in text


def searched(limit, *rates_that_failed, **more):
    trials = [{"rate": rate, "held": False, "reason": ""} for rate in rates_that_failed]
    return run(correlated(1), search={"limit": limit, "trials": trials}, **more)


@pytest.mark.parametrize(
    ("before", "after", "seen", "worse", "sentence"),
    [
        ((10.0, 10.5), (12.0, 12.6), True, False, "B's limit is 12 instead of 10 requests/s"),
        ((12.0, 12.6, 16), (10.0, 10.5), True, True, "B's limit is 10 instead of 12 requests/s"),
        ((10.0, 10.5), (10.4, 10.9), False, False, "no difference seen"),
        ((10.0, 10.5), (None, 5.0), True, True, "B's limit is 0 instead of 10 requests/s"),
        ((None, 5.0), (None, 5.0), False, False, "no difference seen"),
        ((64.0,), (32.0, 33.0), True, True, "B's limit is 32 instead of 64 requests/s"),
        ((64.0,), (64.0,), False, False, "no difference seen"),
    ],
)
def test_searches_are_compared_by_what_they_found(before, after, seen, worse, sentence):
    found = compare(searched(*before), searched(*after))
    assert [(change.name, change.seen) for change in found.changes] == [("limit", seen)]
    assert (found.worse, found.sentence) == (worse, sentence)
    assert "| limit |" in comparison_markdown(found)


def test_a_search_and_a_run_are_compared_as_runs():
    assert "limit" not in {change.name for change in compare(searched(1.0, 2.0), run(correlated(1))).changes}

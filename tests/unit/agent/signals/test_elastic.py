from hypothesis import given
from hypothesis import strategies as st

from autoglm_agent.signals.elastic import ElasticBatch
from autoglm_agent.signals.tolerance import Tolerance

PRESSURE = ("kv_pressure",)


def run(elastic, causes, start, seconds, running=64.0):
    """Every second from `start`; returns the distinct requests with their time."""
    seen = []
    for second in range(start, start + seconds):
        request = elastic.update(causes, running, float(second))
        if not seen or request != seen[-1][1]:
            seen.append((second, request))
    return seen


def limits(seen):
    return [request.max_num_seqs if request else None for _, request in seen]


def test_steps_down_by_quarters_at_most_each_30_seconds_to_a_quarter_of_the_batch():
    seen = run(ElasticBatch(Tolerance.ELASTIC), PRESSURE, 0, 600)

    assert limits(seen) == [48, 36, 27, 20, 16]
    assert [second for second, _ in seen] == [0, 30, 60, 90, 120]
    assert seen[0][1].reason == "pressure: kv_pressure"


def test_rises_after_two_minutes_of_calm_and_is_withdrawn_where_it_started():
    elastic = ElasticBatch(Tolerance.ELASTIC)
    run(elastic, PRESSURE, 0, 61)
    seen = run(elastic, (), 61, 1000)

    assert limits(seen) == [27, 43, 59, None]
    assert [second for second, _ in seen[1:]] == [180, 240, 300]
    assert seen[1][1].reason == "calm for 120 s"


def test_pressure_that_comes_back_lowers_again():
    elastic = ElasticBatch(Tolerance.ELASTIC)
    run(elastic, PRESSURE, 0, 1)
    run(elastic, (), 1, 100)
    assert elastic.request.max_num_seqs == 48

    run(elastic, PRESSURE, 101, 1)

    assert elastic.request.max_num_seqs == 36


def test_strict_asks_for_nothing():
    assert limits(run(ElasticBatch(Tolerance.STRICT), PRESSURE, 0, 600)) == [None]


def test_recovery_halves_at_once_when_the_pod_deviates():
    assert run(ElasticBatch(Tolerance.RECOVERY), ("deviation",), 0, 1)[0][1].max_num_seqs == 32
    assert run(ElasticBatch(Tolerance.RECOVERY), PRESSURE, 0, 1)[0][1].max_num_seqs == 48


def test_a_few_requests_are_not_lowered():
    assert limits(run(ElasticBatch(Tolerance.ELASTIC), PRESSURE, 0, 100, running=3.0)) == [None]
    assert limits(run(ElasticBatch(Tolerance.ELASTIC), PRESSURE, 0, 100, running=4.0)) == [3, 2, 1]


def test_clock_set_back_freezes_nothing_for_good():
    elastic = ElasticBatch(Tolerance.ELASTIC)
    run(elastic, PRESSURE, 10_000, 1)
    run(elastic, (), 0, 1000)

    assert elastic.request is None


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 500), st.integers(1, 100)), max_size=60))
def test_request_is_always_within_its_bounds_and_never_faster_than_30_seconds(periods):
    elastic, now, changes, base = ElasticBatch(Tolerance.RECOVERY), 0.0, [], 0
    before = None
    for pressed, running, wait in periods:
        now += wait
        request = elastic.update(("kv_pressure", "deviation") if pressed else (), float(running), now)
        if before is None and request is not None:
            base = running
        if request is not None:
            assert max(1, base // 4) <= request.max_num_seqs <= max(1, base)
            if before is not None and request != before:
                changes.append(request.since - before.since)
        before = request

    assert all(gap >= 30 for gap in changes)

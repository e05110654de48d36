import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoglm_bench.figures import gpu, score, split
from autoglm_bench.figures.checks import check, held, littles_law, too_late
from autoglm_bench.figures.exposition import sums
from autoglm_bench.figures.objectives import Objective, limits, parse
from autoglm_bench.figures.records import Asked, Records
from autoglm_bench.figures.stability import consistency, divergence, variation
from autoglm_bench.figures.summary import Stretch, summarise, total
from autoglm_bench.load.plan import Search
from autoglm_bench.load.search import Trial, next_rate, verdict
from autoglm_bench.result import Answer, Cause

OBJECTIVES = [Objective("ttft", 99, 0.15), Objective("itl", 99, 0.25)]


def fill(rows, phases=("a",), **kind):
    records = Records(phases, **kind)
    for number, (due, sent, ttft, cause) in enumerate(rows):
        times = [] if ttft is None else [sent + ttft, sent + ttft + 0.1, sent + ttft + 0.3]
        phase = 0 if len(phases) == 1 else number % len(phases)
        answer = Answer(1000 + sent, 1000 + sent + 0.01, 1000 + sent + 1.0, [1000 + time for time in times])
        answer.cause, answer.prompt_tokens, answer.output_tokens = cause, 10, 3
        records.add(Asked(number, 0, phase, due), answer, 1000)
    return records


def test_summary_counts_failures_and_takes_latencies_of_successes_only():
    rows = [(0, 0, 0.1, None), (1, 1.2, 0.3, None), (2, 2, 9.0, Cause.CUT_OFF), (3, 3, None, Cause.REFUSED)]
    found = total(fill(rows), 20, OBJECTIVES)

    assert (found.seconds, found.requests, found.succeeded, found.late) == (20, 4, 2, 1)
    assert found.failures == {"cut_off": 1, "refused": 1}
    assert (found.prompt_tokens, found.cached_tokens, found.output_tokens) == (20, None, 6)
    assert found.distributions["ttft"].maximum == pytest.approx(0.3)
    assert found.distributions["itl"].count == 4
    assert found.distributions["lateness"].count == 4


def test_late_sending_cannot_hide_the_wait():
    found = total(fill([(0, 2.0, 0.1, None)]), 5, OBJECTIVES)

    assert found.distributions["ttft"].maximum == pytest.approx(0.1)
    assert found.distributions["ttftFromDue"].maximum == pytest.approx(2.1)
    assert found.inside == 0


def test_goodput_needs_every_limit():
    rows = [(0, 0, 0.1, None), (1, 1, 0.2, None), (2, 2, 0.1, None)]

    assert total(fill(rows), 5, OBJECTIVES).inside == 2
    assert total(fill(rows), 5, [Objective("itl", 50, 0.1)]).inside == 0
    assert total(fill(rows), 5, []).inside is None


def test_each_phase_has_its_own_figures():
    rows = [(0, 0, 0.1, None), (1, 1, 0.2, None), (2, 2, 0.3, Cause.TIMEOUT)]
    first, second = summarise(fill(rows, ("a", "b")), [Stretch("a", 0, 2), Stretch("b", 2, 2)], [])

    assert (first.name, first.requests, first.failures) == ("a", 2, {"timeout": 1})
    assert (second.requests, second.distributions["itl"].count) == (1, 2)


def test_a_run_lasts_until_its_last_answer():
    assert total(fill([(0, 9.5, 0.1, None)]), 10, []).seconds == pytest.approx(10.5)


def test_failures_are_quoted_once_and_not_without_end():
    records = Records(("a",))
    for number in range(10):
        for detail in ("same", f"other {number}"):
            records.add(Asked(0, 0, 0, 0.0), Answer(0.0, cause=Cause.STATUS, detail=detail), 0.0)

    assert records.details == {Cause.STATUS: ["same", "other 0", "other 1"]}


def test_actions_are_counted_where_they_are_expected():
    records = Records(("a",), expects_actions=True)
    for text in ('<answer>do(action="Tap", element=[1,2])</answer>', 'finish(message="done")', "I would tap."):
        records.add(Asked(0, 0, 0, 0.0), Answer(0.0, 0.0, 1.0, [0.5], text=text), 0.0)

    assert records.actions == 2


@pytest.mark.parametrize(
    ("form", "objective"),
    [("ttft_p99=2s", Objective("ttft", 99, 2.0)), ("itl_p50=60ms", Objective("itl", 50, 0.06))],
)
def test_objective_is_read(form, objective):
    assert parse(form) == objective


@pytest.mark.parametrize(
    "form", ["ttft=2s", "ttft_p99=0s", "ttft_p99=2", "tps_p99=2s", "ttft_p98=2s", "ttft_p99=1..2s"]
)
def test_impossible_objective_is_refused(form):
    with pytest.raises(ValueError, match="is no objective; expected ttft, itl or e2e"):
        parse(form)


def test_a_single_request_is_held_to_the_highest_percentile():
    assert limits([Objective("ttft", 50, 1.0), Objective("ttft", 99, 3.0)]) == {"ttft": 3.0}


def test_objective_is_held_only_if_requests_succeed():
    good = total(fill([(0, 0, 0.1, None)] * 200), 5, OBJECTIVES)
    some = total(fill([(0, 0, 0.1, None)] * 90 + [(0, 0, None, Cause.TIMEOUT)] * 10), 5, OBJECTIVES)
    none = total(fill([(0, 0, None, Cause.REFUSED)]), 5, OBJECTIVES)

    assert held(good, OBJECTIVES) == (True, "ttft_p99 is 100 ms, limit 150 ms; itl_p99 is 200 ms, limit 250 ms")
    assert held(some, OBJECTIVES) == (False, "10 of 100 requests failed (10 timeout)")
    assert not held(none, OBJECTIVES)[0]
    assert not check(none, OBJECTIVES)[0].held
    assert held(total(fill([]), 5, []), []) == (False, "no request was sent")


def test_many_late_requests_tell_of_the_generator():
    assert too_late(total(fill([(0, 1, 0.1, None)] * 2 + [(0, 0, 0.1, None)] * 98), 5, []))
    assert not too_late(total(fill([(0, 1, 0.1, None)] + [(0, 0, 0.1, None)] * 99), 5, []))


def test_littles_law_agrees_with_itself():
    found = littles_law(under_way_seconds=40.0, elapsed=10.0, latencies=[2.0] * 20)

    assert (found.concurrency, found.expected, found.measured, found.difference) == (4, 2, 2, 0)
    assert littles_law(0.0, 10.0, []) is None


def test_variation_and_consistency():
    assert variation([0.1] * 5) == 0
    assert variation([0.1] * 4) is None
    assert variation([1.0, 3.0, 1.0, 3.0, 2.0]) == pytest.approx(math.sqrt(0.8) / 2)
    assert consistency({"ttft": [0.03] * 200}) == 1
    assert consistency({"ttft": [0.03] * 100 + [3.0] * 100}) == 0
    assert consistency({"ttft": [0.03] * 200, "itl": [0.03] * 100 + [3.0] * 100}) == 0.5
    assert consistency({"ttft": [0.03] * 99}) is None


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1).filter(
        lambda p: all(map(sum, zip(*p, strict=True)))
    )
)
def test_divergence_is_symmetric_and_bounded(pairs):
    early, late = zip(*pairs, strict=True)

    assert 0 <= divergence(early, late) <= 1
    assert divergence(early, late) == pytest.approx(divergence(late, early))
    assert divergence(early, early) == 0


SEARCH = Search(lowest=10, highest=200, seconds=5)


def search(holds_up_to):
    trials = []
    while (rate := next_rate(SEARCH, trials)) is not None:
        trials.append(Trial(rate, rate <= holds_up_to, "TTFT is 3 s"))
        assert len(trials) < 20
    return trials


@given(st.floats(10, 190))
def test_search_finds_the_limit(limit):
    trials = search(limit)
    good = max(trial.rate for trial in trials if trial.held)

    assert good <= limit <= good * 1.05 * 1.0001


def test_search_ends_at_its_edges():
    assert [trial.rate for trial in search(5)] == [10]
    assert "not held even at the lowest rate of 10 requests/s: TTFT is 3 s" in verdict(SEARCH, search(5))
    assert search(500)[-1].rate == 200
    assert "the limit was not found" in verdict(SEARCH, search(500))
    assert verdict(SEARCH, [Trial(10, True, "well"), Trial(20, False, "slow")]) == (
        "the objective is held up to 10 requests/s; at 20 it is not: slow"
    )


def test_score_weighs_what_is_known_and_says_what_is_not():
    parts = {
        "semantic": score.exact_match(
            {"a": "<think>hm</think><answer> Four </answer>", "b": "5"}, {"a": "four", "b": "6"}
        ),
        "execution": score.execution(10, 8, None),
        "latency": score.latency(10, None),
        "context": score.context(50, 100),
    }
    found = score.score(parts)

    assert {name: part.value for name, part in parts.items()} == {
        "semantic": 0.5,
        "execution": 0.8,
        "latency": None,
        "context": 0.5,
    }
    assert found.value == pytest.approx((40 * 0.5 + 35 * 0.8 + 10 * 0.5) / 85 * 100)
    assert found.weights["latency"] == 0
    assert sum(found.weights.values()) == pytest.approx(100)
    assert parts["latency"].method == "no objective was given"
    assert score.score({name: score.Part(None, "x") for name in parts}).value is None


def test_answer_that_failed_is_wrong_and_one_not_graded_is_left_out():
    assert score.exact_match({}, {"a": "x"}).value == 0
    assert score.judged({"a": 1.0, "b": None, "c": 0.0}, 3, "judge").value == 0.5
    assert score.judged({"a": None}, 1, "judge").value is None


VLLM = """# TYPE vllm:e2e_request_latency_seconds histogram
vllm:e2e_request_latency_seconds_bucket{le="1.0",model_name="m"} 1.0
vllm:e2e_request_latency_seconds_sum{engine="0"} %s
vllm:e2e_request_latency_seconds_count{engine="0"} %s
vllm:request_queue_time_seconds_sum{engine="0"} %s
vllm:request_queue_time_seconds_count{engine="0"} %s
vllm:request_prefill_time_seconds_sum %s
vllm:request_prefill_time_seconds_count %s
vllm:request_decode_time_seconds_sum %s
vllm:request_decode_time_seconds_count %s
vllm:prefix_cache_hits_total 7
"""
BEFORE = sums(VLLM % (10, 5, 1, 5, 2, 5, 7, 5), split.NAMES)
AFTER = sums(VLLM % (30, 15, 6, 15, 7, 15, 17, 15), split.NAMES)


def test_split_is_what_the_engine_counted_and_the_rest_is_network():
    found = split.split(BEFORE, AFTER, 2.25, 10)

    assert found.seconds == pytest.approx({"network": 0.25, "queue": 0.5, "prefill": 0.5, "decode": 1.0})
    assert (found.requests, found.note, found.cached_tokens) == (10, "", 0)


@pytest.mark.parametrize(
    ("before", "after", "latency", "requests", "note"),
    [
        (BEFORE, AFTER, 2.0, 12, "of which 12 were this run's: other pods answered the rest"),
        (BEFORE, AFTER, 2.0, 4, "others asked too"),
        (AFTER, BEFORE, 2.0, 10, "it was restarted in between"),
        (BEFORE, BEFORE, 2.0, 10, "counted no request"),
        ({}, {"other": 1.0}, 2.0, 10, "no latency histogram"),
    ],
)
def test_split_says_why_it_may_mislead(before, after, latency, requests, note):
    assert note in split.split(before, after, latency, requests).note


def test_sums_leave_out_what_is_no_number():
    assert sums('a{x="1"} 1\na{x="2"} 2 1700000000\na NaN\na broken\nb 5\n', {"a": ""}) == {"a": 3.0}
    assert sums('a{x="1"} 1\na{x="2"} 2\n', {"a": 'x="2"'}) == {"a": 2.0}


def test_gpu_use_from_the_energy_counter():
    first = '{"memoryUsedBytes": %d, "powerWatts": 100.5, "energyJoules": %d}'
    state = '{"gpus": [' + first + ', {"memoryUsedBytes": 1, "powerWatts": 99.5, "energyJoules": 5}]}'
    found = gpu.use([gpu.sample(state % (10, 100), 0.0), gpu.sample(state % (5, 700), 2.0)], 300)

    assert (found.gpus, found.memory_peak, found.power_mean) == (2, 11, 200)
    assert (found.energy, found.joules_per_token, found.method) == (600, 2, "energy counter of the GPUs")


def test_gpu_use_from_power_where_there_is_no_counter():
    text = 'autoglm_gpu_memory_used_bytes{gpu="0"} 5\nautoglm_gpu_power_watts{gpu="0"} %d\n'
    found = gpu.use([gpu.sample(text % 100, 0.0), gpu.sample(text % 300, 2.0)], 0)

    assert (found.gpus, found.energy, found.joules_per_token) == (1, 400, None)
    assert "summed over time" in found.method


def test_gpus_of_several_agents_add_up():
    one, other = gpu.GpuSample(1.0, 1, 5.0, 100.0, None), gpu.GpuSample(1.0, 2, 7.0, 50.0, 3.0)

    assert gpu.together([one, other]) == gpu.GpuSample(1.0, 3, 12.0, 150.0, None)


@pytest.mark.parametrize("text", ["{}", '{"gpus": []}', '{"gpus": [1]}', "up 1\n", "{nonsense"])
def test_agent_without_a_gpu_is_said(text):
    with pytest.raises(ValueError, match=r"tells of no GPU|Expecting"):
        gpu.sample(text, 0.0)

"""Events inside an objective, from what engines count."""

from dataclasses import replace

import pytest

from autoglm_operator.autoscaler.engine_metrics import parse
from autoglm_operator.autoscaler.slo import events, within
from autoglm_operator.decide.bottleneck import Setup
from autoglm_operator.decide.scaling.quantiles import Increase

SETUP = Setup(max_replicas=4, ttft=1.0, itl=0.5)


@pytest.mark.parametrize(
    ("limit", "good"),
    [
        (1.0, 60.0),  # a bound: exact
        (0.5, 40.0),
        (0.75, 50.0),  # half of the way between two bounds
        (0.05, 5.0),  # from 0 to the first bound
        (5.0, 90.0),
        (60.0, 90.0),  # beyond the last bound nothing is known, so nothing is good
    ],
)
def test_what_is_inside_an_objective(limit, good):
    observed = Increase((0.1, 0.5, 1.0, 5.0), (10.0, 40.0, 60.0, 90.0, 100.0))
    assert within(observed, limit) == pytest.approx(good)


def test_latencies_are_judged_by_request_and_by_token(sample):
    old = sample(0.0, ttft=(1, 1), itl=(10,))
    new = sample(3.0, ttft=(1, 3, 1, 4), itl=(10, 10, 0, 5))
    found = events(old, new, SETUP)
    # Bounds are 0.1, 0.5, 1, 2.5 and 5 s.
    assert (found.judged["ttft"], found.good["ttft"]) == (7, 3)
    assert (found.judged["itl"], found.good["itl"]) == (15, 10)


def test_without_an_objective_no_latency_is_judged(sample):
    found = events(None, sample(3.0, ttft=(5,), itl=(5,)), Setup())
    assert set(found.judged) == {"availability"}


def test_the_first_sample_of_a_new_engine_counts_as_a_whole(sample):
    found = events(None, replace(sample(3.0, ttft=(5, 0, 0, 2)), ended=6.0, failed=1.0, prompt_tokens=90.0), SETUP)
    assert (found.judged["ttft"], found.good["ttft"]) == (7, 5)
    assert (found.judged["availability"], found.good["availability"]) == (6, 5)
    assert found.tokens["input"] == 90


def test_an_engine_that_began_anew_counts_from_zero_everywhere(sample):
    old = replace(sample(0.0, ttft=(100,)), ended=100.0, generation_tokens=500.0, prompt_tokens=10.0)
    # More prompt tokens than before: only the others show that it is another start.
    new = replace(sample(3.0, ttft=(2,)), ended=2.0, generation_tokens=20.0, prompt_tokens=30.0)
    found = events(old, new, SETUP)
    assert found.judged == {"ttft": 2, "itl": 0, "availability": 2}
    assert found.tokens == {"input": 30, "cached": 0, "output": 20}


@pytest.mark.parametrize(
    ("text", "ended", "failed"),
    [
        ('vllm:request_success_total{finished_reason="stop"} 7\n', 7, 0),
        ('vllm:request_success_total{engine="0",finished_reason="error"} 7\n', 7, 7),
        # A client that hangs up says nothing of the server.
        ('vllm:request_success_total{finished_reason="abort"} 7\n', 0, 0),
        ('vllm:admission_rejections_total{reason="max_num_queued_reqs"} 2\n', 2, 2),
        ("sglang:num_requests_total 7\n", 7, 0),
        ('sglang:http_responses_total{endpoint="/v1/chat/completions",status_code="503",method="POST"} 2\n', 2, 2),
        ('sglang:http_responses_total{endpoint="/v1/chat/completions",status_code="200",method="POST"} 2\n', 0, 0),
        ('sglang:http_responses_total{endpoint="/ready",status_code="503",method="GET"} 2\n', 0, 0),
    ],
)
def test_who_answers_for_a_request_that_ended(text, ended, failed):
    engine = "vllm" if text.startswith("vllm") else "sglang"
    least = {
        "vllm": "vllm:num_requests_running 0\nvllm:num_requests_waiting 0\nvllm:kv_cache_usage_perc 0\n",
        "sglang": "sglang:num_running_reqs 0\nsglang:num_queue_reqs 0\nsglang:token_usage 0\n",
    }
    found = parse((least[engine] + text).encode(), 0.0)
    assert (found.ended, found.failed) == (ended, failed)

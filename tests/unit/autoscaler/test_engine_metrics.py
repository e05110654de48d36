import pytest

from autoglm_operator.autoscaler.engine_metrics import NAMES, ScrapeError, parse

VLLM = """\
# HELP vllm:num_requests_running Requests.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="a}b, le=\\"9\\" "} 3.0
vllm:num_requests_running{engine="1",model_name="m"} 2
vllm:num_requests_waiting{engine="0",model_name="m"} 7.0
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 5.0
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.75
vllm:prompt_tokens_total{engine="0"} 1.5e+06
vllm:generation_tokens_total 12.0
vllm:num_preemptions_total{engine="0"} 4.0
vllm:time_to_first_token_seconds_bucket{engine="0",handle="x",le="0.1"} 1.0
vllm:time_to_first_token_seconds_bucket{le="1.0",engine="0"} 4.0
vllm:time_to_first_token_seconds_bucket{engine="0",le="+Inf"} 5.0
vllm:time_to_first_token_seconds_bucket{engine="1",le="0.1"} 1.0
vllm:time_to_first_token_seconds_bucket{engine="1",le="1.0"} 1.0
vllm:time_to_first_token_seconds_bucket{engine="1",le="+Inf"} 1.0
vllm:time_to_first_token_seconds_sum{engine="0"} 9.0
"""
SGLANG = """\
sglang:num_running_reqs{model_name="m",tp_rank="0"} 3.0
sglang:num_queue_reqs{model_name="m",tp_rank="0"} 1.0
sglang:token_usage{model_name="m",tp_rank="0"} 0.5
sglang:num_retracted_requests_total{model_name="m"} 2.0
sglang:inter_token_latency_seconds_bucket{le="0.002",model_name="m"} 1.0
sglang:inter_token_latency_seconds_bucket{le="+Inf",model_name="m"} 2.0
"""
LEAST = "vllm:num_requests_running 1\nvllm:num_requests_waiting 2\nvllm:kv_cache_usage_perc 0.5\n"


def read(text):
    return parse(text.encode(), 7.0)


def test_vllm_ranks_are_added_up():
    found = read(VLLM)
    assert (found.taken, found.running, found.waiting, found.kv_cache) == (7.0, 5.0, 7.0, 0.5)
    assert (found.prompt_tokens, found.generation_tokens, found.preemptions) == (1.5e6, 12.0, 4.0)
    assert (found.ttft.bounds, list(found.ttft.counts)) == ((0.1, 1.0), [2.0, 5.0, 6.0])
    assert found.itl is None
    assert found.in_flight == 12


def test_sglang_says_the_same_in_its_own_names():
    found = read(SGLANG)
    assert (found.running, found.waiting, found.kv_cache, found.preemptions) == (3.0, 1.0, 0.5, 2.0)
    assert found.ttft is None
    assert list(found.itl.counts) == [1.0, 2.0]


#: What SGLang has no series for, and what it counts in another way.
OF_VLLM_ALONE = {"queue_seconds", "batch_seconds", "answer_seconds", "rejected"}
OF_SGLANG_ALONE = {"responses"}


def test_both_engines_have_a_name_for_everything():
    vllm, sglang = ({kind for name, kind in NAMES.items() if name.startswith(each)} for each in ("vllm:", "sglang:"))
    assert vllm - sglang == OF_VLLM_ALONE
    assert sglang - vllm == OF_SGLANG_ALONE


def test_bounds_are_shared_between_samples():
    assert read(VLLM).ttft.bounds is read(VLLM).ttft.bounds


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "incomplete"),
        ("<html>it works</html>", "incomplete"),
        (LEAST.replace("vllm:num_requests_waiting 2\n", ""), "incomplete"),
        (LEAST.replace("waiting 2", "waiting NaN"), "invalid"),
        (LEAST.replace("waiting 2", "waiting -1"), "invalid"),
        (LEAST.replace("waiting 2", "waiting +Inf"), "invalid"),
        (LEAST.replace("0.5", "1.5"), "invalid"),
        (LEAST.replace("waiting 2", "waiting two"), "malformed"),
        (LEAST.replace("waiting 2", "waiting 2 1700000000000"), "malformed"),
        (LEAST + 'vllm:time_to_first_token_seconds_bucket{le="1.0"} 5\n', "malformed"),
        (LEAST + 'vllm:time_to_first_token_seconds_bucket{le="x"} 5\n', "malformed"),
        (LEAST + 'vllm:time_to_first_token_seconds_bucket{le="NaN"} 5\n', "malformed"),
        (LEAST + 'vllm:time_to_first_token_seconds_bucket{a="b"} 5\n', "malformed"),
        (
            LEAST
            + 'vllm:time_to_first_token_seconds_bucket{le="1.0"} 5\n'
            + 'vllm:time_to_first_token_seconds_bucket{le="+Inf"} 4\n',
            "malformed",
        ),
    ],
)
def test_what_cannot_be_is_no_sample(text, reason):
    with pytest.raises(ScrapeError) as raised:
        read(text)
    assert raised.value.reason == reason


def test_the_message_names_what_is_missing():
    with pytest.raises(ScrapeError, match="vllm:num_requests_waiting or sglang:num_queue_reqs"):
        read(LEAST.replace("vllm:num_requests_waiting 2\n", ""))

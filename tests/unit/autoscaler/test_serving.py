"""What engines say of themselves."""

from array import array
from dataclasses import replace

import pytest

from autoglm_operator.api.status import AdapterStatus, PodFault, Serving
from autoglm_operator.autoscaler.agent_state import AgentSample, Fault
from autoglm_operator.autoscaler.engine_metrics import EngineSample, parse
from autoglm_operator.autoscaler.pods import EnginePod
from autoglm_operator.autoscaler.serving import serving
from autoglm_operator.autoscaler.store import History
from autoglm_operator.decide.scaling.quantiles import Histogram

SAMPLE = EngineSample(1.0, 0.0, 0.0, 0.0, None, None)


def histogram(bounds, counts):
    return Histogram(bounds, array("d", counts))


def history(models=(), faults=(), requested=None, ready=True, **fields):
    made = History(gpu=AgentSample(1.0, (), frozenset(models), tuple(faults), requested))
    made.add(replace(SAMPLE, **fields))
    return EnginePod("prod", "phone-0", "u", "phone", "10.0.0.1", ready, unschedulable=False), made


SILENT = EnginePod("prod", "phone-1", "v", "phone", "10.0.0.2", ready=True, unschedulable=False), History()


#: 980 answers of up to 100 tokens, 20 of up to 500
ANSWERS = histogram((100.0, 500.0), (980, 1000, 1000))


def test_the_smallest_cache_counts():
    assert serving([history(kv_tokens=900), history(kv_tokens=1000)], (), None).kv_cache_tokens == 900


def test_lengths_and_pace_are_those_since_the_start():
    found = serving([history(answer_tokens=ANSWERS, itl=histogram((0.05, 0.1), (0, 1000, 1000)))], (), None)
    assert found.output_tokens_p99 == 300
    assert found.itl_p99_seconds == pytest.approx(0.1)


def test_few_answers_tell_nothing():
    few = histogram((100.0,), (99, 99))
    assert serving([history(answer_tokens=few)], (), None).output_tokens_p99 is None


@pytest.mark.parametrize(("before", "after"), [(310, 310), (290, 290), (200, 300), (None, 300)])
def test_what_hardly_moves_stays_as_it_was_written(before, after):
    found = serving([history(answer_tokens=ANSWERS)], (), Serving(output_tokens_p99=before))
    assert found.output_tokens_p99 == after


def test_an_adapter_is_served_where_the_engine_lists_it():
    pods = [history(models={"phone", "sql"}), history(models={"phone"}), SILENT]
    assert serving(pods, ("sql", "chat"), None).adapters == (
        AdapterStatus(name="sql", ready_replicas=1),
        AdapterStatus(name="chat", ready_replicas=0),
    )


@pytest.mark.parametrize("before", [None, Serving(kv_cache_tokens=5)])
def test_silence_is_no_news(before):
    assert serving([SILENT], ("sql",), before) == before


def test_faults_come_with_their_pod_the_worst_first():
    warned, lost = Fault("power-brake", "warning", "none", "w"), Fault("xid-79", "critical", "drain", "off the bus")
    found = serving([history(faults=[warned, lost], ready=False)], (), None)
    assert [(fault.pod, fault.code) for fault in found.faults] == [("phone-0", "xid-79"), ("phone-0", "power-brake")]


def test_faults_that_ended_are_gone_and_other_figures_stay():
    before = Serving(kv_cache_tokens=5, faults=(PodFault(pod="p", code="c", severity="s", action="a", message="m"),))
    assert serving([SILENT], (), before) == Serving(kv_cache_tokens=5)


def test_the_least_batch_that_is_asked_for():
    assert serving([history(requested=32), history(requested=16), history()], (), None).requested_max_num_seqs == 16


VLLM = "vllm:num_requests_running 0\nvllm:num_requests_waiting 0\nvllm:kv_cache_usage_perc 0\n"
SGLANG = "sglang:num_running_reqs 0\nsglang:num_queue_reqs 0\nsglang:token_usage 0\n"


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        (VLLM, None),
        (VLLM + 'vllm:cache_config_info{block_size="16",num_gpu_blocks="100",engine="0"} 1\n', 1600),
        (
            VLLM
            + 'vllm:cache_config_info{block_size="16",num_gpu_blocks="100",engine="0"} 1\n'
            + 'vllm:cache_config_info{block_size="16",num_gpu_blocks="50",engine="1"} 1\n',
            2400,
        ),
        (VLLM + 'vllm:cache_config_info{block_size="16",num_gpu_blocks="None"} 1\n', None),
        (VLLM + 'vllm:cache_config_info{num_gpu_blocks_override="7",cpu_block_size="3"} 1\n', None),
        (
            SGLANG + 'sglang:max_total_num_tokens{tp_rank="0"} 5000\nsglang:max_total_num_tokens{tp_rank="1"} 4000\n',
            4000,
        ),
        (
            SGLANG + 'sglang:max_total_num_tokens{dp_rank="0"} 5000\nsglang:max_total_num_tokens{dp_rank="1"} 4000\n',
            9000,
        ),
    ],
)
def test_the_size_of_the_cache(text, tokens):
    assert parse(text.encode(), 1.0).kv_tokens == tokens

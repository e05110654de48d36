from dataclasses import replace

import pytest

from autoglm_operator.api.signals import (
    GPU_MEMORY_UTILIZATION,
    ITL_P99,
    KV_CACHE_UTILIZATION,
    QUEUE_DEPTH,
    RUNNING_REQUESTS,
    TTFT_P99,
)
from autoglm_operator.autoscaler.agent_state import AgentSample
from autoglm_operator.autoscaler.snapshot import take

NOW = 100.0


def look(*rows, now=NOW, **options):
    return take(rows, now, 3.0, **options)


def test_pods_are_added_up_and_averaged(pod, history, sample):
    found = look(
        (pod("a"), history(sample(98, running=3, waiting=4, kv=0.2))),
        (pod("b"), history(sample(99, running=5, waiting=1, kv=0.6))),
    )
    assert found.taken == 98
    assert found.values[QUEUE_DEPTH.name] == 5
    assert found.values[RUNNING_REQUESTS.name] == 8
    assert found.values[KV_CACHE_UTILIZATION.name] == pytest.approx(0.4)
    assert (found.signals.ready, found.signals.waiting, found.signals.running) == (2, 5, 8)


def test_p99_is_of_all_pods_together(pod, history, sample):
    found = look(
        (pod("a"), history(sample(90, running=1), sample(99, running=1, ttft=(99,)))),
        (pod("b"), history(sample(90), sample(99, ttft=(0, 0, 0, 1)))),
    )
    assert found.values[TTFT_P99.name] == pytest.approx(0.1)
    slow = look((pod("b"), history(sample(90), sample(99, running=1, ttft=(0, 0, 0, 1)))))
    assert slow.values[TTFT_P99.name] == pytest.approx(1.0 + 1.5 * 0.99)


def test_idle_has_a_p99_of_zero_and_a_stuck_engine_has_none(pod, history, sample):
    idle = look((pod(), history(sample(90), sample(99))))
    assert idle.values[TTFT_P99.name] == idle.values[ITL_P99.name] == 0.0
    stuck = look((pod(), history(sample(90, running=2), sample(99, running=2))))
    assert TTFT_P99.name not in stuck.values
    assert "2 requests in flight" in stuck.problems[TTFT_P99.name]


def test_latency_is_judged_from_when_the_last_pod_became_ready(pod, history, sample):
    slow = [sample(50), sample(60, ttft=(0, 0, 0, 50)), sample(80, ttft=(0, 0, 0, 50)), sample(99, ttft=(30, 0, 0, 50))]
    alone = look((pod("a"), history(*slow))).signals
    assert (alone.ttft.observations, alone.ttft.p99 > 1) == (80, True)
    joined = look((pod("a"), history(*slow)), (pod("b"), history(sample(99), ready_since=70.0))).signals
    assert (joined.ttft.observations, joined.ttft.p99 < 0.2) == (30, True)


@pytest.mark.parametrize("taken", [90.9, 100.1], ids=["older than three ticks", "from the future"])
def test_a_pod_without_a_fresh_sample_is_silent_and_no_sum_is_told(pod, history, sample, taken):
    found = look((pod("a"), history(sample(99))), (pod("b"), history(sample(taken))))
    assert (found.signals.ready, found.signals.silent) == (1, 1)
    assert found.values == {}
    assert found.problems[QUEUE_DEPTH.name].startswith("1 of 2 ready pods without fresh metrics; b answered")


def test_the_last_error_is_told(pod, history):
    silent = history()
    silent.error = "http://10.0.0.1:8000/metrics did not answer within 2 s"
    found = look((pod("a"), silent))
    assert "a answered never, last error: http://10.0.0.1:8000/metrics did not" in found.problems[QUEUE_DEPTH.name]


def test_a_pod_that_just_became_ready_is_starting_not_silent(pod, history, sample):
    found = look((pod("a"), history(sample(99))), (pod("b"), history(ready_since=99.5)))
    assert (found.signals.silent, found.signals.starting) == (0, 1)
    assert QUEUE_DEPTH.name in found.values


def test_other_pods_are_counted_by_why_they_do_not_answer(pod, history):
    rows = [(pod("a", ready=False), history()), (pod("b", ready=False, unschedulable=True), history())]
    found = look(*rows)
    assert (found.signals.ready, found.signals.starting, found.signals.unschedulable) == (0, 1, 1)
    assert found.problems[QUEUE_DEPTH.name] == "no replica is ready (1 starting, 1 without a node)"


def test_the_peak_is_of_the_last_half_minute(pod, history, sample):
    found = look((pod(), history(sample(60, running=50), sample(75, running=9, waiting=1), sample(99, running=2))))
    assert found.signals.peak == 10


def test_rates(pod, history, sample):
    samples = [
        sample(90, waiting=5),
        sample(93, waiting=9, ttft=(30,)),
        sample(96, waiting=9, ttft=(36,)),
        sample(99, ttft=(99,)),
    ]
    found = look((pod(), history(*samples))).signals
    assert found.rate == pytest.approx(11.0)
    assert found.saturated_rate == pytest.approx(10.0)
    assert look((pod(), history(sample(99))), saturated_rate=4.0).signals.saturated_rate == 4.0


def test_a_request_that_happens_to_wait_twice_is_no_queue(pod, history, sample):
    for waiting, expected in ((1.0, None), (3.0, None), (4.0, pytest.approx(1 / 3))):
        samples = (sample(96, waiting=waiting, ttft=(0,)), sample(99, waiting=waiting, ttft=(1,)))
        assert look((pod(), history(*samples))).signals.saturated_rate == expected


def test_evidence_begins_with_the_youngest_pod(pod, history, sample):
    old = (pod("a"), history(sample(50), sample(99)))
    assert look(old).signals.evidence == 50
    assert look(old, (pod("b"), history(sample(91), sample(99)))).signals.evidence == 9
    assert look((pod("a"), history(sample(50), sample(99), ready_since=80.0))).signals.evidence == 20


def test_gpu_memory_is_the_mean_over_gpus_of_fresh_figures(pod, history, sample):
    with_gpu = history(sample(99))
    with_gpu.gpu = AgentSample(98.0, (0.5, 0.7))
    assert look((pod(), with_gpu)).values[GPU_MEMORY_UTILIZATION.name] == pytest.approx(0.6)
    for taken in (69.0, 101.0):
        with_gpu.gpu = replace(with_gpu.gpu, taken=taken)
        assert "younger than 30 s" in look((pod(), with_gpu)).problems[GPU_MEMORY_UTILIZATION.name]


def test_the_window_forgets_and_idle_histograms_are_shared(history, sample):
    found = history(*(sample(taken, ttft=(5,)) for taken in range(0, 200, 3)))
    assert found.samples[0].taken == 138
    assert found.samples[0].ttft is found.samples[-1].ttft

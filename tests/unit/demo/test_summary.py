"""The figures of the demo, from samples and a report."""

from autoglm_demo.observe import Sample, parse_quantity
from autoglm_demo.settings import Load
from autoglm_demo.summary import scale_up_seconds, summarise


def sample(time: float, wanted: int = 1, ready: int = 1) -> Sample:
    return Sample(time, wanted, wanted, ready, True, None, None, None, None, None, None, None, "")


REPORT = {
    "requests": 12,
    "failed": 1,
    "phases": [
        {"name": "before", "ttft": {"p99": 0.1234}},
        {"name": "during", "ttft": {"p99": 2.5}},
        {"name": "after", "ttft": None},
    ],
}


def test_scale_up_is_counted_from_the_spike():
    samples = [sample(0), sample(10), sample(13.456, wanted=3), sample(20, wanted=4)]
    assert scale_up_seconds(samples, spike_start=10) == 3.46


def test_an_order_before_the_spike_is_not_the_answer_to_it():
    samples = [sample(0), sample(5, wanted=2), sample(12, wanted=2), sample(15, wanted=3)]
    assert scale_up_seconds(samples, spike_start=10) == 5


def test_no_scale_up_is_no_number():
    assert scale_up_seconds([sample(0), sample(20)], spike_start=10) is None


def test_summary():
    samples = [sample(0), sample(12, wanted=3, ready=1), sample(20, wanted=3, ready=3), sample(40)]
    assert summarise(8.123, samples, REPORT, spike_start=10) == {
        "ready_seconds": 8.12,
        "scale_up_seconds": 2,
        "replicas_max": 3,
        "replicas_end": 1,
        "requests": 12,
        "failed_requests": 1,
        "ttft_p99_before": 0.123,
        "ttft_p99_during": 2.5,
        "ttft_p99_after": None,
    }


def test_quantities():
    assert [parse_quantity(text) for text in ("2", "1500m", "0")] == [2, 1.5, 0]


def test_phases_of_the_load():
    load = Load(spike_start=10, spike_duration=5, quiet_duration=20)
    assert [load.phase_at(t) for t in (0, 9.9, 10, 14.9, 15)] == ["steady", "steady", "spike", "spike", "quiet"]
    assert load.duration == 35

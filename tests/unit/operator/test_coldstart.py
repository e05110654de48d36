"""The timeline of a start, from the pod's times and the engine's log, and what is learned from several."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoglm_operator.decide.start.coldstart import RECENT, STAGES, Timeline, learn, observed_until, quantile, timeline
from autoglm_operator.observe.pod import Container, Pod
from autoglm_operator.observe.start_log import Start, read_start

FOLDER = Path(__file__).parent / "start_logs"
T0 = datetime(2026, 6, 2, 11, 0, 0, tzinfo=UTC).timestamp()


def start_of(name):
    return read_start((FOLDER / f"{name}.txt").read_text())


def pod(*, created=0.0, scheduled=2.0, began=40.0, ready=190.0, restarts=0, **facts):
    engine = Container("engine", ready=True, restarts=restarts, running_since=T0 + began)
    times = {"created": T0 + created, "scheduled": T0 + scheduled, "ready_since": T0 + ready}
    return Pod("p", "abc", True, False, containers=(engine,), **(times | facts))


def test_figures_of_a_vllm_start():
    start = start_of("vllm_gpu")
    assert start == Start(
        download_seconds=12.5,
        load_begin=T0 + 71,
        load_end=T0 + 92,
        compiled=T0 + 177.5,
        serves=T0 + 180,
        weights_gib=9.58,
        kv_cache_gib=57.9,
        kv_cache_tokens=1_131_008,
        graphs_gib=0.45,
    )


def test_figures_of_an_sglang_start():
    start = start_of("sglang")
    assert (start.load_begin, start.load_end) == (T0 + 60, T0 + 78.61)
    assert (start.compiled, start.serves) == (T0 + 95, T0 + 101)
    assert (start.weights_gib, start.kv_cache_tokens) == (19.51, 1_044_480)


def test_figures_of_a_real_vllm_on_a_cpu():
    start = start_of("vllm_cpu")
    assert start.load_end - start.load_begin == pytest.approx(0.01, abs=0.001)
    assert start.compiled - start.load_end == pytest.approx(2.61, abs=0.01)
    assert start.serves - start.compiled == pytest.approx(4.485, abs=0.01)
    assert start.kv_cache_tokens == 65_536


def test_a_log_that_says_nothing():
    assert read_start("") == Start()
    assert read_start("2026-13-02T11:00:00Z Loading weights took 3.00 seconds") == Start()
    assert read_start("2026-06-02T11:00:00Z Loading weights took 3..0 seconds").load_begin is None
    assert read_start("2026-06-02T11:00:00Z\nLoading weights took 3.00 seconds\nno time\n") == Start()


@given(st.text(max_size=300), st.integers(0, 1200))
def test_a_log_cut_anywhere_or_no_log_at_all_can_be_read(noise, cut):
    read_start(noise)
    read_start((FOLDER / "vllm_gpu.txt").read_text()[cut:])


def test_stages_add_up_to_the_total():
    found = timeline(pod(), start_of("vllm_gpu"))
    assert found.stages == {
        "schedule": 2.0,
        "pull": 38.0,
        "init": 18.5,
        "download": 12.5,
        "load": 21.0,
        "compile": 85.5,
        "ready": 12.5,
    }
    assert list(found.stages) == [name for name in STAGES if name in found.stages]
    assert sum(found.stages.values()) == found.total == 190.0


def test_without_a_log_the_start_of_the_engine_is_one_stage():
    found = timeline(pod(), None)
    assert found.stages == {"schedule": 2.0, "pull": 38.0, "start": 150.0}
    assert sum(found.stages.values()) == found.total


def test_a_pod_that_waited_for_the_weights():
    found = timeline(pod(), None, fetch=(T0 - 60, T0 + 32))
    assert (found.stages["download"], found.stages["pull"]) == (30.0, 8.0)
    assert sum(found.stages.values()) == found.total


def test_weights_that_were_there_before_the_pod():
    assert timeline(pod(), None, fetch=(T0 - 600, T0 - 60)) == timeline(pod(), None)


def test_clocks_that_differ_make_no_negative_stage():
    found = timeline(pod(scheduled=-1.0, began=90.0), start_of("vllm_gpu"))
    assert min(found.stages.values()) == 0.0


@pytest.mark.parametrize(
    "facts",
    [
        {"ready_since": None},
        {"scheduled": None},
        {"created": None},
        {"restarts": 1},
        {"containers": ()},
        # The log says that it served at 180 s: it has been ready before.
        {"ready": 301.0},
    ],
)
def test_what_is_no_first_start_is_not_counted(facts):
    made = pod(**{key: value for key, value in facts.items() if key in ("restarts", "ready")})
    rest = {key: value for key, value in facts.items() if key not in ("restarts", "ready")}
    assert timeline(replace(made, **rest), start_of("vllm_gpu")) is None


def test_a_pod_that_is_not_ready():
    assert timeline(Pod("p", "abc", ready=False, terminating=False), None) is None


def took(total, ready_at, template="abc", **stages):
    return Timeline(template, T0 + ready_at, total, stages)


def test_learned():
    learned = learn(None, [took(190.4, 0, load=20.6, compile=85.5), took(90, 60, load=10, compile=2)], "abc")
    assert learned == {
        "template": "abc",
        "observedAt": "2026-06-02T11:01:00Z",
        "samples": 2,
        "totalSeconds": 90,
        "totalP90Seconds": 190,
        "recentTotalSeconds": [190, 90],
        "stages": [
            {"name": "load", "lastSeconds": 10, "medianSeconds": 10, "p90Seconds": 21, "recentSeconds": [21, 10]},
            {"name": "compile", "lastSeconds": 2, "medianSeconds": 2, "p90Seconds": 86, "recentSeconds": [86, 2]},
        ],
    }


def test_the_same_pods_teach_nothing_twice():
    pods = [took(190, 0), took(90, 60)]
    learned = learn(None, pods, "abc")
    assert learn(learned, pods, "abc") == learned
    assert learn(learned, [], "abc") == learned
    assert observed_until(learned) == T0 + 60
    assert observed_until(None) == 0.0


def test_another_template_is_learned_anew():
    learned = learn(None, [took(190, 0)], "abc")
    assert learn(learned, [], "def") == learned, "what is known stays until something else is"
    anew = learn(learned, [took(30, 60, "def"), took(190, 70, "abc")], "def")
    assert (anew["samples"], anew["totalSeconds"], anew["template"]) == (1, 30, "def")


def test_one_slow_pod_moves_no_median():
    learned = learn(None, [took(60, at) for at in range(8)] + [took(3000, 9)], "abc")
    assert (learned["totalSeconds"], learned["totalP90Seconds"]) == (60, 3000)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=40))
def test_what_is_learned_is_bounded(totals):
    learned = None
    for place, total in enumerate(totals):
        learned = learn(learned, [took(total, place, load=total)], "abc")
    recent = [round(total) for total in totals][-RECENT:]
    assert learned["recentTotalSeconds"] == learned["stages"][0]["recentSeconds"] == recent
    assert learned["samples"] == len(totals)
    assert min(recent) <= learned["totalSeconds"] <= learned["totalP90Seconds"] <= max(recent)


def test_quantiles():
    assert [quantile([3, 1, 2], share) for share in (0.0, 0.34, 0.5, 0.9, 1.0)] == [1, 2, 2, 3, 3]

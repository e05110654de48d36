import pytest
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from autoglm_agent.device import STALE_SECONDS, GpuSample
from autoglm_agent.engine import STALE_SECONDS as ENGINE_STALE_SECONDS
from autoglm_agent.engine import EngineState, EngineStatus
from autoglm_agent.metrics import CATALOGUE, AgentCollector, registry
from autoglm_agent.sampler import Snapshot
from autoglm_agent.state import State

NOW = 5000.0


def state(now=NOW, utilization=0.4, checked=NOW - 1):
    sample = GpuSample(0, "GPU-a", "NVIDIA H100", 10, 80, utilization, NOW - 2)
    snapshot = Snapshot("nvml", {"GPU-a": sample}, {"gpu_is_lost": 3}, NOW - 2)
    return State(snapshot, EngineStatus(EngineState.ALIVE, "", 0.0, checked), now)


def scrape(of):
    text = generate_latest(registry(lambda: of)).decode()
    return {
        sample.name: (sample.labels, sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_every_metric_has_its_value_and_labels():
    gpu = {"gpu": "0", "uuid": "GPU-a", "product": "NVIDIA H100"}
    found = scrape(state())
    build = found.pop("autoglm_agent_build_info")

    assert found == {
        "autoglm_gpu_memory_used_bytes": (gpu, 10.0),
        "autoglm_gpu_memory_total_bytes": (gpu, 80.0),
        "autoglm_gpu_utilization_ratio": (gpu, 0.4),
        "autoglm_gpu_sample_age_seconds": (gpu, 2.0),
        "autoglm_engine_up": ({}, 1.0),
        "autoglm_engine_check_age_seconds": ({}, 1.0),
        "autoglm_agent_source_info": ({"source": "nvml"}, 1.0),
        "autoglm_agent_read_errors_total": ({"source": "nvml", "reason": "gpu_is_lost"}, 3.0),
    }
    assert build[1] == 1.0


def test_catalogue_is_what_is_exported():
    assert set(scrape(state())) == {metric.name for metric in CATALOGUE}


def test_openmetrics_accepts_every_name_type_and_unit():
    text = openmetrics(registry(state)).decode()

    assert text.endswith("# EOF\n")
    assert "# UNIT autoglm_gpu_memory_used_bytes bytes" in text


def test_what_the_gpu_does_not_tell_is_absent():
    assert "autoglm_gpu_utilization_ratio" not in scrape(state(utilization=None))


def test_stale_figures_are_absent_but_their_age_is_not():
    found = scrape(state(now=NOW + STALE_SECONDS))

    assert found["autoglm_gpu_sample_age_seconds"][1] == 2 + STALE_SECONDS
    assert not {"autoglm_gpu_memory_used_bytes", "autoglm_gpu_memory_total_bytes"} & set(found)


def test_engine_that_nobody_checks_is_neither_up_nor_down():
    assert "autoglm_engine_up" not in scrape(state(now=NOW + ENGINE_STALE_SECONDS))
    assert "autoglm_engine_up" not in scrape(state(checked=None))


def test_registering_does_not_collect():
    def state_of_nothing():
        pytest.fail("describe() must do without the state")

    described = list(AgentCollector(state_of_nothing).describe())
    registry(state_of_nothing)

    assert len(described) == len(CATALOGUE)


def test_label_values_are_escaped():
    sample = GpuSample(0, 'a"b\n', "c\\", 1, 2, None, NOW)
    found = scrape(State(Snapshot("nvml", {"a": sample}), EngineStatus(EngineState.STARTING, "", 0.0), NOW))

    assert found["autoglm_gpu_memory_used_bytes"][0] == {"gpu": "0", "uuid": 'a"b\n', "product": "c\\"}

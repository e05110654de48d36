import dataclasses
from array import array

import pytest
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector, CollectorRegistry

from autoglm_agent.collector import rows
from autoglm_agent.device import FIGURES, RATIOS, STALE_SECONDS, GpuSample
from autoglm_agent.engine.health import STALE_SECONDS as ENGINE_STALE_SECONDS
from autoglm_agent.engine.health import EngineState, EngineStatus
from autoglm_agent.engine.histograms import Histogram
from autoglm_agent.engine.names import EngineKind, Latency
from autoglm_agent.engine.sample import EngineSample
from autoglm_agent.engine.view import Figures
from autoglm_agent.exposition import Exposition
from autoglm_agent.faults import Fault
from autoglm_agent.metrics import CATALOGUE, GPU_FIGURES
from autoglm_agent.report import EngineReport
from autoglm_agent.sampler import Snapshot
from autoglm_agent.signals.elastic import Request
from autoglm_agent.signals.memory import MemoryFigures, MemorySignals
from autoglm_agent.signals.progress import Verdict
from autoglm_agent.signals.stability import Stability
from autoglm_agent.state import State
from autoglm_agent.xid import Action, Severity

NOW = 5000.0
GPU = {"gpu": "0", "uuid": "GPU-a", "product": "NVIDIA H100"}


def gpu(number=0, **changes):
    """A GPU that tells everything: figure n is n, ratios are 0.5."""
    told = {name: 0.5 if name in RATIOS else float(place) for place, name in enumerate(FIGURES)}
    told |= {"memory_used_bytes": 10, "memory_total_bytes": 80, "clock_events": 0x60}
    told |= {"row_remap_pending": True, "row_remap_failed": False} | changes
    uuid = "GPU-a" if not number else f"GPU-{number}"
    return GpuSample(index=number, uuid=uuid, name="NVIDIA H100", taken=NOW - 2, **told)


def engine_figures():
    sample = EngineSample(
        taken=NOW - 1,
        kind=EngineKind.VLLM,
        running=4.0,
        waiting=2.0,
        kv_cache=0.25,
        kv_tokens=1000.0,
        weights_bytes=5.0,
        histograms={Latency.TTFT: Histogram((1.0,), array("d", [1.0, 2.0]))},
    )
    quantiles = dict.fromkeys(Latency, (0.1, 0.2, 0.3))
    return Figures(sample, quantiles, 100.0, 200.0, 0.5, 0.75, 0.03, Stability(0.1, 0.95))


def state(now=NOW, checked=NOW - 1, gpus=1, **changes):
    samples = {each.uuid: each for each in (gpu(number, **changes) for number in range(gpus))}
    fault = Fault("GPU-a", Severity.CRITICAL, "xid-79", Action.DRAIN, "fallen off the bus", NOW - 9)
    report = EngineReport(
        figures=engine_figures(),
        models=("m",),
        errors={"timeout": 2},
        verdict=Verdict(hung=True, reason="hangs", silent=40.0, limit=30.0),
        hangs=1,
        fired={"kv_pressure": NOW - 5},
        kv_exhausted_in=25.0,
        pace_deviation=0.3,
        memory_deviation=0.0,
        elastic=Request(48, "pressure: kv_pressure", NOW - 4),
    )
    return State(
        Snapshot(
            "nvml", samples, {"gpu_is_lost": 3}, NOW - 2, faults=(fault,), xids={("GPU-a", 79): 1}, read_seconds=0.01
        ),
        EngineStatus(EngineState.ALIVE, "", 0.0, checked),
        now,
        report,
        MemorySignals({uuid: MemoryFigures(0.1, 5.0, 99.0) for uuid in samples}, {"memory_pressure": NOW - 3}, 0.1),
        otlp_failures=4,
    )


OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"


class Reference(Collector):
    """The same rows by prometheus-client's own encoders."""

    def __init__(self, of):
        self._of = of

    def collect(self):
        families = {}
        for metric, labels, value in rows(self._of):
            family = families.setdefault(metric.name, metric.family())
            family.add_sample(metric.name, dict(zip(metric.label_names, labels, strict=True)), value)
        return families.values()


def render(of, accept=""):
    return Exposition().render(rows(of), accept)[1]


def scrape(of):
    text = render(of).decode()
    return {
        (sample.name, *(value for key, value in sorted(sample.labels.items()) if key not in GPU)): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_catalogue_is_what_is_exported(differences, accept):
    assert differences(render(state(), accept).decode(), CATALOGUE) == []
    assert len({metric.name for metric in CATALOGUE}) == len(CATALOGUE)


def test_every_figure_of_a_gpu_has_its_metric():
    assert set(GPU_FIGURES) | {"clock_events"} == set(FIGURES)
    assert {name.removesuffix("_total") for name in (m.name for m in GPU_FIGURES.values() if m.type == "counter")} >= {
        "autoglm_gpu_energy_joules",
        "autoglm_gpu_pcie_sent_bytes",
    }


def test_values_and_labels():
    found = scrape(state())

    assert found["autoglm_gpu_memory_used_bytes",] == 10.0
    assert found["autoglm_gpu_row_remap_pending",] == 1.0
    assert found["autoglm_gpu_clock_event", "hw_thermal_slowdown"] == 1.0
    assert found["autoglm_gpu_clock_event", "gpu_idle"] == 0.0
    assert found["autoglm_gpu_sample_age_seconds",] == 2.0
    assert found["autoglm_gpu_memory_exhaustion_seconds",] == 99.0
    assert found["autoglm_gpu_fault", "drain", "xid-79", "critical"] == 1.0
    assert found["autoglm_gpu_xid_errors_total", "79"] == 1.0
    assert found["autoglm_engine_up",] == 1.0
    assert found["autoglm_engine_metrics_up",] == 1.0
    assert found["autoglm_engine_latency_seconds", "ttft", "0.99"] == 0.3
    assert found["autoglm_engine_kv_reserved_free_tokens",] == 750.0
    assert found["autoglm_engine_stable",] == 1.0
    assert found["autoglm_engine_hung",] == 1.0
    assert found["autoglm_engine_progress_limit_seconds",] == 30.0
    assert found["autoglm_deviation_ratio", "pace"] == 0.3
    assert found["autoglm_signal", "kv_pressure"] == found["autoglm_signal", "memory_pressure"] == 1.0
    assert found["autoglm_signal", "deviation"] == 0.0
    assert found["autoglm_elastic_requested_max_num_seqs",] == 48.0
    assert found["autoglm_agent_read_errors_total", "gpu_is_lost", "nvml"] == 3.0


def test_gpu_that_tells_everything_has_at_most_80_series():
    one, two = (len(list(rows(state(gpus=number)))) for number in (1, 2))

    assert 40 < two - one <= 80


@pytest.mark.parametrize("accept", ["", OPENMETRICS, "text/plain;version=1.0.0;escaping=underscores"])
def test_exposition_is_what_prometheus_client_would_write(accept):
    awkward = GpuSample(1, 'a"b\n', "c\\ü", 1, 2, 1e-9, NOW, energy_joules=1.5e16)
    of = state()
    of = dataclasses.replace(
        of, snapshot=dataclasses.replace(of.snapshot, samples={**of.snapshot.samples, "x": awkward})
    )
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Reference(of))
    encoder, content_type = choose_encoder(accept)

    assert Exposition().render(rows(of), accept) == (content_type, encoder(registry))


def test_openmetrics_accepts_every_name_type_and_unit():
    text = render(state(), OPENMETRICS).decode()

    assert "# UNIT autoglm_gpu_memory_used_bytes bytes" in text
    assert len(list(openmetrics_families(text))) == len(CATALOGUE)


def test_labels_that_come_and_go_do_not_pile_up():
    exposition = Exposition()
    metric = GPU_FIGURES["memory_used_bytes"]
    for number in range(10_000):
        exposition.render([(metric, ("0", f"GPU-{number}", "x"), 1.0)], "")

    assert len(exposition._labels) <= 4096


def test_what_is_not_told_is_absent():
    nothing = dict.fromkeys(FIGURES)
    found = scrape(state(**nothing))

    assert not [name for name, *_ in found if name in {metric.name for metric in GPU_FIGURES.values()}]


def test_stale_figures_are_absent_but_their_age_is_not():
    found = scrape(state(now=NOW + STALE_SECONDS))

    assert found["autoglm_gpu_sample_age_seconds",] == 2 + STALE_SECONDS
    assert ("autoglm_gpu_memory_used_bytes",) not in found
    assert ("autoglm_gpu_memory_exhaustion_seconds",) not in found


def test_engine_that_nobody_sees_any_more_has_no_figures():
    found = scrape(state(now=NOW + 15))

    assert found["autoglm_engine_metrics_up",] == 0.0
    assert ("autoglm_engine_running_requests",) not in found


def test_engine_that_nobody_checks_is_neither_up_nor_down():
    assert ("autoglm_engine_up",) not in scrape(state(now=NOW + ENGINE_STALE_SECONDS))
    assert ("autoglm_engine_up",) not in scrape(state(checked=None))


def test_without_a_collector_there_are_no_export_failures():
    assert ("autoglm_agent_otlp_failures_total",) not in scrape(dataclasses.replace(state(), otlp_failures=None))


def test_label_values_are_escaped():
    sample = GpuSample(0, 'a"b\n', "c\\", 1, 2, None, NOW)
    of = State(Snapshot("none", {"a": sample}), EngineStatus(EngineState.STARTING, "", 0.0), NOW)
    text = render(of).decode()
    (found,) = [
        family.samples[0]
        for family in text_string_to_metric_families(text)
        if family.name == "autoglm_gpu_memory_used_bytes"
    ]

    assert found.labels == {"gpu": "0", "uuid": 'a"b\n', "product": "c\\"}

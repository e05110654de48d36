"""The names of the engines' metrics are those that an engine serves."""

import pytest

from autoglm_dashboards import foreign
from autoglm_simulator.flags import parse
from autoglm_simulator.metrics import EngineMetrics, registry
from autoglm_simulator.model import Engine


@pytest.fixture(scope="module")
def served():
    """The label names of each series that the simulator serves, by the series' name."""
    settings = parse(["serve", "zai-org/AutoGLM-Phone-9B"])
    metrics = EngineMetrics(settings, Engine(settings.limits, settings.profile.speed))
    return {
        sample.name: (family.type, set(sample.labels))
        for family in registry(metrics).collect()
        for sample in family.samples
    }


@pytest.mark.parametrize("metric", foreign.VLLM, ids=lambda metric: metric.name)
def test_the_simulator_serves_every_vllm_metric_with_its_type_and_labels(served, metric):
    name = f"{metric.name}_bucket" if metric.type == "histogram" else metric.name
    assert name in served
    kind, labels = served[name]
    assert kind == metric.type
    assert set(metric.label_names) <= labels

"""values.yaml, its schema, README.md and the settings of the processes say the same."""

import json
import subprocess
import sys

import pytest
import yaml

from autoglm_operator.api.v1alpha1 import EngineType
from autoglm_operator.settings import DEFAULT_AGENT_IMAGE, DEFAULT_BENCH_IMAGE, DEFAULT_IMAGES, Scaling, Settings

pytestmark = pytest.mark.chart


def _environment(objects, name):
    (item,) = [item for item in objects if item["kind"] == "Deployment" and item["metadata"]["name"] == name]
    container = item["spec"]["template"]["spec"]["containers"][0]
    return {entry["name"]: entry.get("value", "from the pod") for entry in container["env"]}


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("operator.replica=2", "replica"),
        ("metricsApi.enabled=false", "metricsApi"),
        ("engines.vllm.image.tagg=v1", "tagg"),
        ("dashboards.label.team=a", "label"),
        ("operator.replicas=0", "/operator/replicas"),
        ("operator.replicas=two", "/operator/replicas"),
        ("logLevel=verbose", "/logLevel"),
        ("agent.source=nvml", "/agent/source"),
        ("image.digest=latest", "/image/digest"),
        ("image.tag=a:b", "/image/tag"),
        ("watchNamespaces={Team_A}", "/watchNamespaces/0"),
        ("podMonitor.interval=15", "/podMonitor/interval"),
        ("telemetry.otlpEndpoint=otel-collector:4318", "/telemetry/otlpEndpoint"),
        ("telemetry.sampleRatio=1.5", "/telemetry/sampleRatio"),
        ("metricsAPI.tls.caBundle=MA==", "/metricsAPI/tls/caBundle"),
        ("metricsAPI.enabled=maybe", "/metricsAPI/enabled"),
        ("metricsAPI.backend=prometheus-adapter", "/metricsAPI/backend"),
        ("prometheus.address=prometheus:9090", "/prometheus/address"),
        ("autoscaler.scrapeIntervalSeconds=0", "/autoscaler/scrapeIntervalSeconds"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(helm, assignment, expected):
    message = helm.refuses("--set", assignment)
    assert "values don't meet the specifications" in message
    assert expected in message.replace(".", "/")


def _schema_keys(schema, definitions, path=""):
    """Yield the paths of the schema down to where it describes values rather than keys."""
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    for key, child in schema.get("properties", {}).items():
        yield f"{path}{key}"
        yield from _schema_keys(child, definitions, f"{path}{key}.")


def _value_keys(values, known, path=""):
    for key, child in values.items():
        yield f"{path}{key}"
        if isinstance(child, dict) and any(item.startswith(f"{path}{key}.") for item in known):
            yield from _value_keys(child, known, f"{path}{key}.")


def test_schema_and_values_have_the_same_keys(chart):
    schema = json.loads((chart / "values.schema.json").read_text())
    described = set(_schema_keys(schema, schema["definitions"])) - {"global"}
    given = set(_value_keys(yaml.safe_load((chart / "values.yaml").read_text()), described))
    assert described == given


def test_no_part_of_the_schema_lets_a_typing_error_pass(chart):
    def objects(schema):
        if isinstance(schema, dict):
            if "properties" in schema:
                yield schema
            for child in schema.values():
                yield from objects(child)

    parts = list(objects(json.loads((chart / "values.schema.json").read_text())["properties"]))
    assert len(parts) > 10
    assert all(part["additionalProperties"] is False for part in parts if part.get("type") == "object")


def test_the_readme_lists_the_values(pytestconfig):
    command = [sys.executable, str(pytestconfig.rootpath / "tests/chart/values_table.py"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_the_images_are_those_of_the_code(helm):
    environment = _environment(helm.objects(), "autoglm-operator")
    assert {engine: environment[f"ENGINE_IMAGE_{engine.name}"] for engine in EngineType} == dict(DEFAULT_IMAGES)
    assert environment["AGENT_IMAGE"] == DEFAULT_AGENT_IMAGE
    assert environment["BENCH_IMAGE"] == DEFAULT_BENCH_IMAGE


@pytest.mark.parametrize("process", ["operator", "autoscaler"])
def test_the_processes_accept_what_the_chart_sets(helm, chart, process):
    arguments = ("--values", str(chart / "ci/everything-values.yaml"))
    environment = _environment(helm.objects(*arguments), f"inference-{process}")
    settings = Settings.from_environ(environment)
    assert settings.log_level == "debug"
    assert (settings.otlp_endpoint, settings.trace_ratio) == ("http://otel-collector.monitoring:4318", 0.25)
    if process == "operator":
        assert settings.images.agent_source == "replay"
        assert settings.images.agent_otlp_endpoint == "http://otel-collector.monitoring:4317"
        assert settings.images.pull_policy == "Always"
        assert settings.images.scaling == Scaling(
            "autoglm-system/inference-autoscaler", prometheus="http://prometheus-operated.monitoring:9090"
        )
        assert settings.images.engines[EngineType.VLLM] == "mirror.example.com/mirror/vllm:v0.33.1"
    else:
        assert settings.scrape_interval == 4


def test_every_variable_that_the_chart_sets_is_read_by_the_code(helm, chart):
    """A renamed variable would be ignored in silence."""
    read = set()

    class Spy(dict):
        def get(self, key, default=None):
            read.add(key)
            return super().get(key, default)

        __getitem__ = get

    Settings.from_environ(Spy())
    for flavour in ((), ("--values", str(chart / "ci/everything-values.yaml"))):
        for item in helm.objects(*flavour):
            if item["kind"] == "Deployment":
                assert set(_environment([item], item["metadata"]["name"])) <= read


def test_the_scrape_interval_is_that_of_the_code(helm):
    environment = _environment(helm.objects(), "autoglm-autoscaler")
    assert Settings.from_environ(environment).scrape_interval == Settings().scrape_interval


def test_the_version_is_that_of_the_program(chart):
    from importlib.metadata import version  # noqa: PLC0415  # only here

    metadata = yaml.safe_load((chart / "Chart.yaml").read_text())
    assert metadata["appVersion"] == version("autoglm-operator")
    assert metadata["version"] == metadata["appVersion"]

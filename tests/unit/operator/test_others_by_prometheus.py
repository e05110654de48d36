"""What others learn of our metrics by way of Prometheus: KEDA by a ScaledObject, HPAs by prometheus-adapter."""

import re

import pytest
import yaml

from autoglm_operator.api.signals import SIGNALS
from autoglm_operator.autoscaler.metrics import Metrics
from autoglm_operator.observe.world import Deployment
from autoglm_operator.render.autoscaler import horizontal_pod_autoscaler
from autoglm_operator.render.keda import query, scaled_object
from autoglm_operator.signal_metrics import SIGNAL

AUTOSCALING = {
    "minReplicas": 2,
    "maxReplicas": 8,
    "schedules": [{"schedule": "0 1 * * *", "duration": "1h", "minReplicas": 1, "maxReplicas": 20}],
}


@pytest.fixture
def deployment(deployment_document):
    return Deployment.parse(deployment_document(autoscaling=AUTOSCALING))


@pytest.fixture
def made(deployment):
    return scaled_object(deployment, deployment.spec.autoscaling, "http://prometheus:9090")


def test_the_question_is_about_a_series_that_the_autoscaler_serves(deployment):
    metrics = Metrics()
    metrics.publish(("team-a", "phone"), {"autoglm_desired_replicas": 3.0})
    exposed = metrics.exposition.render("")[1].decode()
    (series,) = [line.rpartition(" ")[0] for line in exposed.splitlines() if line.startswith(SIGNAL.name + "{")]
    assert query(deployment) == f"max({series})"


def test_a_scaled_object_scales_as_our_hpa_would(deployment, made):
    hpa = horizontal_pod_autoscaler(deployment, deployment.spec.autoscaling)["spec"]
    assert (hpa["minReplicas"], hpa["maxReplicas"]) == (1, 20), "the bounds of all times"
    spec = made["spec"]
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (1, 20)
    assert spec["scaleTargetRef"] == hpa["scaleTargetRef"]
    assert spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"] == hpa["behavior"]
    assert hpa["behavior"]["scaleUp"]["policies"][0]["value"] == 20


def test_without_an_answer_keda_leaves_the_replicas_as_they_are(made):
    (trigger,) = made["spec"]["triggers"]
    assert (trigger["metricType"], trigger["metadata"]["threshold"]) == ("AverageValue", "1")
    assert trigger["metadata"]["ignoreNullValues"] == "false"
    assert made["spec"]["fallback"]["behavior"] == "currentReplicas"


def test_the_rules_for_prometheus_adapter_name_what_there_is(pytestconfig):
    example = pytestconfig.rootpath / "examples/observability/prometheus-adapter-values.yaml"
    rules = yaml.safe_load(example.read_text())["rules"]["custom"]
    assert {rule["name"]["as"] for rule in rules} == {signal.name for signal in SIGNALS}
    namespace, name, metric = SIGNAL.label_names
    for rule in rules:
        wanted = f'{metric}="{rule["name"]["as"]}"'
        assert rule["seriesQuery"] == f"{SIGNAL.name}{{{wanted}}}"
        assert rule["metricsQuery"] == f"max(<<.Series>>{{{wanted},<<.LabelMatchers>>}}) by (<<.GroupBy>>)"
        assert rule["resources"]["overrides"] == {
            namespace: {"resource": "namespace"},
            name: {"group": "autoglm.io", "resource": "autoglmdeployment"},
        }
    assert re.search(r"metricsAPI\.backend=monitoring/prometheus-adapter", example.read_text())

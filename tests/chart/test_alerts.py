"""Alerts by values: rules for Prometheus, or provisioning for Grafana, and never both."""

import json

import pytest
import yaml
from tests.chart.conftest import PROMETHEUS_OPERATOR

from autoglm_dashboards.alerts import grafana
from autoglm_dashboards.alerts.files import DATASOURCE_PLACE, RUNBOOKS_PLACE
from autoglm_dashboards.alerts.groups import rules_file
from autoglm_operator.settings import DEFAULT_RUNBOOKS, Alerts, Settings

pytestmark = pytest.mark.chart
IN_GRAFANA = ("--set", "alerts.enabled=false", "--set", "alerts.grafana.enabled=true")


def _rules(objects):
    return [item for item in objects if item["kind"] == "PrometheusRule"]


def _config_maps(objects):
    return [
        item for item in objects if item["kind"] == "ConfigMap" and item["metadata"]["name"].endswith("grafana-alerts")
    ]


def _settings(objects):
    (item,) = [
        item for item in objects if item["kind"] == "Deployment" and item["metadata"]["name"].endswith("-operator")
    ]
    container = item["spec"]["template"]["spec"]["containers"][0]
    return Settings.from_environ({entry["name"]: entry["value"] for entry in container["env"] if "value" in entry})


def test_rules_are_made_where_their_api_is(helm):
    assert not _rules(helm.objects())
    (rule,) = _rules(helm.objects(*PROMETHEUS_OPERATOR))
    # To the letter: what stands in double braces is not Helm's.
    assert rule["spec"] == rules_file(DEFAULT_RUNBOOKS, with_objectives=False)
    assert "{{ $labels.name }}" in json.dumps(rule)


def test_the_chart_has_no_rules_on_objectives_for_the_operator_makes_them(helm):
    (rule,) = _rules(helm.objects(*PROMETHEUS_OPERATOR))
    names = {item.get("alert", "") for group in rule["spec"]["groups"] for item in group["rules"]}
    assert not any("BudgetBurn" in name for name in names)
    assert _settings(helm.objects(*PROMETHEUS_OPERATOR)).images.alerts == Alerts({}, DEFAULT_RUNBOOKS)


def test_all_of_it_is_off_together(helm):
    objects = helm.objects(*PROMETHEUS_OPERATOR, "--set", "alerts.enabled=false")
    assert not _rules(objects)
    assert not _config_maps(objects)
    assert _settings(objects).images.alerts is None


def test_grafana_gets_the_same_alerts_as_a_file(helm):
    objects = helm.objects(*PROMETHEUS_OPERATOR, *IN_GRAFANA)
    assert not _rules(objects)
    assert _settings(objects).images.alerts is None
    (config_map,) = _config_maps(objects)
    assert config_map["metadata"]["labels"]["grafana_alert"] == "1"
    (text,) = config_map["data"].values()
    assert yaml.safe_load(text) == grafana.provisioning(DEFAULT_RUNBOOKS, grafana.DATASOURCE)
    assert len(text.encode()) < 1 << 20  # what an object may hold


def test_both_at_once_are_refused(helm):
    message = helm.refuses("--set", "alerts.grafana.enabled=true")
    assert "alerts.enabled and alerts.grafana.enabled are both true" in message


def test_values_reach_every_rule(helm, chart):
    objects = helm.objects("--values", str(chart / "ci/everything-values.yaml"), *PROMETHEUS_OPERATOR)
    (rule,) = _rules(objects)
    assert {"release": "kube-prometheus-stack", "team": "inference"}.items() <= rule["metadata"]["labels"].items()
    urls = [
        item["annotations"]["runbook_url"]
        for group in rule["spec"]["groups"]
        for item in group["rules"]
        if "alert" in item
    ]
    assert {url.rpartition("/")[0] for url in urls} == {"https://runbooks.example.com/autoglm"}
    images = _settings(objects).images
    assert images.alerts == Alerts(
        {"release": "kube-prometheus-stack", "team": "inference"}, "https://runbooks.example.com/autoglm/"
    )
    assert images.pod_monitor_labels == {"release": "kube-prometheus-stack"}


def test_values_reach_grafana(helm, chart):
    objects = helm.objects("--values", str(chart / "ci/grafana-alerts-values.yaml"))
    (config_map,) = _config_maps(objects)
    assert config_map["metadata"]["labels"]["team"] == "inference"
    (text,) = config_map["data"].values()
    groups = yaml.safe_load(text)["groups"]
    sources = {query["datasourceUid"] for group in groups for rule in group["rules"] for query in rule["data"]}
    assert sources == {"mimir", "__expr__"}
    assert DATASOURCE_PLACE not in text
    assert RUNBOOKS_PLACE not in text


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("alerts.label.team=a", "label"),
        ("alerts.runbookBaseURL=runbooks", "/alerts/runbookBaseURL"),
        ("alerts.grafana.enabled=yes please", "/alerts/grafana/enabled"),
        ("alerts.grafana.datasourceUid=a b", "/alerts/grafana/datasourceUid"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(helm, assignment, expected):
    message = helm.refuses("--set", assignment)
    assert "values don't meet the specifications" in message
    assert expected in message.replace(".", "/")


def test_the_default_of_the_chart_is_that_of_the_code(chart):
    values = yaml.safe_load((chart / "values.yaml").read_text())["alerts"]
    assert values["runbookBaseURL"] == DEFAULT_RUNBOOKS
    assert values["grafana"]["datasourceUid"] == grafana.DATASOURCE

"""A PodMonitor becomes the scrape configuration that the Prometheus Operator makes of it."""

import copy
import re

import pytest

from autoglm_demo.monitors import configuration, label_name, rule_files, scrape_configs
from autoglm_operator.observe.world import Deployment
from autoglm_operator.render.availability import pod_monitor

MONITOR = {
    "metadata": {"namespace": "team-a", "name": "phone"},
    "spec": {
        "selector": {"matchLabels": {"autoglm.io/deployment": "phone"}},
        "podTargetLabels": ["autoglm.io/deployment"],
        "podMetricsEndpoints": [
            {"port": "http", "path": "/metrics", "interval": "5s", "honorLabels": True},
            {"port": "agent"},
        ],
    },
}


def relabelled(config, meta):
    """Return the labels of a target after Prometheus' relabelling, or None if it is dropped."""
    labels = dict(meta)
    for rule in config["relabel_configs"]:
        text = ";".join(labels.get(source, "") for source in rule.get("source_labels", []))
        matched = re.fullmatch(rule.get("regex", "(.*)"), text)
        match rule.get("action", "replace"):
            case "drop":
                if matched:
                    return None
            case "keep":
                if not matched:
                    return None
            case "replace":
                if matched and (value := rule.get("replacement", text)):
                    labels[rule["target_label"]] = value
    return {key: value for key, value in labels.items() if not key.startswith("__")}


def pod(**changes):
    meta = {
        "namespace": "team-a",
        "pod_phase": "Running",
        "pod_name": "phone-1",
        "pod_container_name": "engine",
        "pod_container_port_name": "http",
        "pod_label_autoglm_io_deployment": "phone",
        "pod_labelpresent_autoglm_io_deployment": "true",
    }
    return {f"__meta_kubernetes_{key}": value for key, value in (meta | changes).items()}


def test_a_pod_gets_the_labels_of_the_prometheus_operator():
    config = scrape_configs(MONITOR, "/kubeconfig")[0]
    assert relabelled(config, pod()) == {
        "namespace": "team-a",
        "container": "engine",
        "pod": "phone-1",
        "autoglm_io_deployment": "phone",
        "job": "team-a/phone",
        "endpoint": "http",
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"pod_phase": "Succeeded"},
        {"pod_container_port_name": "agent"},
        {"pod_label_autoglm_io_deployment": "other"},
        {"pod_labelpresent_autoglm_io_deployment": ""},
    ],
)
def test_other_pods_and_ports_are_left_alone(changes):
    assert relabelled(scrape_configs(MONITOR, "/kubeconfig")[0], pod(**changes)) is None


def test_each_endpoint_is_a_job_with_its_own_settings():
    first, second = scrape_configs(MONITOR, "/kubeconfig")
    assert (first["job_name"], second["job_name"]) == ("podMonitor/team-a/phone/0", "podMonitor/team-a/phone/1")
    assert (first["honor_labels"], second["honor_labels"]) == (True, False)
    assert first["scrape_interval"] == first["scrape_timeout"] == "5s"
    assert "scrape_interval" not in second
    assert second["metrics_path"] == "/metrics"
    assert first["kubernetes_sd_configs"] == [
        {"role": "pod", "kubeconfig_file": "/kubeconfig", "namespaces": {"names": ["team-a"]}}
    ]


@pytest.mark.parametrize(
    ("place", "field"),
    [
        (("spec",), "namespaceSelector"),
        (("spec", "selector"), "matchExpressions"),
        (("spec", "podMetricsEndpoints", 1), "relabelings"),
    ],
)
def test_what_is_not_understood_is_refused(place, field):
    monitor = copy.deepcopy(MONITOR)
    part = monitor
    for key in place:
        part = part[key]
    part[field] = {}
    with pytest.raises(ValueError, match=rf"PodMonitor team-a/phone: spec.* has {field}; only"):
        scrape_configs(monitor, "/kubeconfig")


def test_the_configuration_holds_every_job_in_order():
    other = {**MONITOR, "metadata": {"namespace": "a", "name": "b"}}
    content = configuration([MONITOR, other], kubeconfig="/k", interval="5s", rules="/r/*", more="/m/*")
    assert [job["job_name"] for job in content["scrape_configs"]] == [
        "podMonitor/a/b/0",
        "podMonitor/a/b/1",
        "podMonitor/team-a/phone/0",
        "podMonitor/team-a/phone/1",
    ]
    assert content["rule_files"] == ["/r/*"]
    assert content["scrape_config_files"] == ["/m/*"]


def test_each_prometheus_rule_is_a_file():
    groups = [{"name": "g", "rules": []}]
    rule = {"metadata": {"namespace": "team-a", "name": "phone"}, "spec": {"groups": groups}}
    assert rule_files([rule]) == {"team-a-phone.yaml": {"groups": groups}}


def test_names_of_labels_are_those_of_prometheus():
    assert label_name("autoglm.io/deployment") == "autoglm_io_deployment"


def test_the_monitor_that_the_operator_renders_gives_the_labels_that_dashboards_select_by(deployment_document):
    monitor = pod_monitor(Deployment.parse(deployment_document()), {"release": "prometheus"})
    engine, agent = scrape_configs(monitor, "/kubeconfig")
    own = {label_name(label): value for label, value in monitor["spec"]["selector"]["matchLabels"].items()}
    meta = {f"pod_label_{name}": value for name, value in own.items()} | {
        f"pod_labelpresent_{name}": "true" for name in own
    }
    assert relabelled(engine, pod(**meta))["autoglm_io_deployment"] == "phone"
    assert relabelled(agent, pod(**meta)) is None
    assert relabelled(agent, pod(**meta, pod_container_port_name="agent"))["endpoint"] == "agent"

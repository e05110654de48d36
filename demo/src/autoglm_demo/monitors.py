"""From PodMonitors and PrometheusRules to the files of a plain Prometheus, as the Prometheus Operator would write them.

Only what our own objects use is understood; anything else is an error, because a field that is passed over in silence
would give other labels here than in a cluster with the Prometheus Operator.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

Json = dict[str, Any]

_SPEC: Final = {"selector", "podTargetLabels", "podMetricsEndpoints"}
_ENDPOINT: Final = {"port", "path", "interval", "honorLabels"}


def configuration(monitors: Iterable[Json], *, kubeconfig: str, interval: str, rules: str, more: str) -> Json:
    """Return the content of `prometheus.yml`.

    Args:
        monitors: PodMonitors as the API serves them.
        kubeconfig: path of the file by which pods are found.
        interval: between two scrapes where a monitor names none, and between two evaluations of rules.
        rules: pattern of the rule files.
        more: pattern of files with further scrape configurations.
    """
    jobs = [job for monitor in monitors for job in scrape_configs(monitor, kubeconfig)]
    return {
        "global": {"scrape_interval": interval, "evaluation_interval": interval, "scrape_timeout": interval},
        "rule_files": [rules],
        "scrape_config_files": [more],
        "scrape_configs": sorted(jobs, key=lambda job: job["job_name"]),
    }


def scrape_configs(monitor: Json, kubeconfig: str) -> list[Json]:
    """Return one scrape configuration for each endpoint of a PodMonitor.

    Raises:
        ValueError: it uses what is not understood here.
    """
    namespace, name, spec = monitor["metadata"]["namespace"], monitor["metadata"]["name"], monitor["spec"]
    _refuse_others(f"PodMonitor {namespace}/{name}: spec", spec, _SPEC)
    _refuse_others(f"PodMonitor {namespace}/{name}: spec.selector", spec["selector"], {"matchLabels"})
    configs = []
    for number, endpoint in enumerate(spec["podMetricsEndpoints"]):
        _refuse_others(f"PodMonitor {namespace}/{name}: spec.podMetricsEndpoints[{number}]", endpoint, _ENDPOINT)
        config = {
            "job_name": f"podMonitor/{namespace}/{name}/{number}",
            "honor_labels": endpoint.get("honorLabels", False),
            "metrics_path": endpoint.get("path", "/metrics"),
            "kubernetes_sd_configs": [
                {"role": "pod", "kubeconfig_file": kubeconfig, "namespaces": {"names": [namespace]}}
            ],
            "relabel_configs": _relabelings(f"{namespace}/{name}", spec, endpoint["port"]),
        }
        if "interval" in endpoint:
            config |= {"scrape_interval": endpoint["interval"], "scrape_timeout": endpoint["interval"]}
        configs.append(config)
    return configs


def _relabelings(job: str, spec: Json, port: str) -> list[Json]:
    pod = "__meta_kubernetes_pod_"
    rules: list[Json] = [{"action": "drop", "source_labels": [f"{pod}phase"], "regex": "(Failed|Succeeded)"}]
    for label, value in sorted(spec["selector"]["matchLabels"].items()):
        sources = [f"{pod}label_{label_name(label)}", f"{pod}labelpresent_{label_name(label)}"]
        rules.append({"action": "keep", "source_labels": sources, "regex": f"({value});true"})
    rules.append({"action": "keep", "source_labels": [f"{pod}container_port_name"], "regex": port})
    sources_of = {"namespace": "__meta_kubernetes_namespace", "container": f"{pod}container_name", "pod": f"{pod}name"}
    rules += [{"source_labels": [source], "target_label": target} for target, source in sources_of.items()]
    rules += [
        {"source_labels": [f"{pod}label_{label_name(label)}"], "target_label": label_name(label), "regex": "(.+)"}
        for label in spec.get("podTargetLabels", [])
    ]
    return [
        *rules,
        {"target_label": "job", "replacement": job},
        {"target_label": "endpoint", "replacement": port},
    ]


def label_name(label: str) -> str:
    """Return the name that Prometheus gives to a label of Kubernetes."""
    return re.sub(r"[^a-zA-Z0-9_]", "_", label)


def rule_files(rules: Iterable[Json]) -> dict[str, Json]:
    """Return the content of one rule file for each PrometheusRule, by its name."""
    return {
        f"{rule['metadata']['namespace']}-{rule['metadata']['name']}.yaml": {"groups": rule["spec"]["groups"]}
        for rule in rules
    }


def _refuse_others(where: str, given: Mapping[str, Any], known: set[str]) -> None:
    if others := given.keys() - known:
        raise ValueError(
            f"{where} has {', '.join(sorted(others))}; only {', '.join(sorted(known))} are understood here"
        )

"""PodDisruptionBudget, ServiceAccount and PodMonitor."""

from collections.abc import Mapping
from typing import Any

from autoglm_operator.api import names
from autoglm_operator.observe.world import Deployment
from autoglm_operator.render.meta import metadata


def pod_disruption_budget(deployment: Deployment) -> dict[str, Any]:
    """Return the budget: one pod at a time, so that a drain moves on even with a single replica."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(deployment),
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": names.pod_selector(deployment.name)}},
    }


def service_account(deployment: Deployment) -> dict[str, Any]:
    """Return the identity of the engine pods, which may do nothing and carry no token."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(deployment),
        "automountServiceAccountToken": False,
    }


def pod_monitor(deployment: Deployment, labels: Mapping[str, str]) -> dict[str, Any]:
    """Return what tells a Prometheus Operator to scrape engine and agent; by `labels` a Prometheus selects it."""
    meta = metadata(deployment)
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": meta | {"labels": {**labels, **meta["labels"]}},
        "spec": {
            "selector": {"matchLabels": names.pod_selector(deployment.name)},
            "podTargetLabels": [names.LABEL_DEPLOYMENT],
            "podMetricsEndpoints": [
                {"port": "http", "path": "/metrics"},
                {"port": "agent", "path": "/metrics"},
            ],
        },
    }

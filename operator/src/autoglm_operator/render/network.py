"""Service and NetworkPolicy: how requests reach the engine, and what else may not."""

from typing import Any

from autoglm_operator.api import names
from autoglm_operator.observe.world import Deployment
from autoglm_operator.render.meta import metadata


def service(deployment: Deployment) -> dict[str, Any]:
    """Return the Service in front of the engine pods."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(deployment),
        "spec": {
            "type": "ClusterIP",
            "selector": names.pod_selector(deployment.name),
            "ports": [{"name": "http", "port": names.ENGINE_PORT, "targetPort": "http", "protocol": "TCP"}],
        },
    }


def network_policy(deployment: Deployment) -> dict[str, Any]:
    """Return the NetworkPolicy that closes every port but the engine's API and the agent's figures."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(deployment),
        "spec": {
            "podSelector": {"matchLabels": names.pod_selector(deployment.name)},
            "policyTypes": ["Ingress"],
            "ingress": [
                {"ports": [{"port": port, "protocol": "TCP"} for port in (names.ENGINE_PORT, names.AGENT_PORT)]}
            ],
        },
    }

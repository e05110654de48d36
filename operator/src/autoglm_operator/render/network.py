"""Service and NetworkPolicy: how requests reach the engine, and what else may not."""

from typing import Any

from autoglm_operator.api import names
from autoglm_operator.decide.plan import Plan
from autoglm_operator.observe.world import Deployment
from autoglm_operator.render.leader_worker_set import leader_selector
from autoglm_operator.render.meta import metadata


def service(deployment: Deployment, plan: Plan) -> dict[str, Any]:
    """Return the Service in front of the engine pods; of a group of pods, the leader alone answers."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(deployment),
        "spec": {
            "type": "ClusterIP",
            "selector": _in_service(deployment, plan),
            "ports": [{"name": "http", "port": names.ENGINE_PORT, "targetPort": "http", "protocol": "TCP"}],
        },
    }


def _in_service(deployment: Deployment, plan: Plan) -> dict[str, str]:
    """Return the labels of the pods that are given requests: those on their way out are not."""
    answering = leader_selector(deployment.name) if plan.grouped else names.pod_selector(deployment.name)
    if any(pod.ready and pod.worker == 0 and not pod.terminating and not pod.service for pod in plan.pods):
        # Made before there was the label. Selecting by it would cut them off before their successors answer.
        return answering
    return {**answering, names.LABEL_SERVING: names.SERVING}


def network_policy(deployment: Deployment, plan: Plan) -> dict[str, Any]:
    """Return the NetworkPolicy that closes every port but the engine's API and the agent's figures.

    The pods of a group talk on ports that NCCL chooses as it goes; they are open to pods of the deployment alone.
    """
    selector = {"matchLabels": names.pod_selector(deployment.name)}
    ports = [{"port": port, "protocol": "TCP"} for port in (names.ENGINE_PORT, names.AGENT_PORT)]
    within = [{"from": [{"podSelector": selector}]}] if plan.grouped else []
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(deployment),
        "spec": {
            "podSelector": selector,
            "policyTypes": ["Ingress"],
            "ingress": [{"ports": ports}, *within],
        },
    }

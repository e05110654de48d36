"""Deployment: the set of engine pods."""

from typing import Any

from autoglm_operator.api import names
from autoglm_operator.api.hashing import content_hash
from autoglm_operator.api.v1alpha1 import RolloutStrategy
from autoglm_operator.decide.plan import Plan
from autoglm_operator.observe.world import Deployment
from autoglm_operator.render.engines import Role
from autoglm_operator.render.leader_worker_set import leader_worker_set
from autoglm_operator.render.meta import metadata, pod_labels, workload_annotations
from autoglm_operator.render.pod import pod
from autoglm_operator.settings import Images


def workload(deployment: Deployment, plan: Plan, images: Images) -> dict[str, Any]:
    """Return the Deployment of the engine pods.

    The template carries its own hash, so that each pod says by itself which spec it runs.
    """
    template = pod(deployment, plan, images)
    stamp = content_hash(template)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(deployment) | {"annotations": workload_annotations(plan)},
        "spec": {
            "replicas": plan.running,
            "revisionHistoryLimit": 3,
            "progressDeadlineSeconds": plan.timing.startup + 600,
            "selector": {"matchLabels": names.pod_selector(deployment.name)},
            "strategy": _strategy(plan, stamp),
            "template": {
                "metadata": {"labels": pod_labels(deployment.name), "annotations": {names.ANNOTATION_TEMPLATE: stamp}},
                "spec": template,
            },
        },
    }


def group_workload(deployment: Deployment, plan: Plan, images: Images) -> dict[str, Any]:
    """Return the LeaderWorkerSet whose groups are the replicas."""
    leader, worker = (pod(deployment, plan, images, role) for role in (Role.LEADER, Role.WORKER))
    return leader_worker_set(deployment, plan, leader, worker)


def template_hash(made: dict[str, Any]) -> str:
    """Return the hash that the pods of a Deployment or LeaderWorkerSet carry."""
    spec = made["spec"]
    template = spec.get("template") or spec["leaderWorkerTemplate"]["leaderTemplate"]
    return str(template["metadata"]["annotations"][names.ANNOTATION_TEMPLATE])


def _strategy(plan: Plan, stamp: str) -> dict[str, Any]:
    if plan.spec.rollout.strategy is RolloutStrategy.RECREATE:
        return {"type": "Recreate"}
    rollout = plan.rollout(stamp)
    update = {"maxSurge": rollout.max_surge, "maxUnavailable": rollout.max_unavailable}
    return {"type": "RollingUpdate", "rollingUpdate": update}

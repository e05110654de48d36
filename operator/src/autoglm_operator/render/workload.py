"""Deployment: the set of engine pods."""

from typing import Any

from autoglm_operator.api import names
from autoglm_operator.api.hashing import content_hash
from autoglm_operator.api.v1alpha1 import RolloutStrategy, Spec
from autoglm_operator.decide.plan import Plan
from autoglm_operator.observe.world import Deployment
from autoglm_operator.render.meta import labels, metadata
from autoglm_operator.render.pod import pod
from autoglm_operator.settings import Images


def workload(deployment: Deployment, plan: Plan, images: Images) -> dict[str, Any]:
    """Return the Deployment of the engine pods.

    The template carries its own hash, so that each pod says by itself which spec it runs.
    """
    template = pod(deployment, plan, images)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(deployment) | {"annotations": {names.ANNOTATION_DECIDED: plan.decided.text()}},
        "spec": {
            "replicas": plan.replicas,
            "revisionHistoryLimit": 3,
            "progressDeadlineSeconds": plan.timing.startup + 600,
            "selector": {"matchLabels": names.pod_selector(deployment.name)},
            "strategy": _strategy(plan.spec),
            "template": {
                "metadata": {
                    "labels": labels(deployment.name),
                    "annotations": {names.ANNOTATION_TEMPLATE: content_hash(template)},
                },
                "spec": template,
            },
        },
    }


def _strategy(spec: Spec) -> dict[str, Any]:
    if spec.rollout.strategy is RolloutStrategy.RECREATE:
        return {"type": "Recreate"}
    # An old pod goes only once a new one answers: a spec that cannot work never takes the service down.
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}

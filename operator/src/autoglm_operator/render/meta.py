"""Metadata that all children share."""

from typing import Any, Final

from autoglm_operator.api import names
from autoglm_operator.decide.plan import Plan
from autoglm_operator.observe.fetch import ANNOTATION_WEIGHTS
from autoglm_operator.observe.world import Deployment

_USER: Final = 65532

#: What Pod Security "restricted" asks of a container, and a read-only root.
CONTAINER_SECURITY: Final = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
#: What it asks of a pod.
POD_SECURITY: Final = {
    "runAsNonRoot": True,
    "runAsUser": _USER,
    "runAsGroup": _USER,
    "fsGroup": _USER,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def labels(name: str) -> dict[str, str]:
    """Return the labels of every child of the deployment `name`."""
    return {
        "app.kubernetes.io/name": "autoglm",
        "app.kubernetes.io/instance": name,
        "app.kubernetes.io/component": "engine",
        "app.kubernetes.io/part-of": "autoglm",
        **names.pod_selector(name),
    }


def pod_labels(name: str) -> dict[str, str]:
    """Return the labels of a pod that answers requests: each starts in service, and is taken out of it by its label.

    Only the Service selects by that. The selectors of workload, budget and monitor would lose a pod that is still
    theirs.
    """
    return {**labels(name), names.LABEL_SERVING: names.SERVING}


def metadata(deployment: Deployment) -> dict[str, Any]:
    """Return the metadata of a child: named after its owner and removed with it."""
    return {
        "name": deployment.name,
        "namespace": deployment.namespace,
        "labels": labels(deployment.name),
        "ownerReferences": [
            {
                "apiVersion": names.API_VERSION,
                "kind": names.KIND,
                "name": deployment.name,
                "uid": deployment.uid,
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }


def workload_annotations(plan: Plan) -> dict[str, str]:
    """Return what a workload says of itself, for later decisions about it."""
    weights = {ANNOTATION_WEIGHTS: plan.warm.identity} if plan.warm.identity else {}
    return {names.ANNOTATION_DECIDED: plan.decided.text(), **weights}

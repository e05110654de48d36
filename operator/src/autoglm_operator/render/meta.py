"""Metadata that all children share."""

from typing import Any

from autoglm_operator.api import names
from autoglm_operator.observe.world import Deployment


def labels(name: str) -> dict[str, str]:
    """Return the labels of every child of the deployment `name`."""
    return {
        "app.kubernetes.io/name": "autoglm",
        "app.kubernetes.io/instance": name,
        "app.kubernetes.io/component": "engine",
        "app.kubernetes.io/part-of": "autoglm",
        **names.pod_selector(name),
    }


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

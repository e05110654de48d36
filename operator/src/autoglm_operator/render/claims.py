"""ResourceClaimTemplate of a pod's GPUs, and the pieces of the pod that go with an allocation."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from autoglm_operator.api.hashing import content_hash
from autoglm_operator.decide.allocated import CLAIM_TEMPLATE_KIND, Allocation, Method, Requirement
from autoglm_operator.observe.cluster import DRA_API
from autoglm_operator.observe.world import Deployment
from autoglm_operator.render.meta import metadata

#: Name of the claim in the pod, and of its request in the claim.
_CLAIM: Final = "gpu"
#: Devices under one PCIe root are of one NUMA node, and reach each other without the link between CPUs.
_ALIGNMENT: Final = "resource.kubernetes.io/pcieRoot"
_HASH_LENGTH: Final = 8


def resource_claim_template(deployment: Deployment, allocation: Allocation) -> dict[str, Any]:
    """Return the template from which each pod gets a claim, shared by its containers."""
    meta = metadata(deployment)
    return {
        "apiVersion": DRA_API,
        "kind": CLAIM_TEMPLATE_KIND,
        "metadata": {**meta, "name": claim_name(deployment, allocation)},
        "spec": {"spec": {"devices": _devices(allocation)}},
    }


def claim_name(deployment: Deployment, allocation: Allocation) -> str:
    """Return the name of the template: it cannot be changed, so other devices mean another one."""
    return f"{deployment.name}-{_CLAIM}-{content_hash(_devices(allocation))[:_HASH_LENGTH]}"


def pod_claims(deployment: Deployment, allocation: Allocation) -> dict[str, Any]:
    """Return the fields of the pod spec that bring the claim; empty unless it is DRA."""
    if allocation.method is not Method.DYNAMIC_RESOURCE_ALLOCATION:
        return {}
    name = claim_name(deployment, allocation)
    return {"resourceClaims": [{"name": _CLAIM, "resourceClaimTemplateName": name}]}


def container_claims(allocation: Allocation) -> dict[str, Any]:
    """Return the fields of a container's `resources` that let it see the pod's GPUs.

    Engine and sidecar name the same claim and see the same GPUs. With the device plugin there is none: each container
    that asks gets GPUs of its own.
    """
    return {"claims": [{"name": _CLAIM}]} if allocation.method is Method.DYNAMIC_RESOURCE_ALLOCATION else {}


def device_limits(allocation: Allocation) -> dict[str, str]:
    """Return what the engine's requests and limits hold beside CPU and memory; empty unless it is the device plugin."""
    return {allocation.resource: str(allocation.count)} if allocation.method is Method.DEVICE_PLUGIN else {}


def node_affinity(affinity: Mapping[str, Any] | None, requirements: Iterable[Requirement]) -> dict[str, Any]:
    """Return the user's affinity with `requirements` added to each of its node terms, of which one must hold."""
    ours = [{"key": item.key, "operator": item.operator, "values": list(item.values)} for item in requirements]
    merged = dict(affinity or {})
    if not ours:
        return merged
    node = dict(merged.get("nodeAffinity") or {})
    required = dict(node.get("requiredDuringSchedulingIgnoredDuringExecution") or {})
    terms = required.get("nodeSelectorTerms") or [{}]
    required["nodeSelectorTerms"] = [
        {**term, "matchExpressions": [*(term.get("matchExpressions") or []), *ours]} for term in terms
    ]
    node["requiredDuringSchedulingIgnoredDuringExecution"] = required
    return {**merged, "nodeAffinity": node}


def _devices(allocation: Allocation) -> dict[str, Any]:
    exactly: dict[str, Any] = {
        "deviceClassName": allocation.device_class,
        "allocationMode": "ExactCount",
        "count": allocation.count,
    }
    if allocation.selectors:
        exactly["selectors"] = [{"cel": {"expression": expression}} for expression in allocation.selectors]
    devices: dict[str, Any] = {"requests": [{"name": _CLAIM, "exactly": exactly}]}
    if allocation.aligned:
        devices["constraints"] = [{"requests": [_CLAIM], "matchAttribute": _ALIGNMENT}]
    return devices

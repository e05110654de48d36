"""The way in which pods get their GPUs, as decided and as found on what runs: pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from autoglm_operator.api import names
from autoglm_operator.decide.reasons import Reason
from autoglm_operator.observe.cluster import Compute

Document = dict[str, Any]

CLAIM_TEMPLATE_KIND: Final = "ResourceClaimTemplate"


class Method(StrEnum):
    """How GPUs reach the pods."""

    NONE = "None"
    DEVICE_PLUGIN = "DevicePlugin"
    DYNAMIC_RESOURCE_ALLOCATION = "DynamicResourceAllocation"


@dataclass(frozen=True, slots=True)
class Requirement:
    """A term that the labels of a node must meet, as in a node affinity."""

    key: str
    operator: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GpuFacts:
    """What is known of the GPUs that pods will get; `None` where nothing is, or where nodes differ.

    Attributes:
        memory_mib: least of all matching GPUs.
        compute: least of all matching GPUs.
    """

    product: str | None = None
    memory_mib: int | None = None
    compute: Compute | None = None


@dataclass(frozen=True, slots=True)
class Present:
    """How the pods that run get their GPUs; another way would replace them all."""

    method: Method
    resource: str = ""


@dataclass(frozen=True, slots=True)
class Allocation:
    """How the pods get their GPUs, and what to say about it.

    Attributes:
        count: GPUs of each pod: those of a replica divided by its nodes.
        resource: that the container asks for, with the device plugin.
        device_class: that the claim asks for, with DRA.
        selectors: CEL expressions about a device, with DRA.
        aligned: whether the devices of a claim must be under one PCIe root.
        node_selector: labels that a node must carry, with the device plugin.
        requirements: what its labels must meet beside, with the device plugin.
        gpu_facts: for the memory fit.
        gpus_per_node: most GPUs of a usable node; `None` if not known, or no node has any.
        status: of the condition GPUAllocation: `True` if a node can give them, `Unknown` if that cannot be told.
    """

    method: Method
    count: int = 0
    resource: str = ""
    device_class: str = ""
    selectors: tuple[str, ...] = ()
    aligned: bool = False
    node_selector: Mapping[str, str] = field(default_factory=dict)
    requirements: tuple[Requirement, ...] = ()
    gpu_facts: GpuFacts = GpuFacts()
    gpus_per_node: int | None = None
    status: str = "Unknown"
    reason: Reason = Reason.CLUSTER_UNKNOWN
    message: str = ""


def present_of(workload: Mapping[str, Any] | None) -> Present | None:
    """Return how the pods of a live Deployment or LeaderWorkerSet get their GPUs; `None` if they have none."""
    if workload is None:
        return None
    spec = workload["spec"]
    template = spec.get("template") or spec["leaderWorkerTemplate"]["leaderTemplate"]
    pod = template["spec"]
    if pod.get("resourceClaims"):
        return Present(Method.DYNAMIC_RESOURCE_ALLOCATION)
    engine = next(item for item in pod["containers"] if item["name"] == names.ENGINE_CONTAINER)
    vendor = names.GPU_RESOURCE.rpartition("/")[0] + "/"
    limits = (engine.get("resources") or {}).get("limits") or {}
    resource = next((key for key in limits if key.startswith(vendor)), None)
    return None if resource is None else Present(Method.DEVICE_PLUGIN, resource)


def kept_claims(children: Iterable[Document], wanted: str, *, replacing: bool) -> tuple[Document, ...]:
    """Return the ResourceClaimTemplates of earlier specs that pods still need, as they are to be applied.

    A template cannot be changed, so another spec has another one. As long as pods of the old spec run, a lost one is
    made again from the old template.

    Args:
        children: live objects of the deployment.
        wanted: name of the template of the newest spec; empty if it has none.
        replacing: whether pods of an older spec are still there.
    """
    if not replacing:
        return ()
    old = (child for child in children if child["kind"] == CLAIM_TEMPLATE_KIND and child["metadata"]["name"] != wanted)
    return tuple(_as_applied(child) for child in old)


def _as_applied(child: Document) -> Document:
    meta = child["metadata"]
    kept = ("name", "namespace", "labels", "annotations", "ownerReferences")
    return {
        "apiVersion": child["apiVersion"],
        "kind": child["kind"],
        "metadata": {key: meta[key] for key in kept if key in meta},
        "spec": child["spec"],
    }

"""How engine pods get their GPUs: through the device plugin or through DRA, and which GPUs: pure."""

from typing import Any, Final

from autoglm_operator.api import names
from autoglm_operator.api.v1alpha1 import GpuAllocation, Spec
from autoglm_operator.decide import gpu_offers
from autoglm_operator.decide.allocated import CLAIM_TEMPLATE_KIND, Allocation, GpuFacts, Method, Present, Requirement
from autoglm_operator.decide.gpu_offers import Offer, Wanted
from autoglm_operator.decide.reasons import Reason
from autoglm_operator.errors import Waiting
from autoglm_operator.observe.cluster import DRA_API, DRA_DRIVER, Cluster

#: DeviceClasses that NVIDIA's DRA driver installs.
GPU_CLASS: Final = "gpu.nvidia.com"
MIG_CLASS: Final = "mig.nvidia.com"
_LOOK_AGAIN_SECONDS: Final = 60.0
_MOST_NODES: Final = 32


def allocate(spec: Spec, cluster: Cluster, present: Present | None = None) -> Allocation:
    """Return how the pods of `spec` get their GPUs.

    GPUs that no node has are said and not refused: a node with them may be added when pods ask for it.

    Args:
        spec: what is wanted.
        cluster: what there is.
        present: of the pods that run; kept while it works, because pods are replaced when it changes.

    Raises:
        Waiting: DRA is asked for by name and the cluster does not serve its API.
    """
    wanted = Wanted.of(spec)
    if spec.resources.gpu.count == 0:
        return Allocation(Method.NONE, status="True", reason=Reason.NO_GPU_WANTED, message="no GPU is wanted")
    resource, product = _resource(wanted, cluster, present)
    labelled = Wanted(product, wanted.memory_mib, wanted.profile, wanted.count, wanted.scheduling)
    plugin = gpu_offers.plugin_offer(labelled, resource, cluster)
    claims = gpu_offers.claim_offer(wanted, cluster)
    method, why = _method(spec, cluster, plugin, claims, present)
    offer = plugin if method is Method.DEVICE_PLUGIN else claims
    status, reason, message = _verdict(spec, wanted, cluster, offer, method)
    rest: dict[str, Any]
    if method is Method.DEVICE_PLUGIN:
        rest = {"resource": resource, "node_selector": {gpu_offers.PRODUCT_LABEL: product} if product else {}}
        rest["requirements"] = _memory_requirement(wanted, resource)
    else:
        rest = {"device_class": device_class(wanted), "selectors": _selectors(wanted)}
        rest["aligned"] = spec.resources.numa_aligned and wanted.count > 1
    return Allocation(
        method=method,
        count=wanted.count,
        gpu_facts=_facts(offer, wanted),
        gpus_per_node=offer.per_node if offer else None,
        status=status,
        reason=reason,
        message=f"{message}; {why}{_alignment(spec, method)}",
        **rest,
    )


def device_class(wanted: Wanted) -> str:
    """Return the DeviceClass of what is wanted."""
    return MIG_CLASS if wanted.profile else GPU_CLASS


def _resource(wanted: Wanted, cluster: Cluster, present: Present | None) -> tuple[str, str | None]:
    """Return the device plugin's resource and the product label that goes with it.

    With the strategy `mixed` slices have resources of their own; with `single` they are `nvidia.com/gpu`, and the
    product says of which kind.
    """
    if not wanted.profile:
        return names.GPU_RESOURCE, wanted.product
    mixed = gpu_offers.mig_resource(wanted.profile)
    single = f"{wanted.product}-MIG-{wanted.profile.replace('+', '.')}"
    if wanted.product is None or (present is not None and present.resource == mixed):
        return mixed, wanted.product
    offered = any(mixed in node.offers for node in cluster.nodes or ())
    kept = present is not None and present.resource == names.GPU_RESOURCE
    if kept or (not offered and any(node.product == single for node in cluster.nodes or ())):
        return names.GPU_RESOURCE, single
    return mixed, wanted.product


def _method(
    spec: Spec, cluster: Cluster, plugin: Offer | None, claims: Offer | None, present: Present | None
) -> tuple[Method, str]:
    """Return the way to take and why."""
    asked = spec.resources.gpu.allocation
    missing = _no_claims(cluster, Wanted.of(spec), claims)
    if asked is GpuAllocation.DYNAMIC_RESOURCE_ALLOCATION:
        if cluster.serves(CLAIM_TEMPLATE_KIND) is False:
            raise Waiting(
                Reason.NO_DYNAMIC_RESOURCE_ALLOCATION,
                f"spec.resources.gpu.allocation is {asked.value}, and the cluster does not serve {DRA_API}: "
                "use Kubernetes 1.34 or newer, or set it to DevicePlugin",
                _LOOK_AGAIN_SECONDS,
            )
        return Method.DYNAMIC_RESOURCE_ALLOCATION, "allocated through DRA, as the spec says"
    if asked is GpuAllocation.DEVICE_PLUGIN:
        return Method.DEVICE_PLUGIN, "allocated through the device plugin, as the spec says"
    if present is not None and _still_works(present, plugin, claims, missing):
        return present.method, f"allocated through {_words(present.method)}, as for the pods that run"
    if not missing:
        return Method.DYNAMIC_RESOURCE_ALLOCATION, f"allocated through DRA because its driver {DRA_DRIVER} offers them"
    if _only_claims(cluster, plugin, claims):
        return Method.DYNAMIC_RESOURCE_ALLOCATION, "allocated through DRA because no node has a device plugin for them"
    return Method.DEVICE_PLUGIN, f"allocated through the device plugin because {missing}"


def _only_claims(cluster: Cluster, plugin: Offer | None, claims: Offer | None) -> bool:
    """Whether all GPUs of the cluster are the DRA driver's; then those still to come will be too."""
    served = bool(cluster.device_classes) and claims is not None and bool(claims.hosts)
    return served and plugin is not None and not plugin.hosts


def _still_works(present: Present, plugin: Offer | None, claims: Offer | None, missing: str) -> bool:
    """Whether the way of the pods that run may be kept: it works, or the other one does not either."""
    by_claims = not missing
    by_plugin = plugin is None or bool(plugin.matching)
    if present.method is Method.DYNAMIC_RESOURCE_ALLOCATION:
        return by_claims or claims is None or not (plugin is not None and plugin.matching)
    return by_plugin or not by_claims


def _words(method: Method) -> str:
    return "DRA" if method is Method.DYNAMIC_RESOURCE_ALLOCATION else "the device plugin"


def _no_claims(cluster: Cluster, wanted: Wanted, claims: Offer | None) -> str:
    """Return why DRA cannot be taken; empty if it can."""
    name = device_class(wanted)
    if cluster.serves(CLAIM_TEMPLATE_KIND) is False:
        return f"the cluster does not serve {DRA_API}"
    if cluster.kinds is None or cluster.device_classes is None or claims is None:
        return f"whether DRA offers them is unknown: {cluster.unknown or 'its devices are not read'}"
    if name not in cluster.device_classes:
        return f"the DeviceClass {name} does not exist"
    if not claims.matching:
        return f"no ResourceSlice of {DRA_DRIVER} has {wanted}"
    return ""


def _verdict(
    spec: Spec, wanted: Wanted, cluster: Cluster, offer: Offer | None, method: Method
) -> tuple[str, Reason, str]:
    """Return status, reason and the first half of the message of the condition."""
    if offer is None:
        gpus = f"{wanted.count} x {wanted} for each pod"
        return "Unknown", Reason.CLUSTER_UNKNOWN, f"{gpus}: what the cluster has is unknown: {cluster.unknown}"
    total = None if cluster.nodes is None else len(cluster.nodes)
    there = gpu_offers.describe(offer, wanted, total)
    by_claim = method is Method.DYNAMIC_RESOURCE_ALLOCATION
    if by_claim and cluster.device_classes is not None and device_class(wanted) not in cluster.device_classes:
        there += f"; the DeviceClass {device_class(wanted)} does not exist: install NVIDIA's DRA driver"
        return "False", Reason.NO_MATCHING_GPU, there
    most = offer.per_node
    if most is None:
        return "False", Reason.NO_MATCHING_GPU, there
    if most < wanted.count:
        return "False", Reason.TOO_FEW_GPUS_PER_NODE, f"{there}; {_too_many(spec, wanted, most)}"
    return "True", Reason(method.value), there


def _too_many(spec: Spec, wanted: Wanted, most: int) -> str:
    """Say that no node has as many GPUs as a pod wants, and what would fit."""
    gpu = spec.resources.gpu
    said = f"each pod wants {wanted.count} GPUs and no node has more than {most}"
    fitting = (n for n in range(2, _MOST_NODES + 1) if gpu.count % n == 0 and gpu.count // n <= most)
    nodes = next(fitting, None)
    if nodes is None:
        return f"{said}: lower resources.gpu.count to {most * spec.resources.parallelism.nodes} or less"
    return (
        f"{said}: set resources.parallelism to nodes {nodes}, pipeline {nodes}, tensor {gpu.count // nodes}, "
        f"or lower resources.gpu.count to {most * spec.resources.parallelism.nodes} or less"
    )


def _memory_requirement(wanted: Wanted, resource: str) -> tuple[Requirement, ...]:
    if not wanted.memory_mib:
        return ()
    label = gpu_offers.MEMORY_LABEL if resource == names.GPU_RESOURCE else f"{resource}.memory"
    # The operator has no "at least".
    return (Requirement(label, "Gt", (str(wanted.memory_mib - 1),)),)


def _selectors(wanted: Wanted) -> tuple[str, ...]:
    """Return the CEL expressions that a device must meet; names come from patterns that hold no quotes."""
    attributes, capacity = f'device.attributes["{DRA_DRIVER}"]', f'device.capacity["{DRA_DRIVER}"]'
    selectors = []
    if wanted.product:
        # The label has "-" where the driver has blanks.
        selectors.append(f'{attributes}.productName.replace(" ", "-") == "{wanted.product}"')
    if wanted.profile:
        selectors.append(f'{attributes}.profile == "{wanted.profile}"')
    if wanted.memory_mib:
        selectors.append(f'{capacity}.memory.compareTo(quantity("{wanted.memory_mib}Mi")) >= 0')
    return tuple(selectors)


def _facts(offer: Offer | None, wanted: Wanted) -> GpuFacts:
    if offer is None or not offer.matching:
        return GpuFacts(product=wanted.product)
    hosts = offer.free or offer.matching
    products = {host.product for host in hosts}
    memories = [host.memory_mib for host in hosts if host.memory_mib is not None]
    computes = [host.compute for host in hosts if host.compute is not None]
    return GpuFacts(
        product=wanted.product or (products.pop() if len(products) == 1 else None),
        memory_mib=min(memories, default=None),
        compute=min(computes, default=None),
    )


def _alignment(spec: Spec, method: Method) -> str:
    if not spec.resources.numa_aligned or method is not Method.DEVICE_PLUGIN:
        return ""
    return "; whether they are NUMA aligned is up to the kubelet's Topology Manager (policy single-numa-node)"

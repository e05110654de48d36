"""`spec.resources` and `spec.scheduling`: what a replica needs from its nodes, and which nodes those are."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from autoglm_operator.api.types import (
    BYTES_PATTERN,
    CPU_PATTERN,
    DNS_NAME_PATTERN,
    LABEL_KEY_PATTERN,
    LABEL_VALUE_PATTERN,
    MIG_PROFILE_PATTERN,
    ApiModel,
)


class GpuAllocation(StrEnum):
    """How GPUs reach the pod."""

    AUTO = "Auto"
    DEVICE_PLUGIN = "DevicePlugin"
    DYNAMIC_RESOURCE_ALLOCATION = "DynamicResourceAllocation"


class Gpu(ApiModel):
    """GPUs of one replica."""

    product: Annotated[
        str | None,
        Field(
            pattern=LABEL_VALUE_PATTERN,
            max_length=63,
            description="Value of the node label nvidia.com/gpu.product that a node must carry; any GPU if left out.",
        ),
    ] = None
    count: Annotated[int, Field(ge=0, le=256, description="GPUs for each replica, over all its nodes.")] = 1
    memory: Annotated[
        str | None,
        Field(pattern=BYTES_PATTERN, max_length=16, description="Least memory of each GPU, such as 40Gi."),
    ] = None
    mig_profile: Annotated[
        str | None,
        Field(
            pattern=MIG_PROFILE_PATTERN,
            max_length=32,
            description="MIG profile to use instead of a whole GPU, such as 3g.40gb.",
        ),
    ] = None
    allocation: Annotated[
        GpuAllocation, Field(description="Auto takes what the cluster has, and a condition says what that is.")
    ] = GpuAllocation.AUTO


class Parallelism(ApiModel):
    """How one replica is spread over its GPUs: gpu.count = tensor * pipeline * data."""

    tensor: Annotated[int, Field(ge=1, le=64, description="Tensor-parallel ranks: a power of two.")] = 1
    pipeline: Annotated[int, Field(ge=1, le=64, description="Pipeline stages.")] = 1
    data: Annotated[int, Field(ge=1, le=64, description="Data-parallel ranks inside the replica.")] = 1
    expert: Annotated[bool, Field(description="Spread the experts of a MoE model over all ranks.")] = False
    nodes: Annotated[
        int,
        Field(ge=1, le=32, description="Nodes of one replica; each holds an equal share of the pipeline stages."),
    ] = 1


class Resources(ApiModel):
    """What one replica needs from its node."""

    gpu: Gpu = Gpu()
    parallelism: Parallelism = Parallelism()
    cpu: Annotated[
        str | None,
        Field(pattern=CPU_PATTERN, max_length=16, description="CPU request of the engine, such as 4 or 500m."),
    ] = None
    memory: Annotated[
        str | None,
        Field(
            pattern=BYTES_PATTERN, max_length=16, description="Memory request and limit of the engine, such as 64Gi."
        ),
    ] = None
    cpu_pinning: Annotated[
        bool,
        Field(
            description=(
                "Ask for whole CPUs with a limit, so that a kubelet with the static CPU manager policy pins them; "
                "needs `cpu` as a whole number and `memory`."
            )
        ),
    ] = False
    numa_aligned: Annotated[
        bool,
        Field(
            description=(
                "Ask for GPUs under one PCIe root. Taken as a constraint with DynamicResourceAllocation; with the "
                "device plugin it is up to the kubelet's Topology Manager."
            )
        ),
    ] = False


class Toleration(ApiModel):
    """A taint that the pods put up with, as in a pod's spec."""

    key: Annotated[
        str | None, Field(pattern=LABEL_KEY_PATTERN, max_length=317, description="Key of the taint; any if left out.")
    ] = None
    operator: Annotated[
        str | None, Field(pattern="^(Exists|Equal)$", max_length=6, description="Exists, or Equal for one value.")
    ] = None
    value: Annotated[str | None, Field(max_length=63, description="Value of the taint, with operator Equal.")] = None
    effect: Annotated[
        str | None,
        Field(
            pattern="^(NoSchedule|PreferNoSchedule|NoExecute)$",
            max_length=16,
            description="Effect of the taint; any if left out.",
        ),
    ] = None
    toleration_seconds: Annotated[
        int | None, Field(ge=0, le=1_000_000_000, description="How long a NoExecute taint is put up with, in seconds.")
    ] = None


class TopologySpread(ApiModel):
    """How evenly the replicas lie over zones or hosts; the selector is that of the deployment's pods."""

    max_skew: Annotated[
        int, Field(ge=1, le=1000, description="Most replicas that one domain may have over another.")
    ] = 1
    topology_key: Annotated[
        str,
        Field(
            pattern=LABEL_KEY_PATTERN,
            max_length=317,
            description="Node label that tells the domains, such as topology.kubernetes.io/zone.",
        ),
    ]
    when_unsatisfiable: Annotated[
        str,
        Field(
            pattern="^(DoNotSchedule|ScheduleAnyway)$",
            max_length=14,
            description="Whether a replica that would break the rule waits, or is placed all the same.",
        ),
    ] = "ScheduleAnyway"


LabelValue = Annotated[str, Field(pattern=LABEL_VALUE_PATTERN + "|^$", max_length=63)]


class Scheduling(ApiModel):
    """Which nodes the pods may run on, beside what `resources` asks for."""

    node_selector: Annotated[
        dict[str, LabelValue] | None, Field(max_length=32, description="Labels that a node must carry.")
    ] = None
    tolerations: Annotated[
        tuple[Toleration, ...],
        Field(max_length=32, description="Taints put up with, beside that of GPU nodes."),
    ] = ()
    affinity: Annotated[
        dict[str, Any] | None, Field(description="Affinity as in a pod's spec; the API server checks it there.")
    ] = None
    topology_spread: Annotated[
        tuple[TopologySpread, ...], Field(max_length=8, description="How evenly the replicas lie over domains.")
    ] = ()
    priority_class_name: Annotated[
        str | None, Field(pattern=DNS_NAME_PATTERN, max_length=253, description="PriorityClass of the pods.")
    ] = None
    runtime_class_name: Annotated[
        str | None,
        Field(pattern=DNS_NAME_PATTERN, max_length=253, description="RuntimeClass of the pods, such as nvidia."),
    ] = None

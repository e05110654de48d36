"""What the cluster has: GPUs on its nodes, devices of the DRA driver, optional APIs, backends of custom metrics."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from autoglm_operator.api import names
from autoglm_operator.api.quantity import MEBIBYTE, byte_count
from autoglm_operator.observe.autoscalers import Backend

Document = Mapping[str, Any]

#: The DRA driver of NVIDIA GPUs; it qualifies the attributes of its devices too.
DRA_DRIVER: Final = "gpu.nvidia.com"
DRA_API: Final = "resource.k8s.io/v1"
#: Image volumes are on by default since this version of Kubernetes.
_IMAGE_VOLUMES_SINCE: Final = (1, 35)
#: Taints that Kubernetes itself puts on; what they tell is in `Node.ready` and `Node.cordoned`, or soon over.
_SYSTEM_TAINT: Final = "node.kubernetes.io/"
_REPELLING: Final = ("NoSchedule", "NoExecute")

Compute = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Taint:
    """A taint that keeps pods away."""

    key: str
    value: str
    effect: str

    def __str__(self) -> str:
        """Return it as `kubectl taint` takes it."""
        return f"{self.key}={self.value}:{self.effect}" if self.value else f"{self.key}:{self.effect}"


@dataclass(frozen=True, slots=True)
class Node:
    """What matters of a node.

    Attributes:
        labels: among them those of NVIDIA's GPU feature discovery.
        offers: what pods may ask for, by resource: `nvidia.com/gpu` and `nvidia.com/mig-*`.
        taints: those that keep pods away, but not Kubernetes' own.
        ready: whether its kubelet says so.
        cordoned: whether it takes no new pods.
    """

    name: str
    labels: Mapping[str, str]
    offers: Mapping[str, int]
    taints: tuple[Taint, ...] = ()
    ready: bool = True
    cordoned: bool = False

    @classmethod
    def parse(cls, document: Document) -> Self:
        """Return the node in `document`."""
        meta, spec, status = document["metadata"], document.get("spec") or {}, document.get("status") or {}
        conditions = {item["type"]: item["status"] for item in status.get("conditions") or []}
        allocatable = status.get("allocatable") or {}
        vendor = names.GPU_RESOURCE.rpartition("/")[0] + "/"
        return cls(
            name=meta["name"],
            labels=meta.get("labels") or {},
            offers={key: n for key, value in allocatable.items() if key.startswith(vendor) and (n := _whole(value))},
            taints=tuple(
                Taint(item["key"], item.get("value", ""), item["effect"])
                for item in spec.get("taints") or []
                if item["effect"] in _REPELLING and not item["key"].startswith(_SYSTEM_TAINT)
            ),
            ready=conditions.get("Ready") == "True",
            cordoned=bool(spec.get("unschedulable")),
        )

    @property
    def product(self) -> str | None:
        """Return the product of its GPUs, such as `NVIDIA-H100-80GB-HBM3`."""
        return self.labels.get(f"{names.GPU_RESOURCE}.product")

    @property
    def compute(self) -> Compute | None:
        """Return the compute capability of its GPUs, such as (9, 0)."""
        major, minor = (self.number(f"{names.GPU_RESOURCE}.compute.{part}") for part in ("major", "minor"))
        return None if major is None or minor is None else (major, minor)

    def number(self, label: str) -> int | None:
        """Return the value of a label that should be a number; `None` if it is not there or not one."""
        return _whole(self.labels.get(label, ""))


@dataclass(frozen=True, slots=True)
class Devices:
    """Devices of the DRA driver that are alike and on the same node.

    Attributes:
        node: name; empty if the driver says it in another way.
        product: as the node label has it: the driver writes spaces where the label has `-`.
        memory_mib: of one device.
        profile: of a MIG device, such as `3g.40gb`; empty for a whole GPU.
        count: of devices that no taint keeps pods away from.
    """

    node: str
    product: str
    memory_mib: int | None
    compute: Compute | None
    profile: str
    count: int


@dataclass(frozen=True, slots=True)
class Slice:
    """A ResourceSlice of the driver: a part of a pool of devices, of one generation of its description."""

    pool: str
    generation: int
    devices: tuple[Devices, ...]

    @classmethod
    def parse(cls, document: Document) -> Self | None:
        """Return the slice in `document`; `None` if it is of another driver."""
        spec = document["spec"]
        if spec["driver"] != DRA_DRIVER:
            return None
        node = spec.get("nodeName", "")
        kinds = Counter(_kind(device) for device in spec.get("devices") or [] if not _tainted(device))
        alike = sorted(kinds.items(), key=repr)
        devices = tuple(Devices(node, *kind, count=count) for kind, count in alike if kind is not None)
        return cls(spec["pool"]["name"], spec["pool"]["generation"], devices)


_Kind = tuple[str, int | None, Compute | None, str]


def _kind(device: Document) -> _Kind | None:
    """Return product, memory, compute capability and MIG profile; `None` for another device, such as a VFIO one."""
    attributes = {_unqualified(key): value for key, value in (device.get("attributes") or {}).items()}
    if attributes.get("type", {}).get("string") not in {"gpu", "mig"}:
        return None
    capacity = {_unqualified(key): value["value"] for key, value in (device.get("capacity") or {}).items()}
    version = re.match(r"(\d{1,3})\.(\d{1,3})", attributes.get("cudaComputeCapability", {}).get("version", ""))
    return (
        attributes.get("productName", {}).get("string", "").replace(" ", "-"),
        _mebibytes(capacity.get("memory", "")),
        (int(version[1]), int(version[2])) if version else None,
        attributes.get("profile", {}).get("string", ""),
    )


def _whole(text: str) -> int | None:
    """Return the number that `text` is; what others wrote in another way is not known rather than fatal."""
    return int(text) if text.isdecimal() else None


def _mebibytes(quantity: str) -> int | None:
    try:
        return byte_count(quantity) // MEBIBYTE
    except ValueError:
        return None


def _unqualified(name: str) -> str:
    return name.removeprefix(f"{DRA_DRIVER}/")


def _tainted(device: Document) -> bool:
    return any(taint.get("effect") in _REPELLING for taint in device.get("taints") or [])


def newest(slices: Iterable[Slice]) -> tuple[Devices, ...]:
    """Return the devices of the newest generation of each pool: the scheduler takes no other."""
    held = tuple(slices)
    generations: dict[str, int] = {}
    for one in held:
        generations[one.pool] = max(one.generation, generations.get(one.pool, 0))
    return tuple(device for one in held if one.generation == generations[one.pool] for device in one.devices)


@dataclass(frozen=True, slots=True)
class Cluster:
    """The picture; whatever is `None` is not known, and `unknown` says why.

    Attributes:
        devices: of the DRA driver; empty where that API is not served.
        device_classes: names.
        kinds: optional kinds that are served, such as `LeaderWorkerSet`.
        version: of Kubernetes, such as (1, 36).
        backends: of custom metrics; empty where nobody serves them.
        unknown: a sentence about GPUs; empty if all is known.
    """

    nodes: tuple[Node, ...] | None = None
    devices: tuple[Devices, ...] | None = None
    device_classes: frozenset[str] | None = None
    kinds: frozenset[str] | None = None
    version: tuple[int, int] | None = None
    backends: tuple[Backend, ...] | None = None
    unknown: str = ""
    by_name: Mapping[str, Node] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Index the nodes by name."""
        object.__setattr__(self, "by_name", {node.name: node for node in self.nodes or ()})

    def serves(self, kind: str) -> bool | None:
        """Whether the API server knows an optional kind; `None` if that is not known."""
        return None if self.kinds is None else kind in self.kinds

    @property
    def image_volumes(self) -> bool | None:
        """Whether pods may mount images, as far as the version tells; `None` if that is not known."""
        return None if self.version is None else self.version >= _IMAGE_VOLUMES_SINCE


#: For rendering without a cluster.
UNKNOWN_CLUSTER: Final = Cluster(unknown="no cluster was asked")

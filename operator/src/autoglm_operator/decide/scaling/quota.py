"""What the ResourceQuotas of a namespace leave for the replicas of one deployment: pure.

```
fits  = replicas that are there + what is left (hard - used) / what one takes, of the tightest quota
```

So a quota keeps replicas from being ordered, and never takes one away that is there, whoever uses too much.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Self

from autoglm_operator.api import names
from autoglm_operator.api.quantity import byte_count
from autoglm_operator.api.v1alpha1 import GpuAllocation, Spec
from autoglm_operator.decide.allocated import Method
from autoglm_operator.decide.allocation import device_class
from autoglm_operator.decide.gpu_offers import Wanted, mig_resource

Document = Mapping[str, Any]

_PODS: Final = ("pods", "count/pods")
#: Scopes that every engine pod is in: it has requests, and no deadline.
_OURS: Final = frozenset({"NotTerminating", "NotBestEffort"})
_REQUESTS: Final = "requests."
_CLAIMED: Final = ".deviceclass.resource.k8s.io/devices"


@dataclass(frozen=True, slots=True)
class Quota:
    """What matters of a ResourceQuota: whole numbers of pods and devices.

    Attributes:
        hard: most of each resource, as the API server enforces it.
        used: of it now, pods on their way out included.
    """

    namespace: str
    name: str
    hard: Mapping[str, int] = field(default_factory=dict)
    used: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def keep(cls, document: Document) -> Self | None:
        """Return the quota in `document`; `None` if it counts no pods or devices, or only some pods.

        A quota for one priority class, say, counts pods that we cannot tell from the others here; the API server
        still holds pods back for it, and the condition ChildRejected or the ReplicaSet's own says so.
        """
        meta, spec, status = document["metadata"], document.get("spec") or {}, document.get("status") or {}
        if set(spec.get("scopes") or ()) - _OURS or spec.get("scopeSelector"):
            return None
        hard = _counts(status.get("hard") or {})
        if not hard:
            return None
        return cls(meta["namespace"], meta["name"], hard, _counts(status.get("used") or {}))


@dataclass(frozen=True, slots=True)
class Footprint:
    """What one replica takes of its namespace.

    Attributes:
        gpus: devices, over all its pods.
        resource: what a quota calls them.
        pods: one for each node that it is spread over.
    """

    gpus: int = 0
    resource: str = f"{_REQUESTS}{names.GPU_RESOURCE}"
    pods: int = 1

    @classmethod
    def of(cls, spec: Spec, conditions: Iterable[Document] = ()) -> Self:
        """Return what one replica of `spec` takes, its GPUs by the way that the conditions of its status tell."""
        gpu = spec.resources.gpu
        claimed = gpu.allocation is GpuAllocation.DYNAMIC_RESOURCE_ALLOCATION or any(
            item.get("reason") == Method.DYNAMIC_RESOURCE_ALLOCATION for item in conditions
        )
        return cls(gpu.count, _resource(spec, claimed=claimed), spec.resources.parallelism.nodes)


@dataclass(frozen=True, slots=True)
class QuotaRoom:
    """What the tightest ResourceQuota allows one deployment.

    Attributes:
        replicas: that fit, those that are there included.
        sentence: which quota, how many of what, and what is left, without an end.
    """

    replicas: int
    sentence: str


def room_of(quotas: Iterable[Quota], footprint: Footprint, present: int) -> QuotaRoom | None:
    """Return what the quotas allow; `None` if none of them counts what a replica takes.

    Args:
        quotas: of the namespace.
        footprint: of one replica.
        present: replicas whose pods are there, and not on their way out.
    """
    takes = dict.fromkeys(_PODS, footprint.pods)
    if footprint.gpus:
        takes[footprint.resource] = footprint.gpus
    rooms = (
        _room(quota, resource, each, present)
        for quota in quotas
        for resource, each in takes.items()
        if resource in quota.hard
    )
    return min(rooms, key=lambda room: (room.replicas, room.sentence), default=None)


def _room(quota: Quota, resource: str, each: int, present: int) -> QuotaRoom:
    hard = quota.hard[resource]
    left = max(0, hard - quota.used.get(resource, 0))
    fits = present + left // each
    unit = "pod" if resource in _PODS else "GPU"
    replicas = f"{fits} replica{'' if fits == 1 else 's'} of {each} {unit}{'' if each == 1 else 's'}"
    room = f"{present * each + left} of {hard} {unit}{'' if hard == 1 else 's'}"
    return QuotaRoom(
        fits,
        f"ResourceQuota {quota.name} of namespace {quota.namespace} allows {replicas} ({room} are left for them)",
    )


def _resource(spec: Spec, *, claimed: bool) -> str:
    """Return what a quota calls the devices of `spec`."""
    wanted = Wanted.of(spec)
    if claimed:
        return f"{device_class(wanted)}{_CLAIMED}"
    return _REQUESTS + (mig_resource(wanted.profile) if wanted.profile else names.GPU_RESOURCE)


def _counts(resources: Mapping[str, Any]) -> dict[str, int]:
    """Return the whole numbers among `resources` that replicas are counted by."""
    counted = {}
    for name, value in resources.items():
        device = name.startswith(_REQUESTS) and "/" in name
        if name in _PODS or device or name.endswith(_CLAIMED):
            counted[name] = _whole(str(value))
    return counted


def _whole(quantity: str) -> int:
    """Return a whole number as a quantity is written: 1,000 pods may be `1000`, `1k` or `1e3`."""
    try:
        return int(Decimal(quantity))
    except InvalidOperation:
        return byte_count(quantity)

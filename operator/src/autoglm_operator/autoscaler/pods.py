"""The engine pods and deployments that the autoscaler knows: what it keeps of each object."""

from dataclasses import dataclass, field
from typing import Any, Self

from pydantic import ValidationError

from autoglm_operator.api.status import AutoscalingStatus
from autoglm_operator.api.v1alpha1 import Autoscaling, Spec
from autoglm_operator.observe.world import deployment_of

Document = dict[str, Any]
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class EnginePod:
    """What matters of an engine pod.

    Attributes:
        deployment: name of the AutoGLMDeployment it serves.
        ip: empty until it has one.
        unschedulable: whether the scheduler finds no node for it.
    """

    namespace: str
    name: str
    uid: str
    deployment: str
    ip: str
    ready: bool
    unschedulable: bool

    @classmethod
    def keep(cls, document: Document) -> Self | None:
        """Return the pod in `document`; `None` if it is not one of ours, has ended or is on its way out."""
        meta, status = document["metadata"], document.get("status") or {}
        owner = deployment_of(document)
        if owner is None or "deletionTimestamp" in meta or status.get("phase") in ("Failed", "Succeeded"):
            return None
        conditions = {item["type"]: item for item in status.get("conditions") or []}
        ready = conditions.get("Ready", {}).get("status") == "True"
        return cls(
            namespace=meta["namespace"],
            name=meta["name"],
            uid=meta["uid"],
            deployment=owner,
            ip=status.get("podIP", ""),
            ready=ready,
            unschedulable=not ready and conditions.get("PodScheduled", {}).get("reason") == "Unschedulable",
        )


@dataclass(frozen=True, slots=True)
class Target:
    """What matters of an AutoGLMDeployment.

    Attributes:
        replicas: ordered, by the HPA or a person.
        autoscaling: `None` if it is off.
        batch: most requests in one replica's batch, if declared.
        status: what was last written to `status.autoscaling`.
    """

    namespace: str
    name: str
    uid: str
    replicas: int
    autoscaling: Autoscaling | None
    batch: int | None = None
    labels: dict[str, str] = field(default_factory=dict)
    status: AutoscalingStatus | None = None

    @classmethod
    def keep(cls, document: Document) -> Self | None:
        """Return the deployment in `document`; `None` if it is being deleted or its spec cannot be read."""
        meta = document["metadata"]
        try:
            spec = Spec.model_validate(document["spec"])
            written = (document.get("status") or {}).get("autoscaling")
            status = AutoscalingStatus.model_validate(written) if written else None
        except (ValidationError, KeyError):
            return None
        if "deletionTimestamp" in meta:
            return None
        return cls(
            namespace=meta["namespace"],
            name=meta["name"],
            uid=meta["uid"],
            replicas=spec.replicas,
            autoscaling=spec.autoscaling,
            batch=spec.engine.batching.max_num_seqs,
            labels=meta.get("labels") or {},
            status=status,
        )

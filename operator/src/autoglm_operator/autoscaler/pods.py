"""The engine pods and deployments that the autoscaler knows: what it keeps of each object."""

from dataclasses import dataclass, field
from typing import Any, Self

from pydantic import ValidationError

from autoglm_operator.api.status import AutoscalingStatus, Serving
from autoglm_operator.api.v1alpha1 import Autoscaling, Spec, Tolerance
from autoglm_operator.decide.bottleneck import Setup
from autoglm_operator.observe.pod import deployment_of, seconds, worker_index

Document = dict[str, Any]
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class EnginePod:
    """What matters of an engine pod.

    Attributes:
        deployment: name of the AutoGLMDeployment it serves.
        ip: empty until it has one.
        unschedulable: whether the scheduler finds no node for it.
        created: Unix time when it was.
    """

    namespace: str
    name: str
    uid: str
    deployment: str
    ip: str
    ready: bool
    unschedulable: bool
    created: float = 0.0

    @classmethod
    def keep(cls, document: Document) -> Self | None:
        """Return the pod in `document`; `None` if it is not one of ours, answers no requests or is on its way out."""
        meta, status = document["metadata"], document.get("status") or {}
        owner = deployment_of(document)
        if owner is None or "deletionTimestamp" in meta or status.get("phase") in ("Failed", "Succeeded"):
            return None
        if worker_index(document) > 0:
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
            created=seconds(meta.get("creationTimestamp")) or 0.0,
        )


@dataclass(frozen=True, slots=True)
class Target:
    """What matters of an AutoGLMDeployment.

    Attributes:
        replicas: ordered, by the HPA or a person.
        autoscaling: `None` if it is off.
        batch: most requests in one replica's batch, if declared.
        adapters: names of the LoRA adapters.
        setup: what a diagnosis needs of the spec.
        tolerance: of the spec.
        status: what was last written to `status.autoscaling`.
        serving: what was last written to `status.serving`.
    """

    namespace: str
    name: str
    uid: str
    replicas: int
    autoscaling: Autoscaling | None
    batch: int | None = None
    labels: dict[str, str] = field(default_factory=dict)
    adapters: tuple[str, ...] = ()
    status: AutoscalingStatus | None = None
    serving: Serving | None = None
    setup: Setup = field(default_factory=Setup)
    tolerance: Tolerance = Tolerance.STRICT

    @classmethod
    def keep(cls, document: Document) -> Self | None:
        """Return the deployment in `document`; `None` if it is being deleted or its spec cannot be read."""
        meta = document["metadata"]
        try:
            spec = Spec.model_validate(document["spec"])
            written = document.get("status") or {}
            status = AutoscalingStatus.model_validate(given) if (given := written.get("autoscaling")) else None
            serving = Serving.model_validate(given) if (given := written.get("serving")) else None
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
            adapters=tuple(adapter.name for adapter in spec.engine.lora.adapters) if spec.engine.lora else (),
            status=status,
            serving=serving,
            setup=Setup.of(spec),
            tolerance=spec.tolerance,
        )

"""The engine pods and deployments that the autoscaler knows: what it keeps of each object."""

from dataclasses import dataclass, field
from typing import Any, Final, Self

from pydantic import ValidationError

from autoglm_operator.api import names
from autoglm_operator.api.status import Actuation, AutoscalingStatus, ColdStart, Serving
from autoglm_operator.api.v1alpha1 import Autoscaling, Spec, Tolerance
from autoglm_operator.decide.bottleneck import Setup
from autoglm_operator.decide.law.capacity import Speed
from autoglm_operator.decide.scaling.prior import prior_of
from autoglm_operator.decide.scaling.quota import Footprint
from autoglm_operator.observe.pod import deployment_of, group_index, revision_of, seconds, worker_index

Document = dict[str, Any]
Key = tuple[str, str]

#: When a pod was taken out of service, and the deletion cost that it had before. Nothing else is remembered of a drain:
#: whoever leads next goes on with it.
ANNOTATION_SINCE: Final = f"{names.GROUP}/draining-since"
ANNOTATION_COST_BEFORE: Final = f"{names.GROUP}/deletion-cost-before"
# A pod without the label is one of before there was such a label.
_OUT_OF_SERVICE: Final = (names.DRAINING, names.DRAINED)


@dataclass(frozen=True, slots=True)
class EnginePod:
    """What matters of an engine pod.

    Attributes:
        deployment: name of the AutoGLMDeployment it serves.
        ip: empty until it has one.
        unschedulable: whether the scheduler finds no node for it.
        created: Unix time when it was.
        serving: whether it is given new requests.
        drained: whether it may be removed, having no request left or having had its time.
        draining_since: Unix time since when it is given none; 0 if nobody noted it.
        deletion_cost: what its controller goes by when it removes pods; empty if nobody set it.
        cost_before: the same before it was taken out of service.
        index: number of its group; `None` of a pod that is a replica by itself.
        revision: the same for pods of one template.
    """

    namespace: str
    name: str
    uid: str
    deployment: str
    ip: str
    ready: bool
    unschedulable: bool
    created: float = 0.0
    serving: bool = True
    drained: bool = False
    draining_since: float = 0.0
    deletion_cost: str = ""
    cost_before: str = ""
    index: int | None = None
    revision: str = ""

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
        notes = meta.get("annotations") or {}
        stage = (meta.get("labels") or {}).get(names.LABEL_SERVING)
        return cls(
            namespace=meta["namespace"],
            name=meta["name"],
            uid=meta["uid"],
            deployment=owner,
            ip=status.get("podIP", ""),
            ready=ready,
            unschedulable=not ready and conditions.get("PodScheduled", {}).get("reason") == "Unschedulable",
            created=seconds(meta.get("creationTimestamp")) or 0.0,
            serving=stage not in _OUT_OF_SERVICE,
            drained=stage == names.DRAINED,
            draining_since=_since(notes),
            deletion_cost=notes.get(names.ANNOTATION_DELETION_COST, ""),
            cost_before=notes.get(ANNOTATION_COST_BEFORE, ""),
            index=group_index(document),
            revision=revision_of(document),
        )


def _since(annotations: Document) -> float:
    try:
        return seconds(annotations.get(ANNOTATION_SINCE)) or 0.0
    except ValueError:
        # Nobody but us writes it; what is no time was written by hand and has waited long enough.
        return 0.0


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
        actuation: who writes the replicas; `None` until the operator has told.
        spec_prior: speed of a replica by its model and GPU; `None` if either is not known.
        lead: seconds from an order to a replica that serves, the median of the last ones; `None` until one was.
        footprint: what a replica takes of its namespace.
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
    actuation: Actuation | None = None
    spec_prior: Speed | None = None
    lead: float | None = None
    footprint: Footprint = field(default_factory=Footprint)

    @property
    def key(self) -> Key:
        """Return namespace and name."""
        return self.namespace, self.name

    @classmethod
    def keep(cls, document: Document) -> Self | None:
        """Return the deployment in `document`; `None` if it is being deleted or its spec cannot be read."""
        meta = document["metadata"]
        try:
            spec = Spec.model_validate(document["spec"])
            written = document.get("status") or {}
            status = AutoscalingStatus.model_validate(given) if (given := written.get("autoscaling")) else None
            serving = Serving.model_validate(given) if (given := written.get("serving")) else None
            actuation = Actuation.model_validate(given) if (given := written.get("actuation")) else None
            start = ColdStart.model_validate(given) if (given := written.get("coldStart")) else None
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
            actuation=actuation,
            spec_prior=prior_of(spec, serving.kv_cache_tokens if serving else None) if spec.autoscaling else None,
            lead=float(start.total_seconds) if start else None,
            footprint=Footprint.of(spec, written.get("conditions") or ()),
        )

"""The frozen picture that the pure rooms decide on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from autoglm_operator.api import names
from autoglm_operator.api.status import Condition
from autoglm_operator.api.v1alpha1 import Spec
from autoglm_operator.observe.autoscalers import Scaler
from autoglm_operator.observe.cluster import UNKNOWN_CLUSTER, Cluster
from autoglm_operator.observe.engine_log import EngineLog
from autoglm_operator.observe.pod import Pod
from autoglm_operator.observe.resource import read_conditions, read_spec

Document = dict[str, Any]
#: (apiVersion, kind, name) of a child; its namespace is that of its owner.
ChildRef = tuple[str, str, str]


def child_ref(obj: Document) -> ChildRef:
    """Return the reference of a child object."""
    return obj["apiVersion"], obj["kind"], obj["metadata"]["name"]


@dataclass(frozen=True, slots=True)
class Deployment:
    """An AutoGLMDeployment as read.

    Attributes:
        spec: parsed; `None` if it cannot be read, which the API server's schema normally prevents.
        spec_error: why it cannot be read.
        conditions: the last ones written, by type.
    """

    namespace: str
    name: str
    uid: str
    generation: int
    spec: Spec | None
    spec_error: str = ""
    deleting: bool = False
    conditions: Mapping[str, Condition] = field(default_factory=dict)
    status: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Self:
        """Return the deployment in `document`, an object as the API serves it."""
        meta, status = document["metadata"], document.get("status") or {}
        spec, problem = read_spec(Spec, document)
        return cls(
            namespace=meta["namespace"],
            name=meta["name"],
            uid=meta["uid"],
            generation=meta.get("generation", 0),
            spec=spec,
            spec_error=problem,
            deleting="deletionTimestamp" in meta,
            conditions=read_conditions(status),
            status=status,
        )


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything one reconcile looks at.

    Attributes:
        children: live objects controlled by the deployment.
        pods: its engine pods, the terminating ones included.
        kinds: optional kinds that the cluster serves, such as `PodMonitor`.
        now: seconds since the epoch.
        fetch_pods: newest pod of each download, by the name of its Job.
        cluster: what nodes and devices there are.
        model_config: `config.json` of the model, or why it could not be had; `None` if it was not looked for.
        logs: what the logs of engines said, by uid of the pod, as far as they were read.
        scalers: HPAs and ScaledObjects that act on the deployment or a child of its name, ours among them.
        hpas: HPAs in the whole cluster; `None` if not all of them can be seen.
    """

    deployment: Deployment
    children: Mapping[ChildRef, Document]
    pods: tuple[Pod, ...]
    kinds: frozenset[str]
    now: float
    fetch_pods: Mapping[str, Pod] = field(default_factory=dict)
    cluster: Cluster = UNKNOWN_CLUSTER
    model_config: Mapping[str, Any] | str | None = None
    logs: Mapping[str, EngineLog] = field(default_factory=dict)
    scalers: tuple[Scaler, ...] = ()
    hpas: int | None = None

    def child(self, kind: str) -> Document | None:
        """Return the child of `kind` that carries the deployment's name."""
        for (_, child_kind, name), document in self.children.items():
            if child_kind == kind and name == self.deployment.name:
                return document
        return None

    @property
    def workload(self) -> Document | None:
        """Return what makes the engine pods: a Deployment, or a LeaderWorkerSet for replicas of several nodes."""
        return self.child("Deployment") or self.child("LeaderWorkerSet")

    @property
    def template(self) -> str | None:
        """Return the hash of the newest pod template; `None` before there is a workload."""
        if self.workload is None:
            return None
        spec = self.workload["spec"]
        newest = spec.get("template") or spec["leaderWorkerTemplate"]["leaderTemplate"]
        stamp: str | None = (newest["metadata"].get("annotations") or {}).get(names.ANNOTATION_TEMPLATE)
        return stamp

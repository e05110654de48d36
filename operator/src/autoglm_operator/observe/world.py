"""The frozen picture that the pure rooms decide on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from pydantic import ValidationError

from autoglm_operator.api import names
from autoglm_operator.api.status import Condition
from autoglm_operator.api.v1alpha1 import Spec

Document = dict[str, Any]
#: One exit can be chance; the kubelet backs off from the second.
_CRASHES_TO_TELL: Final = 2
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
        spec, problem = None, ""
        try:
            spec = Spec.model_validate(document.get("spec") or {})
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in ("spec", *first["loc"]))
            problem = f"{where}: {first['msg']} (got {first['input']!r})"
        return cls(
            namespace=meta["namespace"],
            name=meta["name"],
            uid=meta["uid"],
            generation=meta.get("generation", 0),
            spec=spec,
            spec_error=problem,
            deleting="deletionTimestamp" in meta,
            conditions={item["type"]: Condition.model_validate(item) for item in status.get("conditions") or []},
            status=status,
        )


def deployment_of(pod: Mapping[str, Any]) -> str | None:
    """Return the name of the AutoGLMDeployment that an engine pod belongs to; `None` if it only looks like one.

    Labels can be copied by anybody who may create pods. A pod of ours is controlled by a ReplicaSet of the Deployment,
    which bears the deployment's name. That keeps out pods made by mistake or by other controllers; it proves nothing
    about somebody who forges owner references, who could as well change the Deployment: the right to create pods in a
    namespace includes the right to mislead its autoscaling, and only its own.
    """
    name = str((pod["metadata"].get("labels") or {}).get(names.LABEL_DEPLOYMENT, ""))
    made_by = [ref for ref in pod["metadata"].get("ownerReferences") or [] if ref.get("controller")]
    ours = any(ref["kind"] == "ReplicaSet" and ref["name"].rpartition("-")[0] == name for ref in made_by)
    return name if name and ours else None


@dataclass(frozen=True, slots=True)
class Pod:
    """What matters of an engine pod.

    Attributes:
        template: hash of the pod template that it was made from, as the template's annotation gave it.
        trouble: why its containers do not run, as (reason, message); `None` if nothing is wrong.
        unschedulable: the scheduler's message if no node takes it.
    """

    name: str
    template: str
    ready: bool
    terminating: bool
    trouble: tuple[str, str] | None = None
    unschedulable: str | None = None

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Self:
        """Return the pod in `document`."""
        meta, status = document["metadata"], document.get("status") or {}
        conditions = {item["type"]: item for item in status.get("conditions") or []}
        scheduled = conditions.get("PodScheduled", {})
        return cls(
            name=meta["name"],
            template=(meta.get("annotations") or {}).get(names.ANNOTATION_TEMPLATE, ""),
            ready=conditions.get("Ready", {}).get("status") == "True",
            terminating="deletionTimestamp" in meta,
            trouble=_trouble(status),
            unschedulable=scheduled.get("message", "") if scheduled.get("reason") == "Unschedulable" else None,
        )


def _trouble(status: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the first container's reason for not running that will not pass by itself."""
    for container in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        waiting = (container.get("state") or {}).get("waiting") or {}
        reason = waiting.get("reason", "")
        where = f"container {container['name']}"
        if reason in {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"}:
            return "ImageUnavailable", f"{where}: image {container['image']} cannot be pulled"
        if reason in {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}:
            return "ContainerNotCreated", f"{where}: {waiting.get('message') or reason}"
        if last := _crash(container):
            return "EngineCrashing", f"{where} keeps exiting: {_exit_words(last)}"
    return None


def _crash(container: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the last exit of a container that keeps exiting.

    Between two back-offs it runs, or has just ended, for a moment: that is the same trouble, not its end and return.
    """
    state = container.get("state") or {}
    ended: Mapping[str, Any] = state.get("terminated") or (container.get("lastState") or {}).get("terminated") or {}
    if (state.get("waiting") or {}).get("reason") == "CrashLoopBackOff":
        return ended or {"exitCode": "unknown"}
    again = container.get("restartCount", 0) >= _CRASHES_TO_TELL and not container.get("ready")
    return ended if again and ended.get("exitCode") else None


def _exit_words(terminated: Mapping[str, Any]) -> str:
    words = f"exit code {terminated.get('exitCode', 'unknown')}"
    if terminated.get("reason") == "OOMKilled":
        words += ", out of memory (raise resources.memory)"
    lines = (terminated.get("message") or "").strip().splitlines()
    return f"{words}; last line of its log: {lines[-1][:300]}" if lines else words


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything one reconcile looks at.

    Attributes:
        children: live objects controlled by the deployment.
        pods: its engine pods, the terminating ones included.
        kinds: optional kinds that the cluster serves, such as `PodMonitor`.
        now: seconds since the epoch.
    """

    deployment: Deployment
    children: Mapping[ChildRef, Document]
    pods: tuple[Pod, ...]
    kinds: frozenset[str]
    now: float

    def child(self, kind: str) -> Document | None:
        """Return the child of `kind` that carries the deployment's name."""
        for (_, child_kind, name), document in self.children.items():
            if child_kind == kind and name == self.deployment.name:
                return document
        return None

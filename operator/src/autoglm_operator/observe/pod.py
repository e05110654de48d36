"""Engine pods, as facts: what the cluster says of one, before anybody judges it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self

from autoglm_operator.api import names
from autoglm_operator.observe.owner import controller_of

Document = Mapping[str, Any]

#: What the LeaderWorkerSet controller writes on each pod of a group; the leader has worker index 0.
_GROUP_LABELS: Final = "leaderworkerset.sigs.k8s.io"
_GROUP_NAME: Final = f"{_GROUP_LABELS}/name"
_GROUP_WORKER: Final = f"{_GROUP_LABELS}/worker-index"
#: What tells pods of two templates apart: the hash that a Deployment, or a LeaderWorkerSet, labels its pods with.
_REVISIONS: Final = ("pod-template-hash", f"{_GROUP_LABELS}/template-revision-hash")


def deployment_of(pod: Document) -> str | None:
    """Return the name of the AutoGLMDeployment that an engine pod belongs to; `None` if it only looks like one.

    Labels can be copied by anybody who may create pods. A pod of ours is controlled by a ReplicaSet of the Deployment,
    which bears the deployment's name, or by a StatefulSet of its LeaderWorkerSet: that of the leaders bears the name
    too, and that of a group's workers the name of their leader. That keeps out pods made by mistake or by other
    controllers; it proves nothing about somebody who forges owner references, who could as well change the Deployment:
    the right to create pods in a namespace includes the right to mislead its autoscaling, and only its own.
    """
    meta = pod["metadata"]
    labels = meta.get("labels") or {}
    name = str(labels.get(names.LABEL_DEPLOYMENT, ""))
    maker = controller_of(pod)
    if not name or maker is None:
        return None
    if maker["kind"] == "ReplicaSet":
        return name if maker["name"].rpartition("-")[0] == name else None
    ours = (
        maker["kind"] == "StatefulSet"
        and labels.get(_GROUP_NAME) == name
        and (maker["name"] == name or _numbered(maker["name"], name))
        and _numbered(meta["name"], maker["name"])
    )
    return name if ours else None


def worker_index(pod: Document) -> int:
    """Return the pod's place in its group; 0 for a leader and for a pod without a group, which answer requests."""
    index = str((pod["metadata"].get("labels") or {}).get(_GROUP_WORKER, ""))
    return int(index) if index.isdecimal() else 0


def group_index(pod: Document) -> int | None:
    """Return the number of the group that a pod leads; `None` of a pod that is a replica by itself.

    The controllers of groups remove those of the highest numbers first, whatever state they are in.
    """
    labels = pod["metadata"].get("labels") or {}
    _, _, number = str(pod["metadata"]["name"]).rpartition("-")
    return int(number) if _GROUP_NAME in labels and number.isdecimal() else None


def revision_of(pod: Document) -> str:
    """Return what pods of one template have in common and pods of another do not; empty if nobody says."""
    labels = pod["metadata"].get("labels") or {}
    return next((str(labels[name]) for name in _REVISIONS if name in labels), "")


def _numbered(name: str, prefix: str) -> bool:
    """Whether `name` is `prefix` with a number, as StatefulSets name their pods."""
    head, _, number = name.rpartition("-")
    return head == prefix and number.isdecimal()


@dataclass(frozen=True, slots=True)
class Exit:
    """How a run of a container ended.

    Attributes:
        code: exit code; 128 and more: killed by signal code - 128. `None` if unknown.
        reason: the kubelet's word, such as `Error`, `OOMKilled` or `StartError`.
        message: what the container left as its last word: the end of its log, which the kubelet cuts to 2,048 bytes.
        ran: seconds that the run lasted; `None` if unknown.
    """

    code: int | None
    reason: str = ""
    message: str = ""
    ran: float | None = None


@dataclass(frozen=True, slots=True)
class Container:
    """The state of a container.

    Attributes:
        restarts: runs that ended and were followed by another.
        waiting: the kubelet's word for why it does not run, such as `ImagePullBackOff`; empty if it does not wait.
        waiting_message: the words that go with it.
        running_since: start of the present run, in seconds since the epoch.
        ended: whether it has ended and not yet been started again.
        last_exit: how the run before the present one ended; `None` if there was none.
    """

    name: str
    image: str = ""
    ready: bool = False
    restarts: int = 0
    waiting: str = ""
    waiting_message: str = ""
    running_since: float | None = None
    ended: bool = False
    last_exit: Exit | None = None

    @classmethod
    def parse(cls, status: Document) -> Self:
        """Return the container of a container status."""
        state = status.get("state") or {}
        waiting = state.get("waiting") or {}
        exit_ = state.get("terminated") or (status.get("lastState") or {}).get("terminated")
        return cls(
            name=status["name"],
            image=status.get("image", ""),
            ready=bool(status.get("ready")),
            restarts=status.get("restartCount", 0),
            waiting=waiting.get("reason", ""),
            waiting_message=waiting.get("message", ""),
            running_since=seconds((state.get("running") or {}).get("startedAt")),
            ended="terminated" in state,
            last_exit=_exit(exit_) if exit_ else None,
        )


def _exit(terminated: Document) -> Exit:
    start, end = seconds(terminated.get("startedAt")), seconds(terminated.get("finishedAt"))
    return Exit(
        code=terminated.get("exitCode"),
        reason=terminated.get("reason", ""),
        message=terminated.get("message", ""),
        ran=end - start if start and end else None,
    )


@dataclass(frozen=True, slots=True)
class Pod:
    """What matters of an engine pod. Times are seconds since the epoch, `None` if it has not happened.

    Attributes:
        template: hash of the pod template that it was made from, as the template's annotation gave it.
        worker: place in its group; 0 answers requests, the others only compute.
        node: empty until it has one.
        ip: empty until it has one.
        phase: `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
        reason: the kubelet's word for a pod that has failed as a whole, such as `Evicted`.
        message: the words that go with it.
        disruption: why it is about to be removed from its node, such as `DeletionByTaintManager`; empty if it is not.
        unschedulable: the scheduler's message if no node takes it.
        created: when the API server took it.
        scheduled: when it got its node.
        ready_since: when it last became ready.
        service: whether it is given requests, as its label says; empty if it has none.
        containers: sidecars first.
    """

    name: str
    template: str
    ready: bool
    terminating: bool
    uid: str = ""
    worker: int = 0
    node: str = ""
    ip: str = ""
    phase: str = ""
    reason: str = ""
    message: str = ""
    disruption: str = ""
    unschedulable: str | None = None
    created: float | None = None
    scheduled: float | None = None
    ready_since: float | None = None
    service: str = ""
    containers: tuple[Container, ...] = ()

    @classmethod
    def parse(cls, document: Document) -> Self:
        """Return the pod in `document`."""
        meta, status = document["metadata"], document.get("status") or {}
        conditions = {item["type"]: item for item in status.get("conditions") or []}
        ready, scheduled = conditions.get("Ready", {}), conditions.get("PodScheduled", {})
        disruption = conditions.get("DisruptionTarget", {})
        is_ready = ready.get("status") == "True"
        is_scheduled = scheduled.get("status") == "True"
        containers = (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ()))
        return cls(
            name=meta["name"],
            template=(meta.get("annotations") or {}).get(names.ANNOTATION_TEMPLATE, ""),
            ready=is_ready,
            terminating="deletionTimestamp" in meta,
            uid=meta.get("uid", ""),
            worker=worker_index(document),
            node=(document.get("spec") or {}).get("nodeName", ""),
            ip=status.get("podIP", ""),
            phase=status.get("phase", ""),
            reason=status.get("reason", ""),
            message=status.get("message", ""),
            disruption=disruption.get("reason", "") if disruption.get("status") == "True" else "",
            unschedulable=scheduled.get("message", "") if scheduled.get("reason") == "Unschedulable" else None,
            created=seconds(meta.get("creationTimestamp")),
            scheduled=seconds(scheduled.get("lastTransitionTime")) if is_scheduled else None,
            ready_since=seconds(ready.get("lastTransitionTime")) if is_ready else None,
            service=(meta.get("labels") or {}).get(names.LABEL_SERVING, ""),
            containers=tuple(Container.parse(item) for item in containers),
        )

    @property
    def ended(self) -> bool:
        """Whether it has run its course; its controller makes another in its place."""
        return self.phase in {"Failed", "Succeeded"}

    @property
    def engine(self) -> Container | None:
        """Return the container of the engine, if the kubelet has told of it."""
        return next((item for item in self.containers if item.name == names.ENGINE_CONTAINER), None)


def seconds(time: str | None) -> float | None:
    """Return an RFC 3339 time in seconds since the epoch; `None` for none.

    Raises:
        ValueError: it is not a time.
    """
    return datetime.fromisoformat(time).timestamp() if time else None

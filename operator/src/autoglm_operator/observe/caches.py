"""Local copies of everything a reconcile looks at, and the picture made of them."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, Final

from autoglm_operator.api import names
from autoglm_operator.kube.client import Client, Document
from autoglm_operator.kube.reflector import Key, Reflector, version_of, without_managed_fields
from autoglm_operator.observe.world import ChildRef, Deployment, Observed, Pod, child_ref, deployment_of

#: Kinds of children that every cluster serves.
CHILD_KINDS: Final = (
    ("v1", "ServiceAccount"),
    ("v1", "Service"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("policy/v1", "PodDisruptionBudget"),
    ("apps/v1", "Deployment"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
)
#: Kinds of children that only some clusters serve.
OPTIONAL_KINDS: Final = (("monitoring.coreos.com/v1", "PodMonitor"),)

Enqueue = Callable[[Key], None]


class Caches:
    """Reflectors of children and pods, the deployments themselves, and an index from owner to children.

    Attributes:
        deployments: AutoGLMDeployments by (namespace, name), kept by the watch that kopf runs.
        reflectors: to be run as tasks.
        kinds: optional kinds that the cluster served at start.
    """

    def __init__(
        self, client: Client, namespaces: Iterable[str], optional: Iterable[tuple[str, str]], enqueue: Enqueue
    ) -> None:
        self.deployments: dict[Key, Document] = {}
        self.kinds = frozenset(kind for _, kind in optional)
        self._enqueue = enqueue
        self._children: dict[str, dict[ChildRef, Document]] = defaultdict(dict)
        self._pods: dict[Key, dict[str, Pod]] = defaultdict(dict)
        selector = f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY}"
        scopes = tuple(namespaces)
        self.reflectors = [
            Reflector(
                client, version, kind, scopes, label_selector=selector, keep=_child, on_change=self._child_changed
            )
            for version, kind in (*CHILD_KINDS, *optional)
        ]
        self._by_kind = {reflector.kind: reflector for reflector in self.reflectors}
        self.reflectors.append(
            Reflector(client, "v1", "Pod", scopes, label_selector=selector, keep=_pod, on_change=self._pod_changed)
        )

    @property
    def synced(self) -> bool:
        """Whether every reflector has listed once."""
        return all(reflector.synced for reflector in self.reflectors)

    def silence_seconds(self) -> float:
        """Return the longest time that a stream has been silent."""
        return max(reflector.silence_seconds() for reflector in self.reflectors)

    def observe(self, key: Key) -> Observed | None:
        """Return the picture of one deployment, or `None` if it does not exist."""
        document = self.deployments.get(key)
        if document is None:
            return None
        deployment = Deployment.parse(document)
        return Observed(
            deployment=deployment,
            children=dict(self._children.get(deployment.uid, {})),
            pods=tuple(self._pods.get(key, {}).values()),
            kinds=self.kinds,
            now=time.time(),
        )

    def store(self, document: Document) -> bool:
        """Take over an AutoGLMDeployment as read or written; return whether it was news.

        Events arrive after the answers to our own writes: an older version of what is known is dropped.
        """
        key = (document["metadata"]["namespace"], document["metadata"]["name"])
        known = self.deployments.get(key)
        if known is not None and version_of(known) >= version_of(document):
            return False
        # A copy: the caller's document may be shared with kopf.
        self.deployments[key] = without_managed_fields({**document, "metadata": dict(document["metadata"])})
        return True

    def put(self, written: Iterable[Document]) -> None:
        """Take over children just written, so that the next reconcile does not see the ones before."""
        for document in written:
            self._by_kind[document["kind"]].store(document)

    def forget(self, key: Key) -> None:
        """Drop a deployment that is gone; its children and pods go when their own streams say so."""
        self.deployments.pop(key, None)

    def _child_changed(self, key: Key, old: Document | None, new: Document | None) -> None:
        for uid in _controllers(old):
            _drop(self._children, uid, child_ref(old or {}))
        for uid in _controllers(new):
            self._children[uid][child_ref(new or {})] = new or {}
        # Children carry the name of their owner.
        self._enqueue(key)

    def _pod_changed(self, key: Key, old: "_LabelledPod | None", new: "_LabelledPod | None") -> None:
        namespace, name = key
        if old is not None:
            _drop(self._pods, (namespace, old[1]), name)
        if new is not None:
            self._pods[(namespace, new[1])][name] = new[0]
        for owner in {item[1] for item in (old, new) if item is not None}:
            self._enqueue((namespace, owner))


_LabelledPod = tuple[Pod, str]


def _drop(index: dict[Any, dict[Any, Any]], owner: Any, entry: Any) -> None:
    """Remove `entry` from the index, and its owner's row once that is empty."""
    if owner in index:
        index[owner].pop(entry, None)
        if not index[owner]:
            del index[owner]


def _pod(document: Document) -> _LabelledPod | None:
    owner = deployment_of(document)
    return None if owner is None else (Pod.parse(document), owner)


def _child(document: Document) -> Document:
    """Return the child without what changes often and is read by nobody."""
    document = without_managed_fields(document)
    if document["kind"] == "HorizontalPodAutoscaler":
        conditions = (document.get("status") or {}).get("conditions")
        document["status"] = {"conditions": conditions} if conditions else {}
    return document


def _controllers(document: Document | None) -> list[Any]:
    references = document["metadata"].get("ownerReferences") or [] if document else []
    return [reference["uid"] for reference in references if reference.get("controller")]

"""Local copies of everything a reconcile looks at, and the picture made of them."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, Final

from autoglm_operator.api import names
from autoglm_operator.kube.client import Client, Document
from autoglm_operator.kube.reflector import Key, Reflector, without_managed_fields
from autoglm_operator.observe.world import ChildRef, Deployment, Observed, Pod, child_ref

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
        if known is not None and _version(known) >= _version(document):
            return False
        self.deployments[key] = document
        return True

    def put(self, written: Iterable[Document]) -> None:
        """Take over objects just written, so that the next reconcile does not see the ones before."""
        for document in written:
            for uid in _controllers(document):
                self._children[uid][child_ref(document)] = _child(document)

    def forget(self, key: Key) -> None:
        """Drop a deployment that is gone."""
        if document := self.deployments.pop(key, None):
            self._children.pop(document["metadata"]["uid"], None)
        self._pods.pop(key, None)

    def _child_changed(self, key: Key, old: Document | None, new: Document | None) -> None:
        for document, present in ((old, False), (new, True)):
            if document is None:
                continue
            for uid in _controllers(document):
                if present:
                    self._children[uid][child_ref(document)] = document
                else:
                    self._children[uid].pop(child_ref(document), None)
        # Children carry the name of their owner.
        self._enqueue(key)

    def _pod_changed(self, key: Key, old: "_LabelledPod | None", new: "_LabelledPod | None") -> None:
        namespace, name = key
        owner = (new or old or (None, ""))[1]
        if new is None:
            self._pods[(namespace, owner)].pop(name, None)
        else:
            self._pods[(namespace, owner)][name] = new[0]
        self._enqueue((namespace, owner))


_LabelledPod = tuple[Pod, str]


def _pod(document: Document) -> _LabelledPod:
    return Pod.parse(document), document["metadata"]["labels"].get(names.LABEL_DEPLOYMENT, "")


def _child(document: Document) -> Document:
    """Return the child without what changes often and is read by nobody."""
    document = without_managed_fields(document)
    if document["kind"] == "HorizontalPodAutoscaler":
        conditions = (document.get("status") or {}).get("conditions")
        document["status"] = {"conditions": conditions} if conditions else {}
    return document


def _version(document: Document) -> int:
    # Comparable by contract since Kubernetes 1.35, and numbers of one sequence ever since etcd 3.
    return int(document["metadata"]["resourceVersion"])


def _controllers(document: Document) -> list[Any]:
    references = document["metadata"].get("ownerReferences") or []
    return [reference["uid"] for reference in references if reference.get("controller")]

"""Local copies of everything a reconcile looks at, and the picture made of them."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from autoglm_operator.api import names
from autoglm_operator.kube.client import Client, Document
from autoglm_operator.kube.reflector import Key, Reflector, version_of, without_managed_fields
from autoglm_operator.observe.autoscalers import HPA, SCALED_OBJECT, Scalers
from autoglm_operator.observe.cluster import UNKNOWN_CLUSTER, Cluster
from autoglm_operator.observe.fetch import fetch_pod_of
from autoglm_operator.observe.owner import controller_of
from autoglm_operator.observe.pod import Pod, deployment_of
from autoglm_operator.observe.world import ChildRef, Deployment, Observed, child_ref

#: Kinds of children that every cluster serves.
CHILD_KINDS: Final = (
    ("v1", "ServiceAccount"),
    ("v1", "Service"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("policy/v1", "PodDisruptionBudget"),
    ("v1", "PersistentVolumeClaim"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "DaemonSet"),
    ("batch/v1", "Job"),
    HPA,
)
#: Kinds of children that only some clusters serve.
OPTIONAL_KINDS: Final = (
    ("monitoring.coreos.com/v1", "PodMonitor"),
    ("monitoring.coreos.com/v1", "PrometheusRule"),
    ("resource.k8s.io/v1", "ResourceClaimTemplate"),
    ("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet"),
    SCALED_OBJECT,
)

Enqueue = Callable[[Key], None]


def unknown_cluster() -> Cluster:
    """Return the picture of a cluster that nothing is known of."""
    return UNKNOWN_CLUSTER


class Caches:
    """Reflectors of children and pods, the deployments themselves, and an index from owner to children.

    Attributes:
        deployments: AutoGLMDeployments by (namespace, name), kept by the watch that kopf runs.
        reflectors: to be run as tasks.
        kinds: optional kinds that the cluster served at start.
    """

    def __init__(
        self,
        client: Client,
        namespaces: Iterable[str],
        optional: Iterable[tuple[str, str]],
        enqueue: Enqueue,
        cluster: Callable[[], Cluster] = unknown_cluster,
    ) -> None:
        self.deployments: dict[Key, Document] = {}
        self._cluster = cluster
        self._enqueue = enqueue
        self._children: dict[str, dict[ChildRef, Document]] = defaultdict(dict)
        self._pods: dict[Key, dict[str, Pod]] = defaultdict(dict)
        self._fetch_pods: dict[Key, dict[str, _FetchPod]] = defaultdict(dict)
        selector = f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY}"
        scopes, served = tuple(namespaces), tuple(optional)
        self.kinds = frozenset(kind for _, kind in served)
        self.reflectors = [
            Reflector(
                client, version, kind, scopes, label_selector=selector, keep=_child, on_change=self._child_changed
            )
            for version, kind in (*CHILD_KINDS, *served)
        ]
        self._by_kind = {reflector.kind: reflector for reflector in self.reflectors}
        self.reflectors.append(
            Reflector(client, "v1", "Pod", scopes, label_selector=selector, keep=_pod, on_change=self._pod_changed)
        )
        self._scalers = Scalers(client, scopes, served, self._scalers_changed)
        self.reflectors += self._scalers.reflectors

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
            fetch_pods=_newest(self._fetch_pods.get(key, {}).values()),
            kinds=self.kinds,
            cluster=self._cluster(),
            now=time.time(),
            scalers=self._scalers.on(key),
            hpas=self._scalers.hpas,
        )

    def ready_addresses(self, key: Key) -> tuple[str, ...]:
        """Return the addresses of the pods of a deployment that answer requests."""
        pods = self._pods.get(key, {}).values()
        return tuple(sorted(pod.ip for pod in pods if pod.ready and pod.ip and not pod.worker and not pod.terminating))

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
        owners = {(key[0], owner) for document in (old, new) for owner in _owners(document)}
        # An object of a name that a deployment needs may have been in its way without belonging to it.
        for owner in sorted(owners | ({key} & self.deployments.keys())):
            self._enqueue(owner)

    def _scalers_changed(self, key: Key) -> None:
        # Most HPAs of a cluster scale what is not ours.
        if key in self.deployments:
            self._enqueue(key)

    def _pod_changed(self, key: Key, old: "_KeptPod | None", new: "_KeptPod | None") -> None:
        namespace, name = key
        if old is not None:
            _drop(self._pods if old.job is None else self._fetch_pods, (namespace, old.deployment), name)
        if new is not None:
            index: dict[Key, dict[str, Any]] = self._pods if new.job is None else self._fetch_pods
            index[(namespace, new.deployment)][name] = new.pod if new.job is None else (new.job, new.pod)
        for owner in {item.deployment for item in (old, new) if item is not None}:
            self._enqueue((namespace, owner))


_FetchPod = tuple[str, Pod]


@dataclass(frozen=True, slots=True)
class _KeptPod:
    """A pod with its AutoGLMDeployment, and with its Job if it is a download."""

    pod: Pod
    deployment: str
    job: str | None = None


def _newest(pods: Iterable[_FetchPod]) -> dict[str, Pod]:
    """Return the newest pod of each Job."""
    return dict(sorted(pods, key=lambda item: item[1].created or 0.0))


def _drop(index: dict[Any, dict[Any, Any]], owner: Any, entry: Any) -> None:
    """Remove `entry` from the index, and its owner's row once that is empty."""
    if owner in index:
        index[owner].pop(entry, None)
        if not index[owner]:
            del index[owner]


def _pod(document: Document) -> _KeptPod | None:
    owner = deployment_of(document)
    if owner is not None:
        return _KeptPod(Pod.parse(document), owner)
    fetch = fetch_pod_of(document)
    return None if fetch is None else _KeptPod(Pod.parse(document), *fetch)


def _child(document: Document) -> Document:
    """Return the child without what changes often and is read by nobody."""
    document = without_managed_fields(document)
    if document["kind"] in (HPA[1], SCALED_OBJECT[1]):
        conditions = (document.get("status") or {}).get("conditions")
        document["status"] = {"conditions": conditions} if conditions else {}
    return document


def _owners(document: Document | None) -> list[str]:
    """Return the names of the AutoGLMDeployments that control the object."""
    maker = controller_of(document) if document else None
    return [maker["name"]] if maker and maker["kind"] == names.KIND else []


def _controllers(document: Document | None) -> list[Any]:
    maker = controller_of(document) if document else None
    return [maker["uid"]] if maker else []

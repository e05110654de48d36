"""Local copies of AutoGLMBenchmarks, their Jobs and pods, and the picture made of them."""

import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from autoglm_operator.api import names
from autoglm_operator.kube.client import Client, Document
from autoglm_operator.kube.reflector import Key, Reflector
from autoglm_operator.observe.benchmark import (
    BENCH_CONTAINER,
    JOB_LABEL,
    LABEL_BENCHMARK,
    Benchmark,
    ObservedBenchmark,
    Run,
)
from autoglm_operator.observe.caches import Caches
from autoglm_operator.observe.owner import controller_of
from autoglm_operator.observe.pod import Pod
from autoglm_operator.observe.world import ChildRef, child_ref

Enqueue = Callable[[Key], None]

#: Kinds of children of a benchmark.
CHILD_KINDS: Final = (("batch/v1", "Job"), ("batch/v1", "CronJob"), ("networking.k8s.io/v1", "NetworkPolicy"))


class BenchmarkCaches:
    """Reflectors of benchmarks, their Jobs, CronJobs and NetworkPolicies, and their pods.

    Args:
        client: asks the API server.
        namespaces: to follow; empty means all.
        enqueue: called with the benchmark that something happened to.
        targets: AutoGLMDeployments and their pods, as the operator keeps them.

    Attributes:
        reflectors: to be run as tasks.
    """

    def __init__(
        self,
        client: Client,
        namespaces: Iterable[str],
        enqueue: Enqueue,
        targets: Caches,
    ) -> None:
        scopes = tuple(namespaces)
        self._enqueue = enqueue
        self._targets = targets
        self._benchmarks = Reflector(
            client, names.API_VERSION, names.BENCHMARK.kind, scopes, on_change=self._benchmark_changed
        )
        self._children = {
            kind: Reflector(
                client, version, kind, scopes, label_selector=LABEL_BENCHMARK, on_change=self._child_changed
            )
            for version, kind in CHILD_KINDS
        }
        self._pods = Reflector(
            client, "v1", "Pod", scopes, label_selector=LABEL_BENCHMARK, keep=_kept, on_change=self._pod_changed
        )
        #: Pods that are gone, with the last word that they left, for as long as their Jobs are there.
        self._gone: dict[Key, Pod] = {}
        self.reflectors = [self._benchmarks, *self._children.values(), self._pods]

    @property
    def keys(self) -> list[Key]:
        """Return every benchmark that is known."""
        return list(self._benchmarks.items)

    def document(self, key: Key) -> Document | None:
        """Return a benchmark as read; `None` if there is none."""
        found: Document | None = self._benchmarks.items.get(key)
        return found

    def store(self, document: Document) -> None:
        """Take over a benchmark as the API server returned it to a write."""
        self._benchmarks.store(document)

    def put(self, written: Iterable[Document]) -> None:
        """Take over children just written."""
        for document in written:
            self._children[document["kind"]].store(document)

    def observe(self, key: Key) -> ObservedBenchmark | None:
        """Return the picture of one benchmark, or `None` if it does not exist."""
        document = self.document(key)
        if document is None:
            return None
        benchmark = Benchmark.parse(document)
        spec = benchmark.spec
        ref = spec.target.deployment_ref if spec else None
        other = (key[0], spec.baseline.name) if spec and spec.baseline else None
        baseline = self.document(other) if other else None
        owners = {benchmark.uid}
        children: dict[ChildRef, Document] = {}
        for reflector in reversed(self._children.values()):
            # CronJobs first: what they control is the benchmark's too.
            for found in reflector.items.values():
                if found["metadata"]["namespace"] == key[0] and _controller(found) in owners:
                    owners |= {found["metadata"]["uid"]} if found["kind"] == "CronJob" else set()
                    children[child_ref(found)] = found
        jobs = [found for (_, kind, _), found in children.items() if kind == "Job"]
        own = {ref: found for ref, found in children.items() if _controller(found) == benchmark.uid}
        return ObservedBenchmark(
            benchmark=benchmark,
            children=own,
            runs=sorted((Run.of(job, self._newest_pod(key[0], job)) for job in jobs), key=lambda run: run.created),
            now=time.time(),
            deployment=self._targets.deployments.get((key[0], ref.name)) if ref else None,
            engines=self._targets.ready_addresses((key[0], ref.name)) if ref else (),
            baseline=Benchmark.parse(baseline) if baseline else None,
        )

    def _newest_pod(self, namespace: str, job: Document) -> Pod | None:
        name = job["metadata"]["name"]
        pods = [pod for (where, _), (_, of, pod) in self._pods.items.items() if (where, of) == (namespace, name)]
        return max(pods, key=lambda pod: pod.created or 0.0, default=self._gone.get((namespace, name)))

    def _benchmark_changed(self, key: Key, *_: Document | None) -> None:
        self._enqueue(key)
        # Those that wait for a baseline.
        for other, document in list(self._benchmarks.items.items()):
            named = ((document.get("spec") or {}).get("baseline") or {}).get("name")
            if other[0] == key[0] and named == key[1]:
                self._enqueue(other)

    def _child_changed(self, key: Key, old: Document | None, new: Document | None) -> None:
        if old is not None and new is None:
            self._gone.pop(key, None)
        for document in (old, new):
            if document is not None:
                self._enqueue((key[0], document["metadata"]["labels"][LABEL_BENCHMARK]))

    def _pod_changed(self, key: Key, old: Any, new: Any) -> None:
        if old is not None and new is None:
            self._remember(key[0], old[1], old[2])
        for kept in (old, new):
            if kept is not None:
                self._enqueue((key[0], kept[0]))

    def _remember(self, namespace: str, job: str, pod: Pod) -> None:
        """Keep a pod that was removed after its run, as one that is deleted in mid-run is: it has the last word."""
        exited = any(one.name == BENCH_CONTAINER and one.last_exit for one in pod.containers)
        if exited and (namespace, job) in self._children["Job"].items:
            self._gone[namespace, job] = pod


def _controller(document: Document) -> str | None:
    maker = controller_of(document)
    return maker["uid"] if maker else None


def _kept(document: Document) -> tuple[str, str, Pod]:
    labels = document["metadata"]["labels"]
    return labels[LABEL_BENCHMARK], labels.get(JOB_LABEL, ""), Pod.parse(document)

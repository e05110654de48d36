"""Wiring of the operator process: kopf, caches, queue, leader election, health."""

import asyncio
import logging
import os
from collections.abc import Iterable
from typing import Final

import httpx
import kopf

from autoglm_operator.api import names
from autoglm_operator.apply.sync import Synchroniser
from autoglm_operator.benchmark_controller import BenchmarkController
from autoglm_operator.decide.diagnosis import tells
from autoglm_operator.errors import Gone
from autoglm_operator.handlers import build_registry, build_settings
from autoglm_operator.kube import resources
from autoglm_operator.kube.client import Client, Document
from autoglm_operator.kube.connection import Connection, from_environment
from autoglm_operator.kube.errors import ApiError, KubeError
from autoglm_operator.kube.lease import LeaderElector, LeadershipLost
from autoglm_operator.kube.reflector import Key, version_of
from autoglm_operator.lookups import Lookups
from autoglm_operator.metrics import Metrics
from autoglm_operator.observe.caches import OPTIONAL_KINDS, Caches
from autoglm_operator.observe.cluster_cache import ClusterCache, other_kinds
from autoglm_operator.observe.engine_log import EngineLogs
from autoglm_operator.observe.model_config import ModelConfigs
from autoglm_operator.reconcile import Reconciler
from autoglm_operator.report.reporter import Reporter
from autoglm_operator.report.series import show
from autoglm_operator.settings import Settings
from autoglm_operator.telemetry import serve_health, setup_tracing
from autoglm_operator.workqueue import WorkQueue

logger = logging.getLogger(__name__)

_WORKERS: Final = 16
_BENCHMARKS: Final = (names.API_VERSION, names.BENCHMARK.kind)
#: Kinds that are followed where the cluster serves them: CRDs may be older than the operator.
_OPTIONAL: Final = (*OPTIONAL_KINDS, _BENCHMARKS)
_RESYNC_SECONDS: Final = 600.0
_SILENT_SECONDS: Final = 180.0
_OLDEST_KEY_SECONDS: Final = 120.0
_START_SECONDS: Final = 120.0


class Stopped(Exception):  # noqa: N818  # says what happened
    """The process was told to stop."""


class OperatorProcess:
    """One replica of the operator."""

    def __init__(
        self, settings: Settings, client: Client, metrics: Metrics, optional: Iterable[tuple[str, str]]
    ) -> None:
        self._settings = settings
        self._client = client
        self._metrics = metrics
        self._queue = WorkQueue(metrics)
        served = tuple(optional)
        # Which nodes there are is told to cluster-wide operators alone; in namespaces, the picture says it is unknown.
        self.cluster = ClusterCache(client, served, self._look_at_all)
        children = [kind for kind in served if kind != _BENCHMARKS]
        self.caches = Caches(client, settings.watch_namespaces, children, self._queue.add, self.cluster.picture)
        self._served = served
        self._elector = LeaderElector(client, settings.pod_namespace, "autoglm-operator", settings.pod_name)
        synchroniser = Synchroniser(client, self._assert_leader)
        reporter = Reporter(client, settings.pod_name, self._assert_leader)
        lookups = Lookups(
            EngineLogs(client, tells) if settings.read_engine_logs else None,
            ModelConfigs(httpx.AsyncClient()) if settings.read_model_configs else None,
        )
        self._reconciler = Reconciler(self.caches, lookups, synchroniser, reporter, settings.images)
        self._benchmarks = BenchmarkController(settings, client, metrics, self._assert_leader, self.caches)
        self._followed = self.caches.reflectors
        if _BENCHMARKS in served:
            self._followed = [*self.caches.reflectors, *self._benchmarks.caches.reflectors]
        self._listed = asyncio.Event()
        # A standby's queue fills and nobody works on it: that is no delay.
        metrics.queue_depth.set_function(lambda: self._queue.depth if self._elector.is_leader else 0)
        metrics.queue_age.set_function(lambda: self._queue.oldest_seconds() if self._elector.is_leader else 0.0)
        metrics.leader.set_function(lambda: float(self._elector.is_leader))

    def _look_at_all(self) -> None:
        for key in list(self.caches.deployments):
            self._queue.add(key)

    def _assert_leader(self) -> None:
        if not self._elector.is_leader:
            raise LeadershipLost("this replica no longer leads; it stops before writing")

    def not_live(self) -> str | None:
        """Say why the kubelet should restart this replica, or `None`."""
        if self.caches.silence_seconds() > _SILENT_SECONDS:
            return f"no word from the API server for {self.caches.silence_seconds():.0f} s"
        if self._elector.is_leader and self._queue.oldest_seconds() > _OLDEST_KEY_SECONDS:
            return f"a deployment has waited {self._queue.oldest_seconds():.0f} s for a reconcile"
        return None

    def not_ready(self) -> str | None:
        """Say why this replica could not lead now, or `None`; a warm standby is ready."""
        return None if self._listed.is_set() and self.caches.synced else "caches are not filled yet"

    def on_event(self, change: str | None, document: Document) -> None:
        """Take what the watch of AutoGLMDeployments brings."""
        key = (document["metadata"]["namespace"], document["metadata"]["name"])
        if change == "DELETED":
            # kopf orders the events of one object, not those of an object and its successor of the same name.
            known = self.caches.deployments.get(key)
            if known is None or known["metadata"]["uid"] == document["metadata"]["uid"]:
                self._forget(key)
        elif self.caches.store(document):
            self._queue.add(key)

    def _forget(self, key: Key) -> None:
        if document := self.caches.deployments.get(key):
            self._reconciler.forget(key, document["metadata"]["uid"])
        self.caches.forget(key)
        self._metrics.forget(*key)

    async def run(self) -> None:
        """Run until cancelled.

        Raises:
            LeadershipLost: another replica leads or the Lease could not be renewed.
        """
        async with asyncio.TaskGroup() as tasks:
            for reflector in self._followed:
                tasks.create_task(reflector.run())
            tasks.create_task(self.cluster.run())
            tasks.create_task(self._watch_kinds())
            tasks.create_task(self._watch_deployments())
            tasks.create_task(self._elector.run())
            tasks.create_task(self._resync())
            await self._wait_ready()
            await self._elector.wait_elected()
            logger.info("leading", extra={"deployments": len(self.caches.deployments)})
            self._look_at_all()
            for _ in range(_WORKERS):
                tasks.create_task(self._queue.work(self._work))
            self._benchmarks.start(tasks)

    async def _wait_ready(self) -> None:
        try:
            async with asyncio.timeout(_START_SECONDS):
                for reflector in self._followed:
                    await reflector.wait_synced()
                await self.cluster.wait_settled()
                await self._listed.wait()
        except TimeoutError:
            missing = [reflector.kind for reflector in self._followed if not reflector.synced]
            raise SystemExit(
                f"not started within {_START_SECONDS:.0f} s: could not list {', '.join(missing) or names.KIND}; "
                "check that the CRD is installed and that the ServiceAccount may list these"
            ) from None

    async def _watch_deployments(self) -> None:
        namespaces = self._settings.watch_namespaces
        registry = build_registry(self.on_event, kubeconfig="KUBECONFIG" in os.environ)
        tasks = await kopf.spawn_tasks(
            registry=registry,
            settings=build_settings(namespaced=bool(namespaces)),
            standalone=True,
            # Otherwise kopf asks the system for the user's name, which the user id of a pod does not have.
            identity=self._settings.pod_name,  # type: ignore[arg-type]  # a NewType that kopf does not export
            namespaces=namespaces,
            clusterwide=not namespaces,
        )
        # Not `kopf.run_tasks`: it takes every task of the process for its own and waits 5 s for them.
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            # The one that ends without an error is the one that waits for a signal; everything else stops with it.
            raise Stopped
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch_kinds(self) -> None:
        """Stop once the cluster serves other optional kinds: the next start follows those."""
        await other_kinds(self._client, _OPTIONAL, self._served)
        raise Stopped

    async def _resync(self) -> None:
        """List the deployments at start and from time to time: kopf's watch does not tell of what it missed."""
        while True:
            try:
                await self._list_deployments()
                self._listed.set()
            except KubeError as error:
                logger.warning("deployments not listed", extra={"error": str(error)})
            await asyncio.sleep(_RESYNC_SECONDS if self._listed.is_set() else 1.0)

    async def _list_deployments(self) -> None:
        for namespace in self._settings.watch_namespaces or (None,):
            path = resources.path(names.API_VERSION, names.KIND, namespace)
            documents, version = await self._client.list_all(path)
            listed = {(document["metadata"]["namespace"], document["metadata"]["name"]) for document in documents}
            for key, known in list(self.caches.deployments.items()):
                # One that is newer than the list came by the watch meanwhile.
                if namespace in (None, key[0]) and key not in listed and version_of(known) <= int(version):
                    self._forget(key)
            for document in documents:
                self.caches.store(document)
            for key in listed:
                self._queue.add(key)

    async def _work(self, key: Key) -> float | None:
        self._assert_leader()
        start = asyncio.get_running_loop().time()
        try:
            outcome = await self._reconciler.reconcile(key)
        except LeadershipLost:
            raise
        except Gone:
            self._forget(key)
            return None
        except Exception as error:  # one deployment that cannot be reconciled must not stop the others
            asked = error.retry_after if isinstance(error, ApiError) else 0.0
            delay = max(self._queue.backoff(key), asked)
            fields = {
                "namespace": key[0],
                "deployment": key[1],
                "error": str(error),
                "retry_in_seconds": round(delay, 2),
            }
            logger.warning("reconcile failed", extra=fields, exc_info=not isinstance(error, KubeError))
            self._metrics.reconciles.labels("error").inc()
            return delay
        self._queue.succeeded(key)
        self._metrics.reconciles.labels(outcome.result).inc()
        self._metrics.reconcile_seconds.observe(asyncio.get_running_loop().time() - start, outcome.exemplar)
        for document in outcome.applied.written:
            self._metrics.writes.labels(document["kind"], "apply").inc()
        for _, kind, _ in outcome.applied.deleted:
            self._metrics.writes.labels(kind, "delete").inc()
        known = self.caches.deployments.get(key)
        if outcome.health is not None and known is not None:
            show(self._metrics, key, outcome.health, outcome.plan, known.get("status") or {})
        return outcome.after


def _connection() -> Connection:
    try:
        return from_environment(dict(os.environ))
    except ValueError as error:
        raise SystemExit(str(error)) from None


async def _optional_kinds(client: Client) -> list[tuple[str, str]]:
    """Return the optional kinds that the cluster serves; an API server that is away is waited for, not died of."""
    while True:
        try:
            return [item for item in _OPTIONAL if await client.serves(*item)]
        except KubeError as error:
            logger.warning("API server not ready", extra={"error": str(error)})
            await asyncio.sleep(1.0)


async def run_operator(settings: Settings) -> None:
    """Run one replica until it is told to stop or loses the Lease."""
    metrics = Metrics()
    flush = setup_tracing(
        "autoglm-operator",
        settings.otlp_endpoint,
        metrics.count_spans,
        ratio=settings.trace_ratio,
        namespace=settings.pod_namespace,
        pod=settings.pod_name,
    )
    try:
        async with Client(_connection(), metrics.observe_request) as client:
            process = OperatorProcess(settings, client, metrics, await _optional_kinds(client))
            health = await serve_health(
                settings.health_port, process.not_live, process.not_ready, metrics.exposition.render
            )
            try:
                await process.run()
            finally:
                await health.cleanup()
    finally:
        flush()

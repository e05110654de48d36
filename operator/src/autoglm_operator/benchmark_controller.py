"""Wiring of the part of the operator that runs AutoGLMBenchmarks: caches, queue, reconciler."""

import asyncio
import logging
from typing import Final

from autoglm_operator.apply.sync import Synchroniser
from autoglm_operator.benchmarks import BenchmarkReconciler
from autoglm_operator.kube.client import Client
from autoglm_operator.kube.errors import ApiError, KubeError
from autoglm_operator.kube.lease import LeadershipLost, MayWrite
from autoglm_operator.kube.reflector import Key
from autoglm_operator.metrics import Metrics
from autoglm_operator.observe.benchmark_caches import BenchmarkCaches
from autoglm_operator.observe.benchmark_progress import ProgressLogs
from autoglm_operator.observe.caches import Caches
from autoglm_operator.report.benchmark import BenchmarkReporter
from autoglm_operator.report.benchmark_series import show_benchmark
from autoglm_operator.settings import Settings
from autoglm_operator.workqueue import WorkQueue

logger = logging.getLogger(__name__)

_WORKERS: Final = 2


class BenchmarkController:
    """Follows AutoGLMBenchmarks and brings their runs about.

    Args:
        settings: of the process.
        client: asks the API server.
        metrics: of the process.
        may_write: raises in a process that may no longer write.
        targets: AutoGLMDeployments and their pods.

    Attributes:
        caches: to be run and waited for with those of the deployments.
    """

    def __init__(
        self,
        settings: Settings,
        client: Client,
        metrics: Metrics,
        may_write: MayWrite,
        targets: Caches,
    ) -> None:
        self._queue = WorkQueue()
        self._metrics = metrics
        self._may_write = may_write
        self.caches = BenchmarkCaches(client, settings.watch_namespaces, self._queue.add, targets)
        self._reconciler = BenchmarkReconciler(
            self.caches,
            ProgressLogs(client) if settings.read_engine_logs else None,
            Synchroniser(client, may_write),
            BenchmarkReporter(client, settings.pod_name, may_write),
            settings.images,
        )

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Start to work, as the leader."""
        for key in self.caches.keys:
            self._queue.add(key)
        for _ in range(_WORKERS):
            tasks.create_task(self._queue.work(self._work))

    async def _work(self, key: Key) -> float | None:
        self._may_write()
        try:
            health, after = await self._reconciler.reconcile(key)
        except LeadershipLost:
            raise
        except Exception as error:  # one benchmark that cannot be reconciled must not stop the others
            asked = error.retry_after if isinstance(error, ApiError) else 0.0
            delay = max(self._queue.backoff(key), asked)
            fields = {"namespace": key[0], "benchmark": key[1], "error": str(error), "retry_in_seconds": delay}
            logger.warning("benchmark not reconciled", extra=fields, exc_info=not isinstance(error, KubeError))
            return delay
        self._queue.succeeded(key)
        document = self.caches.document(key)
        if health is None or document is None:
            self._metrics.forget_benchmark(*key)
        else:
            show_benchmark(self._metrics, key, health, document.get("status") or {})
        return after

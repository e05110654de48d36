"""AutoGLMBenchmarks: the five steps, observe → decide → render → apply → report, and what calls them."""

import logging
import time
from dataclasses import replace
from typing import Final

from autoglm_operator.apply.sync import RETRY_REJECTED_SECONDS, Synchroniser
from autoglm_operator.decide.benchmark import newest, plan_benchmark
from autoglm_operator.decide.benchmark_health import BenchmarkHealth, judge_benchmark, refused_benchmark
from autoglm_operator.decide.reasons import Reason
from autoglm_operator.errors import Gone, ReconcileError, Waiting
from autoglm_operator.kube.reflector import Key
from autoglm_operator.observe.benchmark import ObservedBenchmark
from autoglm_operator.observe.benchmark_caches import BenchmarkCaches
from autoglm_operator.observe.benchmark_progress import ProgressLogs
from autoglm_operator.observe.world import ChildRef
from autoglm_operator.render.benchmark import benchmark_child
from autoglm_operator.render.benchmark_network import benchmark_network_policy
from autoglm_operator.render.bundle import stamped
from autoglm_operator.report.benchmark import BenchmarkReporter
from autoglm_operator.settings import Images
from autoglm_operator.tracing import current_span, passing

logger = logging.getLogger(__name__)

#: Between two looks at a run that is under way: its progress is a status write each time.
_PROGRESS_SECONDS: Final = 10.0


class BenchmarkReconciler:
    """Reconciles one AutoGLMBenchmark at a time, by key.

    Args:
        progress: reads how far a run is; `None` if logs may not be read.
    """

    def __init__(
        self,
        caches: BenchmarkCaches,
        progress: ProgressLogs | None,
        synchroniser: Synchroniser,
        reporter: BenchmarkReporter,
        images: Images,
    ) -> None:
        self._caches = caches
        self._progress = progress
        self._synchroniser = synchroniser
        self._reporter = reporter
        self._images = images

    async def reconcile(self, key: Key) -> tuple[BenchmarkHealth | None, float | None]:
        """Bring the Job of one benchmark about, and say in its status how it is.

        Returns:
            The judgement, `None` if the benchmark is gone; and the seconds until it is worth looking again.

        Raises:
            KubeError: the API server failed; to be tried again.
        """
        namespace, name = key
        attributes: dict[str, str | int] = {"k8s.namespace.name": namespace, "autoglm.benchmark.name": name}
        with passing("reconcile AutoGLMBenchmark", time.time_ns(), attributes) as made:
            observed = self._caches.observe(key)
            if observed is None or observed.benchmark.deleting:
                return None, None
            health, after = await self._bring_about(observed)
            made.attributes["autoglm.outcome"] = health.verdicts[0].reason
            try:
                answer = await self._reporter.report(observed.benchmark, health, observed.now)
            except Gone:
                return None, None
            if answer is not None:
                self._caches.store(answer)
            return health, after

    async def _bring_about(self, observed: ObservedBenchmark) -> tuple[BenchmarkHealth, float | None]:
        key = (observed.benchmark.namespace, observed.benchmark.name)
        owner = self._caches.document(key) or {}
        try:
            plan = plan_benchmark(observed)
            # Before the pods that it is about.
            desired = [stamped(benchmark_network_policy(observed.benchmark, plan.spec))]
            keep: set[ChildRef] = set()
            if plan.start or plan.spec.schedule is not None:
                desired.append(stamped(benchmark_child(observed.benchmark, plan, self._images)))
            else:
                # What a Job runs cannot be changed, and need not be: another spec is another Job.
                keep = {("batch/v1", "Job", run.job) for run in observed.runs if run.asked == plan.asked}
            applied = await self._synchroniser.sync(owner, desired, observed.children, keep)
            self._caches.put(applied.written)
            if applied.rejected:
                raise Waiting(Reason.CHILD_REJECTED, "; ".join(applied.rejected), RETRY_REJECTED_SECONDS)
            current = newest(observed, plan)
            under_way = current is not None and current.ended is None
            if current is not None and under_way and self._progress is not None:
                observed = replace(observed, progress=await self._progress.read(key[0], current))
            return judge_benchmark(observed, plan), _PROGRESS_SECONDS if under_way else None
        except ReconcileError as error:
            logger.warning(
                "benchmark refused",
                extra={"namespace": key[0], "benchmark": key[1], "reason": error.reason, "refusal": str(error)},
            )
            current_span().add_event("refused", {"reason": error.reason, "sentence": str(error)})
            return refused_benchmark(error), error.after if isinstance(error, Waiting) else None

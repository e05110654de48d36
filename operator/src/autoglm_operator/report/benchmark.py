"""Writes what was judged of a benchmark: its status when it says something new, and the events that go with it."""

from typing import Any

from autoglm_operator.api import names
from autoglm_operator.decide.benchmark_health import BenchmarkHealth
from autoglm_operator.kube.client import Client, Document
from autoglm_operator.kube.lease import MayWrite
from autoglm_operator.observe.benchmark import Benchmark
from autoglm_operator.report.events import event
from autoglm_operator.report.status import condition, differs
from autoglm_operator.report.writing import post_event, write_status


def benchmark_status(benchmark: Benchmark, health: BenchmarkHealth, now: float) -> dict[str, Any]:
    """Return the status, as an object for server-side apply on `/status`."""
    status: dict[str, Any] = {
        "observedGeneration": benchmark.generation,
        "conditions": [
            condition(benchmark.conditions.get(verdict.type), verdict, benchmark.generation, now)
            for verdict in health.verdicts
        ],
    }
    if health.job:
        status["job"] = health.job
    if health.progress is not None:
        status["progress"] = health.progress.model_dump(by_alias=True, exclude_none=True)
    # The last result outlives its Job.
    if last := health.last or benchmark.status.get("lastRun"):
        status["lastRun"] = last
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.BENCHMARK.kind,
        "metadata": {"name": benchmark.name, "namespace": benchmark.namespace, "uid": benchmark.uid},
        "status": status,
    }


class BenchmarkReporter:
    """Writes status and events of benchmarks.

    Args:
        client: writes them.
        instance: name of this replica in events.
        may_write: raises in a process that may no longer write; called before each write.
    """

    def __init__(self, client: Client, instance: str, may_write: MayWrite) -> None:
        self._client = client
        self._instance = instance
        self._may_write = may_write

    async def report(self, benchmark: Benchmark, health: BenchmarkHealth, now: float) -> Document | None:
        """Write status and events, and return the benchmark as it is then; `None` if all was said before.

        Raises:
            Gone: the benchmark does not exist any more.
        """
        document = benchmark_status(benchmark, health, now)
        stale = {key for key in ("job", "progress") if key in benchmark.status and key not in document["status"]}
        if not stale and not differs(document, benchmark.status):
            return None
        answer = await write_status(self._client, self._may_write, document)
        for notice in health.notices:
            made = event(
                names.BENCHMARK.kind,
                benchmark,
                notice.kind,
                notice.reason,
                notice.message,
                instance=self._instance,
                now=now,
            )
            await post_event(self._client, self._may_write, made)
        return answer

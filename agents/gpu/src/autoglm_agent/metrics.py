"""The metrics of the agent: the catalogue, and the collector that fills it from the last snapshot."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector, CollectorRegistry

from autoglm_agent import __version__
from autoglm_agent.device import GpuSample
from autoglm_agent.engine import EngineStatus
from autoglm_agent.sampler import Snapshot
from autoglm_agent.state import StateSource


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: what `/metrics`, the docs and the dashboards know of it."""

    name: str
    type: Literal["counter", "gauge"]
    help: str
    labels: tuple[str, ...] = ()
    unit: str = ""

    def family(self) -> GaugeMetricFamily | CounterMetricFamily:
        """Return the metric without values."""
        kind = CounterMetricFamily if self.type == "counter" else GaugeMetricFamily
        return kind(self.name, self.help, labels=self.labels, unit=self.unit)


_GPU: Final = ("gpu", "uuid", "product")

MEMORY_USED: Final = Metric(
    "autoglm_gpu_memory_used_bytes", "gauge", "GPU memory in use, by all processes.", _GPU, "bytes"
)
MEMORY_TOTAL: Final = Metric("autoglm_gpu_memory_total_bytes", "gauge", "Memory of the GPU.", _GPU, "bytes")
UTILIZATION: Final = Metric(
    "autoglm_gpu_utilization_ratio",
    "gauge",
    "Share of the last driver period in which a kernel ran; absent where the GPU does not tell, as with MIG.",
    _GPU,
    "ratio",
)
SAMPLE_AGE: Final = Metric(
    "autoglm_gpu_sample_age_seconds",
    "gauge",
    "Time since the GPU last answered; its other metrics are left out once they are stale.",
    _GPU,
    "seconds",
)
ENGINE_UP: Final = Metric(
    "autoglm_engine_up", "gauge", "1 if the engine answered the last GET /health with 200; absent if nobody checks."
)
ENGINE_CHECK_AGE: Final = Metric(
    "autoglm_engine_check_age_seconds", "gauge", "Time since the last check of the engine ended.", (), "seconds"
)
SOURCE_INFO: Final = Metric(
    "autoglm_agent_source_info",
    "gauge",
    "Where the GPU metrics come from: nvml, replay (synthetic) or none (no GPU seen).",
    ("source",),
)
READ_ERRORS: Final = Metric(
    "autoglm_agent_read_errors_total", "counter", "Failed reads of GPUs by reason.", ("source", "reason")
)
BUILD_INFO: Final = Metric("autoglm_agent_build_info", "gauge", "Version of the agent.", ("version",))

CATALOGUE: Final = (
    MEMORY_USED,
    MEMORY_TOTAL,
    UTILIZATION,
    SAMPLE_AGE,
    ENGINE_UP,
    ENGINE_CHECK_AGE,
    SOURCE_INFO,
    READ_ERRORS,
    BUILD_INFO,
)

_Row = tuple[Metric, tuple[str, ...], float]


class AgentCollector(Collector):
    """Yields the families of the catalogue out of the present state; a scrape never touches a GPU."""

    def __init__(self, state: StateSource) -> None:
        self._state = state

    def describe(self) -> Iterable[Family]:
        """Return every family without values, which keeps registering from collecting."""
        return [metric.family() for metric in CATALOGUE]

    def collect(self) -> Iterable[Family]:
        """Return every family that has a value."""
        state = self._state()
        families = {metric: metric.family() for metric in CATALOGUE}
        for rows in (_gpus(state.snapshot, state.now), _engine(state.engine, state.now), _agent(state.snapshot)):
            for metric, labels, value in rows:
                families[metric].add_metric(labels, value)
        return [family for family in families.values() if family.samples]


def registry(state: StateSource) -> CollectorRegistry:
    """Return a registry with the agent's metrics only."""
    result = CollectorRegistry(auto_describe=False)
    result.register(AgentCollector(state))
    return result


def _gpus(snapshot: Snapshot, now: float) -> Iterator[_Row]:
    for sample in snapshot.samples.values():
        labels = (str(sample.index), sample.uuid, sample.name)
        yield SAMPLE_AGE, labels, now - sample.taken
        if sample.fresh(now):
            for metric, value in _readings(sample):
                if value is not None:
                    yield metric, labels, value


def _readings(sample: GpuSample) -> Iterator[tuple[Metric, float | None]]:
    yield MEMORY_USED, sample.memory_used_bytes
    yield MEMORY_TOTAL, sample.memory_total_bytes
    yield UTILIZATION, sample.utilization


def _engine(engine: EngineStatus, now: float) -> Iterator[_Row]:
    if engine.checked is None:
        return
    yield ENGINE_CHECK_AGE, (), now - engine.checked
    if engine.fresh(now):
        yield ENGINE_UP, (), float(engine.alive(now))


def _agent(snapshot: Snapshot) -> Iterator[_Row]:
    yield SOURCE_INFO, (snapshot.source,), 1.0
    yield BUILD_INFO, (__version__,), 1.0
    for reason, count in snapshot.errors.items():
        yield READ_ERRORS, (snapshot.source, reason), count

"""OTLP metrics to a collector, under the names of OpenTelemetry's conventions for hardware and for GenAI servers.

Imported only when an endpoint is configured: the SDK takes memory that an agent without a collector does not need.
What is sent is the present state, counters and histograms cumulative: a collector that was away has missed nothing
that the next export does not carry, so nothing is kept for it.
"""

import importlib
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from autoglm_agent import __version__
from autoglm_agent.device import GpuSample
from autoglm_agent.engine.names import Latency
from autoglm_agent.engine.view import Figures
from autoglm_agent.faults import worst
from autoglm_agent.otlp_setting import Setting
from autoglm_agent.state import State, StateSource
from autoglm_agent.xid import Action

_logger = logging.getLogger(__name__)

_GAUGE: Final = "gauge"
_COUNTER: Final = "counter"
_AMOUNT: Final = "updowncounter"

#: Field of `device.GpuSample` → name, unit, kind and attributes. The last four have no convention of their own.
GPU_NAMES: Final[Mapping[str, tuple[str, str, str, Mapping[str, str]]]] = {
    "utilization": ("hw.gpu.utilization", "1", _GAUGE, {"hw.gpu.task": "general"}),
    "memory_used_bytes": ("hw.gpu.memory.usage", "By", _AMOUNT, {}),
    "memory_total_bytes": ("hw.gpu.memory.limit", "By", _AMOUNT, {}),
    "pcie_sent_bytes": ("hw.gpu.io", "By", _COUNTER, {"network.io.direction": "transmit"}),
    "pcie_received_bytes": ("hw.gpu.io", "By", _COUNTER, {"network.io.direction": "receive"}),
    "ecc_corrected": ("hw.errors", "{error}", _COUNTER, {"error.type": "ecc_corrected"}),
    "ecc_uncorrected": ("hw.errors", "{error}", _COUNTER, {"error.type": "ecc_uncorrected"}),
    "temperature_celsius": ("hw.temperature", "Cel", _GAUGE, {}),
    "power_watts": ("hw.power", "W", _GAUGE, {}),
    "energy_joules": ("hw.energy", "J", _COUNTER, {}),
    "sm_utilization": ("autoglm.gpu.sm.utilization", "1", _GAUGE, {}),
    "sm_occupancy": ("autoglm.gpu.sm.occupancy", "1", _GAUGE, {}),
    "tensor_utilization": ("autoglm.gpu.tensor.utilization", "1", _GAUGE, {}),
    "dram_utilization": ("autoglm.gpu.dram.utilization", "1", _GAUGE, {}),
}
LATENCY_NAMES: Final = {
    Latency.TTFT: "gen_ai.server.time_to_first_token",
    Latency.ITL: "gen_ai.server.time_per_output_token",
    Latency.E2E: "gen_ai.server.request.duration",
}
_STATES: Final = ("ok", "degraded", "failed")
_UNKNOWN_START: Final = 0

_Point = tuple[str, str, str, Mapping[str, str], float]


class OtlpExport:
    """Sends the state to a collector; one thread calls `export`.

    Args:
        exporter: of the OpenTelemetry SDK.
        state: returns the present state.
        wall_clock: Unix time in seconds.

    Attributes:
        failures: exports that no collector took.
    """

    def __init__(self, exporter: MetricExporter, state: StateSource, wall_clock: Callable[[], float]) -> None:
        self._exporter = exporter
        self._state = state
        self._wall_clock = wall_clock
        self._resource = Resource.create({"service.name": "autoglm-agent", "service.version": __version__})
        self._working = True
        self.failures = 0

    def export(self) -> None:
        """Send the present state once; the exporter bounds the time."""
        data = metrics_data(self._state(), self._resource, int(self._wall_clock() * 1e9))
        try:
            taken = self._exporter.export(data) is MetricExportResult.SUCCESS
        except Exception as error:  # noqa: BLE001  # whatever a collector or its address does must not end the agent
            _logger.debug("export failed", extra={"error": repr(error)})
            taken = False
        self.failures += not taken
        if taken is not self._working:
            self._working = taken
            _logger.log(
                logging.INFO if taken else logging.WARNING,
                "OTLP collector takes metrics again" if taken else "OTLP collector takes no metrics",
            )


def exporter(setting: Setting) -> MetricExporter:
    """Return the exporter for a setting; it reads address, headers and certificates from OTEL_EXPORTER_OTLP_*.

    Raises:
        ImportError: the exporter of the protocol is not installed.
    """
    # The SDK's own words on each failed attempt would fill the log; what matters is said once above.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    flavour = "grpc" if setting.grpc else "http"
    module = importlib.import_module(f"opentelemetry.exporter.otlp.proto.{flavour}.metric_exporter")
    made: MetricExporter = module.OTLPMetricExporter()
    return made


def metrics_data(state: State, resource: Resource, now: int) -> MetricsData:
    """Return the state as OTLP data.

    Args:
        state: what to send.
        resource: whose it is.
        now: Unix time in nanoseconds.
    """
    scope = InstrumentationScope("autoglm_agent", __version__)
    found: dict[str, tuple[str, str, list[NumberDataPoint]]] = {}
    for name, unit, kind, attributes, value in _points(state):
        point = NumberDataPoint(attributes, _UNKNOWN_START, now, value)
        found.setdefault(name, (unit, kind, []))[2].append(point)
    metrics = [_metric(name, unit, kind, points) for name, (unit, kind, points) in found.items()]
    if figures := state.report.fresh(state.now):
        metrics += _histograms(figures, _server(state, figures), now)
    return MetricsData([ResourceMetrics(resource, [ScopeMetrics(scope, metrics, "")], "")])


def _metric(name: str, unit: str, kind: str, points: list[NumberDataPoint]) -> Metric:
    if kind == _GAUGE:
        return Metric(name, "", unit, Gauge(points))
    return Metric(name, "", unit, Sum(points, AggregationTemporality.CUMULATIVE, is_monotonic=kind == _COUNTER))


def _points(state: State) -> Iterator[_Point]:
    for sample in state.snapshot.fresh(state.now):
        device = _device(state, sample)
        for field, (name, unit, kind, attributes) in GPU_NAMES.items():
            value = getattr(sample, field)
            if value is not None:
                yield name, unit, kind, {**device, **attributes}, value
        used, total = sample.memory_used_bytes, sample.memory_total_bytes
        if used is not None and total:
            yield "hw.gpu.memory.utilization", "1", _GAUGE, device, used / total
        now = _status(state, sample)
        for each in _STATES:
            yield "hw.status", "1", _AMOUNT, {**device, "hw.state": each}, int(each == now)
    if figures := state.report.fresh(state.now):
        server = _server(state, figures)
        for name, unit, value in _engine(figures):
            if value is not None:
                yield name, unit, _GAUGE, server, value


def _engine(figures: Figures) -> Iterator[tuple[str, str, float | None]]:
    sample = figures.sample
    yield "autoglm.engine.requests.running", "{request}", sample.running
    yield "autoglm.engine.requests.waiting", "{request}", sample.waiting
    yield "autoglm.engine.kv_cache.utilization", "1", sample.kv_cache
    yield "autoglm.engine.prefix_cache.hit_ratio", "1", figures.prefix_hit_ratio
    yield "autoglm.engine.token.rate", "{token}/s", figures.generation_rate


def _device(state: State, sample: GpuSample) -> dict[str, str]:
    found = {
        "hw.id": sample.uuid,
        "hw.type": "gpu",
        "hw.name": sample.name,
        "hw.vendor": "NVIDIA",
        "hw.parent": sample.parent_uuid,
        "hw.driver_version": state.snapshot.driver,
    }
    return {key: value for key, value in found.items() if value}


def _status(state: State, sample: GpuSample) -> str:
    mine = [fault for fault in state.snapshot.faults if fault.gpu in {"", sample.uuid, sample.parent_uuid}]
    if not mine:
        return "ok"
    return "degraded" if worst(mine) is Action.NONE else "failed"


def _server(state: State, figures: Figures) -> dict[str, str]:
    found = {
        # The engines tell no operations apart; AutoGLM's clients chat.
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": figures.sample.kind.value,
        "gen_ai.request.model": (state.report.models or ("",))[0],
    }
    return {key: value for key, value in found.items() if value}


def _histograms(figures: Figures, attributes: Mapping[str, str], now: int) -> Iterator[Metric]:
    sample = figures.sample
    for latency, name in LATENCY_NAMES.items():
        histogram, total = sample.histograms.get(latency), sample.totals.get(latency)
        if histogram is None or total is None:
            continue
        below = (0.0, *histogram.counts[:-1])
        counts = [int(count - less) for count, less in zip(histogram.counts, below, strict=True)]
        extremes: Any = None  # an engine keeps neither the least nor the largest
        point = HistogramDataPoint(
            attributes=attributes,
            start_time_unix_nano=_UNKNOWN_START,
            time_unix_nano=now,
            count=sum(counts),
            sum=total.seconds,
            bucket_counts=counts,
            explicit_bounds=histogram.bounds,
            min=extremes,
            max=extremes,
        )
        yield Metric(name, "", "s", Histogram([point], AggregationTemporality.CUMULATIVE))

"""The instruments of one process, made from its catalogue, and what `/metrics` answers.

Series about AutoGLMDeployments are kept as the lines that they are: there are dozens for each deployment, few change
between two scrapes, and prometheus-client takes a second to write those of a thousand deployments. Negotiation and the
lines that describe a metric are prometheus-client's own; a test holds what is written equal to what it would write.
"""

import itertools
import platform
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Final

from opentelemetry import trace
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, disable_created_metrics
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, choose_encoder, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from autoglm_operator.metric import BENCHMARK, DEPLOYMENT, Label, Metric, Per

#: Namespace and name of an AutoGLMDeployment.
Key = tuple[str, str]
#: Values of the labels of one series, without namespace and name.
Own = tuple[str, ...]

_EOF: Final = "# EOF\n"
#: Texts of labels that are kept for each metric; models and versions that come and go must not pile up.
_MOST_TEXTS: Final = 1024
_OPENMETRICS: Final = "application/openmetrics-text"

#: What prometheus-client tells of any process.
STANDARD: Final = (
    Metric("process_virtual_memory_bytes", "gauge", "bytes", "Virtual memory size in bytes."),
    Metric("process_resident_memory_bytes", "gauge", "bytes", "Resident memory size in bytes."),
    Metric("process_start_time_seconds", "gauge", "seconds", "Start time of the process since unix epoch in seconds."),
    Metric("process_cpu_seconds_total", "counter", "seconds", "Total user and system CPU time spent in seconds."),
    Metric("process_open_fds", "gauge", "", "Number of open file descriptors."),
    Metric("process_max_fds", "gauge", "", "Maximum number of open file descriptors."),
    Metric(
        "python_info",
        "gauge",
        "",
        "Python platform information",
        tuple(
            Label(name, f"The {name} of Python.", Per.PROCESS)
            for name in ("implementation", "major", "minor", "patchlevel", "version")
        ),
    ),
)


class ObjectSeries(Collector):
    """The series of one metric, of every object of a kind.

    Args:
        metric: whose first labels are `owner`.
        owner: labels of namespace and name of an object of the kind.
    """

    def __init__(self, metric: Metric, owner: tuple[Label, ...] = DEPLOYMENT) -> None:
        if metric.labels[: len(owner)] != owner:
            raise ValueError(
                f"metric {metric.name}: the first labels are {metric.label_names}; expected namespace, name"
            )
        self.metric = metric
        self._own = metric.label_names[len(owner) :]
        self._values: dict[Key, dict[Own, float]] = {}
        self._lines: dict[Key, str] = {}
        self._texts: dict[Own, str] = {}
        self.heads: Final = _heads(self)

    def replace(self, key: Key, values: Mapping[Own, float]) -> None:
        """Make these the only series of a deployment; what is not among them is gone."""
        if self._values.get(key, {}) == values:
            return
        for own in values:
            self._check(own)
        self._lines.pop(key, None)
        if values:
            self._values[key] = dict(values)
        else:
            self._values.pop(key, None)

    def set(self, key: Key, value: float, *own: str) -> None:
        """Set one series of a deployment and leave its others."""
        self._check(own)
        self._values.setdefault(key, {})[own] = value
        self._lines.pop(key, None)

    def add(self, key: Key, amount: float, *own: str) -> None:
        """Add to one series of a deployment, which begins at 0.

        Raises:
            ValueError: it would lower a counter.
        """
        if not amount >= 0 and self.metric.type == "counter":
            raise ValueError(f"metric {self.metric.name}: {amount} added; a counter takes 0 or more")
        self.set(key, self._values.get(key, {}).get(own, 0.0) + amount, *own)

    def forget(self, key: Key) -> None:
        """Drop the series of a deployment that is gone."""
        self.replace(key, {})

    def _check(self, own: Own) -> None:
        if len(own) != len(self._own):
            raise ValueError(f"metric {self.metric.name}: values {own}; expected one for each of {self._own}")

    def describe(self) -> Iterable[Family]:
        """Return the metric without series."""
        return [_family(self.metric)]

    def collect(self) -> Iterable[Family]:
        """Return the metric with every series, as prometheus-client wants them."""
        family = _family(self.metric)
        for key, values in self._values.items():
            for own, value in values.items():
                labels = dict(zip(self.metric.label_names, (*key, *own), strict=True))
                family.add_sample(self.metric.name, labels, value)
        return [family]

    def lines(self) -> Iterator[str]:
        """Yield the lines of each deployment."""
        for key in self._values.keys() - self._lines.keys():
            self._lines[key] = self._written(key)
        return iter(self._lines.values())

    def _written(self, key: Key) -> str:
        whose = f"{self.metric.name}{{{_pairs(self.metric.label_names, key)}"
        lines = []
        for own, value in self._values[key].items():
            text = self._texts.get(own) or self._own_text(own)
            lines.append(f"{whose}{text}}} {_number(value)}\n")
        return "".join(lines)

    def _own_text(self, own: Own) -> str:
        """Return the own labels of a series as text, which most deployments have in common."""
        if len(self._texts) >= _MOST_TEXTS:
            self._texts.clear()
        text = self._texts[own] = "".join(
            f",{_pairs((name,), (value,))}" for name, value in zip(self._own, own, strict=True)
        )
        return text


class Exposition:
    """The instruments of one process, and what it answers a scrape."""

    def __init__(self) -> None:
        # Twice the counters, and nobody reads them.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # prometheus_client has no types here
        #: Everything, for those who want values and not text.
        self.registry = CollectorRegistry()
        self._plain = CollectorRegistry()
        self._series: list[ObjectSeries] = []
        self._of_kind: dict[tuple[Label, ...], list[ObjectSeries]] = {}
        self._register(ProcessCollector(registry=None))
        self._register(PlatformCollector(registry=None))

    def _register(self, collector: Collector) -> None:
        self.registry.register(collector)
        self._plain.register(collector)

    def counter(self, metric: Metric, *, from_zero: bool = False) -> Counter:
        """Make a counter of the process.

        Args:
            metric: what it counts.
            from_zero: make every series that it can have at once, so that a query sees the first event of each too,
                and what never happened is 0 and not absent. Its labels must be closed lists.
        """
        made = Counter(metric.name, metric.help, metric.label_names, unit=metric.unit, registry=None)
        if from_zero:
            for values in itertools.product(*(label.bound for label in metric.labels)):  # type: ignore[arg-type]
                made.labels(*values)
        self._register(made)
        return made

    def gauge(self, metric: Metric) -> Gauge:
        """Make a gauge of the process."""
        made = Gauge(metric.name, metric.help, metric.label_names, unit=metric.unit, registry=None)
        self._register(made)
        return made

    def histogram(self, metric: Metric) -> Histogram:
        """Make a histogram of the process."""
        made = Histogram(
            metric.name, metric.help, metric.label_names, unit=metric.unit, buckets=metric.buckets, registry=None
        )
        self._register(made)
        return made

    def build_info(self, metric: Metric, version: str) -> None:
        """Make the metric that says what runs."""
        made = Info(metric.name.removesuffix("_info"), metric.help, registry=None)
        made.info({"version": version, "python": platform.python_version()})
        self._register(made)

    def deployments(self, metric: Metric) -> ObjectSeries:
        """Make a metric of which each AutoGLMDeployment has series of its own."""
        return self._objects(metric, DEPLOYMENT)

    def benchmarks(self, metric: Metric) -> ObjectSeries:
        """Make a metric of which each AutoGLMBenchmark has series of its own."""
        return self._objects(metric, BENCHMARK)

    def _objects(self, metric: Metric, owner: tuple[Label, ...]) -> ObjectSeries:
        made = ObjectSeries(metric, owner)
        self.registry.register(made)
        self._series.append(made)
        self._of_kind.setdefault(owner, []).append(made)
        return made

    def forget(self, key: Key, owner: tuple[Label, ...] = DEPLOYMENT) -> None:
        """Drop every series of an object that is gone, a deployment unless its kind's labels are given."""
        for series in self._of_kind.get(owner, []):
            series.forget(key)

    def render(self, accept: str) -> tuple[str, bytes]:
        """Return content type and body of `/metrics`.

        Args:
            accept: the request's header of that name.
        """
        wants_openmetrics = choose_encoder(accept)[1].startswith(_OPENMETRICS)
        content_type = openmetrics.CONTENT_TYPE_LATEST if wants_openmetrics else CONTENT_TYPE_PLAIN_0_0_4
        parts = [_text(self._plain, content_type)]
        for series in self._series:
            parts.append(series.heads[content_type])
            parts += series.lines()
        if wants_openmetrics:
            parts.append(_EOF)
        return content_type, "".join(parts).encode()


def exemplar() -> dict[str, str] | None:
    """Return what leads from an observation to the active span; `None` if nobody will ever see that span."""
    span = trace.get_current_span()
    context = span.get_span_context()
    if not span.is_recording() or not context.trace_flags.sampled:
        return None
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}


def _text(registry: CollectorRegistry, content_type: str) -> str:
    """Return what prometheus-client writes, without the end mark of OpenMetrics."""
    if content_type == CONTENT_TYPE_PLAIN_0_0_4:
        return generate_latest(registry).decode()
    written: bytes = openmetrics.generate_latest(registry)  # type: ignore[no-untyped-call]  # prometheus_client
    return written.decode().removesuffix(_EOF)


def _heads(collector: Collector) -> dict[str, str]:
    """Return the describing lines of a collector that has no series yet, by content type."""
    registry = CollectorRegistry()
    registry.register(collector)
    return {each: _text(registry, each) for each in (CONTENT_TYPE_PLAIN_0_0_4, openmetrics.CONTENT_TYPE_LATEST)}


def _family(metric: Metric) -> Family:
    """Return the metric without series."""
    suffix = {"counter": "_total", "info": "_info"}.get(metric.type, "")
    return Family(metric.name.removesuffix(suffix), metric.help, metric.type, metric.unit)


@lru_cache(_MOST_TEXTS)
def _number(value: float) -> str:
    """Return the number as text; nearly all are 0, 1 or small."""
    text: str = floatToGoString(value)  # type: ignore[no-untyped-call]  # prometheus_client has no types here
    return text


def _pairs(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=False))


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")

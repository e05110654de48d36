"""Metrics of the autoscaler process: the catalogue, and the registry made from it."""

from collections.abc import Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from autoglm_operator.autoscaler.pods import Key
from autoglm_operator.metrics import Metric

_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

SCRAPES_TOTAL: Final = Metric(
    "autoglm_autoscaler_scrapes_total",
    "counter",
    "Scrapes by target (engine, agent) and result: ok, or why there is no sample: timeout, refused, http, too_large, "
    "malformed, invalid, incomplete.",
    ("target", "result"),
)
SCRAPE_SECONDS: Final = Metric("autoglm_autoscaler_scrape_duration_seconds", "histogram", "Time of one scrape.")
TICK_SECONDS: Final = Metric(
    "autoglm_autoscaler_tick_duration_seconds",
    "histogram",
    "Time of one deployment's tick: scrape of all its pods, snapshot and decision.",
)
LAST_TICK: Final = Metric(
    "autoglm_autoscaler_last_tick_timestamp_seconds", "gauge", "Unix time at which the last tick began."
)
DECISIONS_TOTAL: Final = Metric(
    "autoglm_autoscaler_decisions_total",
    "counter",
    "Changes of the replicas wanted, by reason and direction: up, down.",
    ("reason", "direction"),
)
SIGNAL: Final = Metric(
    "autoglm_autoscaler_signal",
    "gauge",
    "What the metrics API serves for each AutoGLMDeployment, in base units; absent while it has no fresh value.",
    ("namespace", "name", "metric"),
)
API_REQUESTS_TOTAL: Final = Metric(
    "autoglm_autoscaler_metrics_api_requests_total",
    "counter",
    "Requests to the custom metrics API by HTTP status code.",
    ("code",),
)
API_SECONDS: Final = Metric(
    "autoglm_autoscaler_metrics_api_request_duration_seconds",
    "histogram",
    "Time of one request to the custom metrics API, access review included.",
)
REQUESTS_TOTAL: Final = Metric(
    "autoglm_autoscaler_api_requests_total",
    "counter",
    "Requests to the Kubernetes API by verb and HTTP status code; code 0 means no answer.",
    ("verb", "code"),
)
LEADER: Final = Metric("autoglm_autoscaler_leader", "gauge", "1 while this replica holds the Lease and writes status.")

CATALOGUE: Final = (
    SCRAPES_TOTAL,
    SCRAPE_SECONDS,
    TICK_SECONDS,
    LAST_TICK,
    DECISIONS_TOTAL,
    SIGNAL,
    API_REQUESTS_TOTAL,
    API_SECONDS,
    REQUESTS_TOTAL,
    LEADER,
)


class Metrics:
    """The metrics of one autoscaler process, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.scrapes = self._counter(SCRAPES_TOTAL)
        self.scrape_seconds = self._histogram(SCRAPE_SECONDS)
        self.tick_seconds = self._histogram(TICK_SECONDS)
        self.last_tick = self._gauge(LAST_TICK)
        self.decisions = self._counter(DECISIONS_TOTAL)
        self.signal = self._gauge(SIGNAL)
        self.api_requests = self._counter(API_REQUESTS_TOTAL)
        self.api_seconds = self._histogram(API_SECONDS)
        self.requests = self._counter(REQUESTS_TOTAL)
        self.leader = self._gauge(LEADER)

    def _counter(self, metric: Metric) -> Counter:
        return Counter(metric.name, metric.help, metric.labels, registry=self.registry)

    def _gauge(self, metric: Metric) -> Gauge:
        return Gauge(metric.name, metric.help, metric.labels, registry=self.registry)

    def _histogram(self, metric: Metric) -> Histogram:
        return Histogram(metric.name, metric.help, registry=self.registry, buckets=_SECONDS)

    def observe_request(self, verb: str, code: int, _seconds: float) -> None:
        """Count one request to the Kubernetes API."""
        self.requests.labels(verb, str(code)).inc()

    def observe_scrape(self, target: str, failure: str, seconds: float) -> None:
        """Count one scrape; `failure` is empty if it gave a sample."""
        self.scrapes.labels(target, failure or "ok").inc()
        self.scrape_seconds.observe(seconds)

    def publish(self, key: Key, old: Mapping[str, float], new: Mapping[str, float]) -> None:
        """Show the values of one deployment in place of its old ones."""
        for metric in old.keys() - new.keys():
            self.signal.remove(*key, metric)
        for metric, value in new.items():
            if old.get(metric) != value:
                self.signal.labels(*key, metric).set(value)

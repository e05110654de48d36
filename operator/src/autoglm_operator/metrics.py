"""Metrics of the operator process: the catalogue, and the registry made from it.

Names follow controller-runtime where it has one for the same thing.
"""

from dataclasses import dataclass
from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: what `/metrics`, the docs and the dashboards know of it."""

    name: str
    type: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()


RECONCILE_TOTAL: Final = Metric(
    "autoglm_operator_reconcile_total",
    "counter",
    "Reconciles by result: success, waiting, terminal, error.",
    ("result",),
)
RECONCILE_SECONDS: Final = Metric(
    "autoglm_operator_reconcile_duration_seconds", "histogram", "Time of one reconcile, API calls included."
)
QUEUE_DEPTH: Final = Metric("autoglm_operator_workqueue_depth", "gauge", "Deployments waiting for a reconcile.")
QUEUE_AGE: Final = Metric(
    "autoglm_operator_workqueue_oldest_seconds", "gauge", "How long the deployment waiting longest has waited."
)
REQUESTS_TOTAL: Final = Metric(
    "autoglm_operator_api_requests_total",
    "counter",
    "Requests to the Kubernetes API by verb and HTTP status code; code 0 means no answer.",
    ("verb", "code"),
)
WRITES_TOTAL: Final = Metric(
    "autoglm_operator_applied_objects_total", "counter", "Objects applied or deleted.", ("kind", "verb")
)
LEADER: Final = Metric("autoglm_operator_leader", "gauge", "1 while this replica holds the Lease.")
CONDITION: Final = Metric(
    "autoglm_operator_deployment_condition",
    "gauge",
    "Conditions of each AutoGLMDeployment: 1 for the status it has, 0 for the others.",
    ("namespace", "name", "type", "status"),
)
REPLICAS: Final = Metric(
    "autoglm_operator_deployment_replicas",
    "gauge",
    "Replicas of each AutoGLMDeployment by state: wanted, existing, ready.",
    ("namespace", "name", "state"),
)

CATALOGUE: Final = (
    RECONCILE_TOTAL,
    RECONCILE_SECONDS,
    QUEUE_DEPTH,
    QUEUE_AGE,
    REQUESTS_TOTAL,
    WRITES_TOTAL,
    LEADER,
    CONDITION,
    REPLICAS,
)


class Metrics:
    """The metrics of one operator process, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.reconciles = self._counter(RECONCILE_TOTAL)
        self.reconcile_seconds = Histogram(
            RECONCILE_SECONDS.name, RECONCILE_SECONDS.help, registry=self.registry, buckets=_SECONDS
        )
        self.queue_depth = self._gauge(QUEUE_DEPTH)
        self.queue_age = self._gauge(QUEUE_AGE)
        self.requests = self._counter(REQUESTS_TOTAL)
        self.writes = self._counter(WRITES_TOTAL)
        self.leader = self._gauge(LEADER)
        self.condition = self._gauge(CONDITION)
        self.replicas = self._gauge(REPLICAS)

    def _counter(self, metric: Metric) -> Counter:
        return Counter(metric.name, metric.help, metric.labels, registry=self.registry)

    def _gauge(self, metric: Metric) -> Gauge:
        return Gauge(metric.name, metric.help, metric.labels, registry=self.registry)

    def observe_request(self, verb: str, code: int, _seconds: float) -> None:
        """Count one request to the Kubernetes API."""
        self.requests.labels(verb, str(code)).inc()

    def forget(self, namespace: str, name: str) -> None:
        """Drop the series of a deployment that is gone."""
        self.condition.remove_by_labels({"namespace": namespace, "name": name})
        self.replicas.remove_by_labels({"namespace": namespace, "name": name})

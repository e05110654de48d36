"""Metrics of the operator process: the catalogue, and the instruments made from it.

Names follow controller-runtime where it has one for the same thing.
"""

from typing import Final

from autoglm_operator import __version__
from autoglm_operator.exposition import STANDARD, Exposition, exemplar
from autoglm_operator.metric import (
    BENCHMARK,
    CODE,
    DEPLOYMENT,
    EXPORT_RESULT,
    PYTHON,
    VERB,
    VERSION,
    Label,
    Metric,
    Per,
)

_RECONCILE_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_REQUEST_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
#: A queue waits longer than work takes: the last bound is that of `/livez`.
_QUEUE_BUCKETS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)

RECONCILE_TOTAL: Final = Metric(
    "autoglm_operator_reconcile_total",
    "counter",
    "",
    "Reconciles by result.",
    (
        Label(
            "result",
            "success; waiting: something outside must change; terminal: the spec must change; error: tried again.",
            ("success", "waiting", "terminal", "error"),
        ),
    ),
)
RECONCILE_SECONDS: Final = Metric(
    "autoglm_operator_reconcile_duration_seconds",
    "histogram",
    "seconds",
    "Time of one reconcile, API calls included.",
    buckets=_RECONCILE_BUCKETS,
)
QUEUE_DEPTH: Final = Metric("autoglm_operator_workqueue_depth", "gauge", "", "Deployments waiting for a reconcile.")
QUEUE_AGE: Final = Metric(
    "autoglm_operator_workqueue_oldest_seconds",
    "gauge",
    "seconds",
    "How long the deployment waiting longest has waited.",
)
QUEUE_ADDS: Final = Metric(
    "autoglm_operator_workqueue_adds_total", "counter", "", "Deployments that were put into the queue of reconciles."
)
QUEUE_RETRIES: Final = Metric(
    "autoglm_operator_workqueue_retries_total", "counter", "", "Reconciles that failed and are tried again."
)
QUEUE_SECONDS: Final = Metric(
    "autoglm_operator_workqueue_queue_duration_seconds",
    "histogram",
    "seconds",
    "How long a deployment waited in the queue before its reconcile began.",
    buckets=_QUEUE_BUCKETS,
)
REQUESTS_TOTAL: Final = Metric(
    "autoglm_operator_api_requests_total",
    "counter",
    "",
    "Requests to the Kubernetes API by verb and HTTP status code; code 0 means no answer.",
    (VERB, CODE),
)
REQUEST_SECONDS: Final = Metric(
    "autoglm_operator_api_request_duration_seconds",
    "histogram",
    "seconds",
    "Time of one request to the Kubernetes API, until the answer was read; watches are not counted.",
    (VERB,),
    _REQUEST_BUCKETS,
)
WRITES_TOTAL: Final = Metric(
    "autoglm_operator_applied_objects_total",
    "counter",
    "",
    "Objects applied or deleted.",
    (
        Label("kind", "Kind of the object.", 20),
        Label("verb", "What was done with it.", ("apply", "delete")),
    ),
)
LEADER: Final = Metric("autoglm_operator_leader", "gauge", "", "1 while this replica holds the Lease.")
TRACE_EXPORTS: Final = Metric(
    "autoglm_operator_trace_exports_total",
    "counter",
    "",
    "Spans by what became of them at the collector; no series without a collector.",
    (EXPORT_RESULT,),
)
BUILD_INFO: Final = Metric("autoglm_operator_build_info", "info", "", "What runs.", (VERSION, PYTHON))

CONDITION: Final = Metric(
    "autoglm_operator_deployment_condition",
    "gauge",
    "",
    "Conditions of each AutoGLMDeployment: 1 for the status it has, 0 for the others.",
    (
        *DEPLOYMENT,
        Label("type", "Type of the condition.", 12),
        Label("status", "A status that it can have.", ("True", "False", "Unknown")),
    ),
)
REPLICAS: Final = Metric(
    "autoglm_operator_deployment_replicas",
    "gauge",
    "",
    "Replicas of each AutoGLMDeployment by state: wanted, existing, ready.",
    (*DEPLOYMENT, Label("state", "Which of them.", ("wanted", "existing", "ready"))),
)
TROUBLE: Final = Metric(
    "autoglm_operator_deployment_trouble",
    "gauge",
    "",
    "1 for what keeps replicas of an AutoGLMDeployment from answering; absent while nothing does.",
    (*DEPLOYMENT, Label("reason", "Reason of the condition Stalled.", 1)),
)
DEPLOYMENT_INFO: Final = Metric(
    "autoglm_operator_deployment_info",
    "info",
    "",
    "What each AutoGLMDeployment runs.",
    (
        *DEPLOYMENT,
        Label("model", "Name that clients write in `model`.", Per.DEPLOYMENT),
        Label("engine", "Type of the engine.", Per.DEPLOYMENT),
        Label("engine_version", "Version of the engine in the image; empty until it is known.", Per.DEPLOYMENT),
        Label("gpu", "GPU product that the spec asks for; empty if any will do.", Per.DEPLOYMENT),
    ),
)
DEPLOYMENT_GPUS: Final = Metric(
    "autoglm_operator_deployment_gpus", "gauge", "", "GPUs of one replica, over all its pods.", DEPLOYMENT
)
OBJECTIVE: Final = Metric(
    "autoglm_operator_deployment_objective_seconds",
    "gauge",
    "seconds",
    "Objectives of the spec; absent where it sets none.",
    (*DEPLOYMENT, Label("objective", "Latency and quantile that it is about.", ("ttft_p99", "itl_p99"))),
)
REPLICA_BOUNDS: Final = Metric(
    "autoglm_operator_deployment_replica_bounds",
    "gauge",
    "",
    "Bounds of the replicas in the spec; absent without autoscaling.",
    (*DEPLOYMENT, Label("bound", "Which of them.", ("min", "max"))),
)
COLD_START: Final = Metric(
    "autoglm_operator_deployment_cold_start_seconds",
    "gauge",
    "seconds",
    "Learned time of each stage of a cold start; absent until a replica went through it.",
    (
        *DEPLOYMENT,
        Label("stage", "Name of the stage in `status.coldStart`.", 16),
    ),
)

BENCHMARK_CONDITION: Final = Metric(
    "autoglm_operator_benchmark_condition",
    "gauge",
    "",
    "Conditions of each AutoGLMBenchmark: 1 for the status it has, 0 for the others.",
    (
        *BENCHMARK,
        Label("type", "Type of the condition.", ("Complete", "Stalled", "ObjectiveMet", "Regression", "ReportWritten")),
        Label("status", "A status that it can have.", ("True", "False", "Unknown")),
    ),
)
BENCHMARK_PROGRESS: Final = Metric(
    "autoglm_operator_benchmark_progress_ratio",
    "gauge",
    "ratio",
    "How far the run is that is under way; absent while there is none.",
    BENCHMARK,
)
BENCHMARK_RESULT: Final = Metric(
    "autoglm_operator_benchmark_result",
    "gauge",
    "",
    "Figures of the last run that ended, latencies in seconds; absent until there is one.",
    (*BENCHMARK, Label("quantity", "Name of the row in `status.lastRun.results`.", 24)),
)
BENCHMARK_ENDED: Final = Metric(
    "autoglm_operator_benchmark_ended_timestamp_seconds",
    "gauge",
    "seconds",
    "Unix time at which the last run ended; absent until there is one.",
    BENCHMARK,
)

CATALOGUE: Final = (
    *(RECONCILE_TOTAL, RECONCILE_SECONDS, WRITES_TOTAL, LEADER, TRACE_EXPORTS, BUILD_INFO),
    *(QUEUE_DEPTH, QUEUE_AGE, QUEUE_ADDS, QUEUE_RETRIES, QUEUE_SECONDS),
    *(REQUESTS_TOTAL, REQUEST_SECONDS),
    *(CONDITION, REPLICAS, TROUBLE, DEPLOYMENT_INFO, DEPLOYMENT_GPUS, OBJECTIVE, REPLICA_BOUNDS, COLD_START),
    *(BENCHMARK_CONDITION, BENCHMARK_PROGRESS, BENCHMARK_RESULT, BENCHMARK_ENDED),
    *STANDARD,
)


class Metrics:
    """The metrics of one operator process."""

    def __init__(self) -> None:
        made = self.exposition = Exposition()
        self.registry = made.registry
        made.build_info(BUILD_INFO, __version__)
        self.reconciles = made.counter(RECONCILE_TOTAL, from_zero=True)
        self.reconcile_seconds = made.histogram(RECONCILE_SECONDS)
        self.queue_depth = made.gauge(QUEUE_DEPTH)
        self.queue_age = made.gauge(QUEUE_AGE)
        self.queue_adds = made.counter(QUEUE_ADDS)
        self.queue_retries = made.counter(QUEUE_RETRIES)
        self.queue_seconds = made.histogram(QUEUE_SECONDS)
        self.requests = made.counter(REQUESTS_TOTAL)
        self.request_seconds = made.histogram(REQUEST_SECONDS)
        self.writes = made.counter(WRITES_TOTAL)
        self.leader = made.gauge(LEADER)
        self.trace_exports = made.counter(TRACE_EXPORTS)
        self.condition = made.deployments(CONDITION)
        self.replicas = made.deployments(REPLICAS)
        self.trouble = made.deployments(TROUBLE)
        self.deployment_info = made.deployments(DEPLOYMENT_INFO)
        self.gpus = made.deployments(DEPLOYMENT_GPUS)
        self.objective = made.deployments(OBJECTIVE)
        self.replica_bounds = made.deployments(REPLICA_BOUNDS)
        self.cold_start = made.deployments(COLD_START)
        self.benchmark_condition = made.benchmarks(BENCHMARK_CONDITION)
        self.benchmark_progress = made.benchmarks(BENCHMARK_PROGRESS)
        self.benchmark_result = made.benchmarks(BENCHMARK_RESULT)
        self.benchmark_ended = made.benchmarks(BENCHMARK_ENDED)

    def observe_request(self, verb: str, code: int, seconds: float) -> None:
        """Count one request to the Kubernetes API."""
        self.requests.labels(verb, str(code)).inc()
        self.request_seconds.labels(verb).observe(seconds, exemplar())

    def count_spans(self, result: str, spans: int) -> None:
        """Count what became of spans; called from any thread."""
        self.trace_exports.labels(result).inc(spans)

    def forget(self, namespace: str, name: str) -> None:
        """Drop the series of a deployment that is gone."""
        self.exposition.forget((namespace, name))

    def forget_benchmark(self, namespace: str, name: str) -> None:
        """Drop the series of a benchmark that is gone."""
        self.exposition.forget((namespace, name), BENCHMARK)

"""Metrics of the autoscaler process: the catalogue, and the instruments made from it."""

from collections.abc import Mapping
from typing import Final

from autoglm_operator import __version__, signal_metrics, slo_metrics
from autoglm_operator.autoscaler.pods import Key
from autoglm_operator.decide.scaling.actuation import OURS
from autoglm_operator.decide.scaling.needs import ScalingReason
from autoglm_operator.exposition import STANDARD, Exposition, exemplar
from autoglm_operator.metric import CODE, DEPLOYMENT, EXPORT_RESULT, PYTHON, VERB, VERSION, Label, Metric

_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_REQUEST_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

SCRAPES_TOTAL: Final = Metric(
    "autoglm_autoscaler_scrapes_total",
    "counter",
    "",
    "Scrapes by target and result.",
    (
        Label("target", "What was scraped.", ("engine", "agent")),
        Label(
            "result",
            "ok, or why there is no sample.",
            ("ok", "timeout", "refused", "http", "too_large", "malformed", "invalid", "incomplete"),
        ),
    ),
)
SCRAPE_SECONDS: Final = Metric(
    "autoglm_autoscaler_scrape_duration_seconds", "histogram", "seconds", "Time of one scrape.", buckets=_SECONDS
)
TICK_SECONDS: Final = Metric(
    "autoglm_autoscaler_tick_duration_seconds",
    "histogram",
    "seconds",
    "Time of one deployment's tick: scrape of all its pods, snapshot and decision.",
    buckets=_SECONDS,
)
LAST_TICK: Final = Metric(
    "autoglm_autoscaler_last_tick_timestamp_seconds",
    "gauge",
    "seconds",
    "Unix time at which the last tick began.",
)
DECISIONS_TOTAL: Final = Metric(
    "autoglm_autoscaler_decisions_total",
    "counter",
    "",
    "Changes of the replicas wanted, by reason and direction.",
    (
        Label("reason", "Reason of the decision.", tuple(ScalingReason)),
        Label("direction", "Whether more or fewer are wanted.", ("up", "down")),
    ),
)
SCALE_WRITES_TOTAL: Final = Metric(
    "autoglm_autoscaler_scale_writes_total",
    "counter",
    "",
    "Writes of replicas by the autoscaler itself, by who else writes them and result.",
    (
        Label("path", "HPA: ahead of the HPA, and up only. Direct: nobody else does.", OURS),
        Label(
            "result",
            "ok, conflict: somebody else changed the replicas first, or failed.",
            ("ok", "conflict", "failed"),
        ),
    ),
)
API_REQUESTS_TOTAL: Final = Metric(
    "autoglm_autoscaler_metrics_api_requests_total",
    "counter",
    "",
    "Requests to the custom metrics API by HTTP status code.",
    (CODE,),
)
API_SECONDS: Final = Metric(
    "autoglm_autoscaler_metrics_api_request_duration_seconds",
    "histogram",
    "seconds",
    "Time of one request to the custom metrics API, access review included.",
    buckets=_SECONDS,
)
REQUESTS_TOTAL: Final = Metric(
    "autoglm_autoscaler_api_requests_total",
    "counter",
    "",
    "Requests to the Kubernetes API by verb and HTTP status code; code 0 means no answer.",
    (VERB, CODE),
)
REQUEST_SECONDS: Final = Metric(
    "autoglm_autoscaler_api_request_duration_seconds",
    "histogram",
    "seconds",
    "Time of one request to the Kubernetes API, until the answer was read; watches are not counted.",
    (VERB,),
    _REQUEST_BUCKETS,
)
LEADER: Final = Metric(
    "autoglm_autoscaler_leader", "gauge", "", "1 while this replica holds the Lease and writes status."
)
TRACE_EXPORTS: Final = Metric(
    "autoglm_autoscaler_trace_exports_total",
    "counter",
    "",
    "Spans by what became of them at the collector; no series without a collector.",
    (EXPORT_RESULT,),
)
CERTIFICATE_EXPIRY: Final = Metric(
    "autoglm_autoscaler_certificate_expiry_timestamp_seconds",
    "gauge",
    "seconds",
    "Unix time at which the serving certificate of the metrics API expires; 0 before one is loaded.",
)
BUILD_INFO: Final = Metric("autoglm_autoscaler_build_info", "info", "", "What runs.", (VERSION, PYTHON))

SIGNAL: Final = signal_metrics.SIGNAL
SLO_REQUESTS: Final = slo_metrics.SLO_REQUESTS
SLO_GOOD: Final = slo_metrics.SLO_GOOD
NEED: Final = Metric(
    "autoglm_autoscaler_need_replicas",
    "gauge",
    "replicas",
    "Replicas that each cause asks for; absent where a cause asks for none.",
    (
        *DEPLOYMENT,
        Label(
            "cause",
            "Why they are needed: by what is measured now (queue, latency, memory), or by the law: for the demand of "
            "now (load), when a replica ordered now would serve (forecast), when traffic repeats (period), to work off "
            "a queue (backlog), and lately (hold).",
            ("queue", "latency", "memory", "load", "forecast", "period", "backlog", "hold"),
        ),
    ),
)
DEMAND: Final = Metric(
    "autoglm_autoscaler_demand_requests_per_second",
    "gauge",
    "requests_per_second",
    "Requests that arrive at an AutoGLMDeployment.",
    DEPLOYMENT,
)
CAPACITY: Final = Metric(
    "autoglm_autoscaler_capacity_requests_per_second",
    "gauge",
    "requests_per_second",
    "Requests that one replica serves within its objective; absent until that is known.",
    DEPLOYMENT,
)
FORECAST: Final = Metric(
    "autoglm_autoscaler_forecast_requests_per_second",
    "gauge",
    "requests_per_second",
    "Requests that are expected to arrive; absent until the law forecasts them.",
    (*DEPLOYMENT, Label("bound", "The expected rate, or the upper bound that is planned for.", ("expected", "upper"))),
)
BOTTLENECK: Final = Metric(
    "autoglm_autoscaler_bottleneck",
    "gauge",
    "",
    "What limits an AutoGLMDeployment: 1 for the present cause, 0 for the others; absent without data.",
    (
        *DEPLOYMENT,
        Label(
            "cause",
            "What limits it.",
            ("compute", "memory-bandwidth", "kv-cache", "queue", "network", "client", "idle"),
        ),
    ),
)
EVIDENCE: Final = Metric(
    "autoglm_autoscaler_evidence",
    "gauge",
    "",
    "What the diagnosis of the bottleneck was made from, as a ratio between 0 and 1; absent where not measured.",
    (
        *DEPLOYMENT,
        Label(
            "quantity",
            "Share of it that is in use.",
            ("sm", "tensor", "dram", "kv_cache", "cpu", "batch", "gpu_memory"),
        ),
    ),
)
TOKENS: Final = Metric(
    "autoglm_autoscaler_tokens_total",
    "counter",
    "",
    "Tokens of an AutoGLMDeployment over all its pods.",
    (
        *DEPLOYMENT,
        Label(
            "direction",
            "input: read, cached: of those, found in the prefix cache, output: generated.",
            ("input", "cached", "output"),
        ),
    ),
)

CATALOGUE: Final = (
    *(SCRAPES_TOTAL, SCRAPE_SECONDS, TICK_SECONDS, LAST_TICK, DECISIONS_TOTAL, SCALE_WRITES_TOTAL),
    *(API_REQUESTS_TOTAL, API_SECONDS, REQUESTS_TOTAL, REQUEST_SECONDS, LEADER, TRACE_EXPORTS, BUILD_INFO),
    CERTIFICATE_EXPIRY,
    *(SIGNAL, SLO_REQUESTS, SLO_GOOD, NEED, DEMAND, CAPACITY, FORECAST, BOTTLENECK, EVIDENCE, TOKENS),
    *STANDARD,
)


class Metrics:
    """The metrics of one autoscaler process."""

    def __init__(self) -> None:
        made = self.exposition = Exposition()
        self.registry = made.registry
        made.build_info(BUILD_INFO, __version__)
        self.scrapes = made.counter(SCRAPES_TOTAL, from_zero=True)
        self.scrape_seconds = made.histogram(SCRAPE_SECONDS)
        self.tick_seconds = made.histogram(TICK_SECONDS)
        self.last_tick = made.gauge(LAST_TICK)
        self.decisions = made.counter(DECISIONS_TOTAL, from_zero=True)
        self.scale_writes = made.counter(SCALE_WRITES_TOTAL, from_zero=True)
        self.api_requests = made.counter(API_REQUESTS_TOTAL)
        self.api_seconds = made.histogram(API_SECONDS)
        self.requests = made.counter(REQUESTS_TOTAL)
        self.request_seconds = made.histogram(REQUEST_SECONDS)
        self.leader = made.gauge(LEADER)
        self.trace_exports = made.counter(TRACE_EXPORTS)
        self.certificate_expiry = made.gauge(CERTIFICATE_EXPIRY)
        self.signal = made.deployments(SIGNAL)
        self.slo_requests = made.deployments(SLO_REQUESTS)
        self.slo_good = made.deployments(SLO_GOOD)
        self.need = made.deployments(NEED)
        self.demand = made.deployments(DEMAND)
        self.capacity = made.deployments(CAPACITY)
        self.forecast = made.deployments(FORECAST)
        self.bottleneck = made.deployments(BOTTLENECK)
        self.evidence = made.deployments(EVIDENCE)
        self.tokens = made.deployments(TOKENS)

    def observe_request(self, verb: str, code: int, seconds: float) -> None:
        """Count one request to the Kubernetes API."""
        self.requests.labels(verb, str(code)).inc()
        self.request_seconds.labels(verb).observe(seconds, exemplar())

    def count_spans(self, result: str, spans: int) -> None:
        """Count what became of spans; called from any thread."""
        self.trace_exports.labels(result).inc(spans)

    def observe_tick(self, seconds: float, traced: dict[str, str] | None) -> None:
        """Count one tick of one deployment, with the exemplar that leads to its decision if that was traced."""
        self.tick_seconds.observe(seconds, traced)

    def observe_scrape(self, target: str, failure: str, seconds: float) -> None:
        """Count one scrape; `failure` is empty if it gave a sample."""
        self.scrapes.labels(target, failure or "ok").inc()
        self.scrape_seconds.observe(seconds)

    def publish(self, key: Key, values: Mapping[str, float]) -> None:
        """Show what the metrics API serves for one deployment now."""
        self.signal.replace(key, {(metric,): value for metric, value in values.items()})

    def forget(self, key: Key) -> None:
        """Drop the series of a deployment that is gone."""
        self.exposition.forget(key)

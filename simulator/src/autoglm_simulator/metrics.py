"""vLLM's Prometheus metrics, fed by the model: names, types, labels and buckets of vLLM 0.33.0.

Plain sums and arrays stand behind the exposition instead of prometheus_client's own instruments, because one run of
iterations observes the same inter-token latency for every sequence in the batch at once.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from autoglm_simulator.flags import Settings
from autoglm_simulator.model import Engine
from autoglm_simulator.profiles import BLOCK_TOKENS
from autoglm_simulator.requests import Progress, Request

_LATENCY: Final = (
    0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680,
)  # fmt: skip
_FIRST_TOKEN: Final = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640, 2560,
)  # fmt: skip
_INTER_TOKEN: Final = (
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80,
)  # fmt: skip
_FINISHED_REASONS: Final = ("stop", "length", "abort", "error", "repetition")
_QUEUE_FULL: Final = "max_num_queued_reqs"


def token_buckets(largest: int) -> list[float]:
    """Return vLLM's buckets for token counts: 1, 2, 5, 10, ... up to `largest`."""
    buckets: list[float] = []
    decade = 1
    while decade <= largest:
        buckets += [decade * mantissa for mantissa in (1, 2, 5) if decade * mantissa <= largest]
        decade *= 10
    return buckets


class Histogram:
    """A histogram that takes a value many times at once."""

    def __init__(self, name: str, documentation: str, bounds: Sequence[float]) -> None:
        self.name = name
        self.documentation = documentation
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        """Count `value` `times` times."""
        self._counts[bisect_left(self._bounds, value)] += times
        self._sum += value * times

    def family(self, labels: Sequence[str], values: Sequence[str]) -> Metric:
        """Return the histogram for the exposition."""
        buckets: list[tuple[str, float]] = []
        total = 0
        for bound, count in zip((*map(float, self._bounds), float("inf")), self._counts, strict=True):
            total += count
            buckets.append((floatToGoString(bound), total))  # type: ignore[no-untyped-call]  # prometheus_client has no types here
        family = HistogramMetricFamily(self.name, self.documentation, labels=labels)
        family.add_metric(values, buckets, self._sum)
        return family


class EngineMetrics(Collector):
    """The metrics of one engine."""

    def __init__(self, settings: Settings, engine: Engine) -> None:
        self._settings = settings
        self._engine = engine
        self.prompt_tokens = 0
        self.generation_tokens = 0
        self.prefix_queries = 0
        self.prefix_hits = 0
        self.finished = dict.fromkeys(_FINISHED_REASONS, 0)
        self.rejected = 0
        sizes = token_buckets(settings.max_model_len)
        self.first_token = Histogram("vllm:time_to_first_token_seconds", "Time to first token.", _FIRST_TOKEN)
        self.inter_token = Histogram("vllm:inter_token_latency_seconds", "Time between two tokens.", _INTER_TOKEN)
        self.per_output_token = Histogram(
            "vllm:request_time_per_output_token_seconds", "Mean time per output token of a request.", _INTER_TOKEN
        )
        self.end_to_end = Histogram("vllm:e2e_request_latency_seconds", "Arrival to last token.", _LATENCY)
        self.queue = Histogram("vllm:request_queue_time_seconds", "Time in the queue.", _LATENCY)
        self.inference = Histogram("vllm:request_inference_time_seconds", "Time in the batch.", _LATENCY)
        self.prefill = Histogram("vllm:request_prefill_time_seconds", "Time in prefill.", _LATENCY)
        self.decode = Histogram("vllm:request_decode_time_seconds", "Time in decode.", _LATENCY)
        self.prompt_size = Histogram("vllm:request_prompt_tokens", "Prompt tokens of a request.", sizes)
        self.generation_size = Histogram("vllm:request_generation_tokens", "Generated tokens of a request.", sizes)

    def record(self, progress: Progress) -> None:
        """Count what `progress` reports."""
        if progress.decoded:
            tokens = progress.decoded * progress.iterations
            self.inter_token.observe(progress.inter_token_seconds, tokens)
            self.generation_tokens += tokens
        if self._settings.limits.prefix_caching:
            for request in progress.scheduled:
                self.prefix_queries += request.prompt_tokens
                self.prefix_hits += request.cached_tokens
        for request in progress.first_tokens:
            self.prompt_tokens += request.prompt_tokens
            self.generation_tokens += 1
            self.first_token.observe(progress.end - request.arrival)
        for _, gap in progress.resumed:
            self.generation_tokens += 1
            self.inter_token.observe(gap)
        for request in progress.finished:
            self.record_end(request)

    def record_end(self, request: Request) -> None:
        """Count the end of `request`; one that was aborted adds to no latency, because it has none to compare."""
        self.finished[request.finish_reason] += 1
        if request.finish_reason == "abort":
            return
        scheduled, first, last = request.scheduled_at, request.first_token_at, request.finished_at
        if scheduled is None or first is None or last is None:
            raise ValueError("a request that ended by itself was scheduled, and has a first and a last token")
        self.end_to_end.observe(last - request.arrival)
        self.queue.observe(scheduled - request.arrival)
        self.inference.observe(last - scheduled)
        self.prefill.observe(first - scheduled)
        self.decode.observe(last - first)
        self.per_output_token.observe((last - first) / max(1, request.generated - 1))
        self.prompt_size.observe(request.prompt_tokens)
        self.generation_size.observe(request.generated)

    def collect(self) -> Iterator[Metric]:
        """Yield every metric with its current value."""
        labels = ("model_name", "engine")
        values = (self._settings.served_model_names[0], "0")
        engine = self._engine
        for name, text, gauge in (
            ("vllm:num_requests_running", "Requests in the batch.", engine.running),
            ("vllm:num_requests_waiting", "Requests in the queue.", engine.waiting),
            ("vllm:kv_cache_usage_perc", "Share of the KV cache in use; 1 is all of it.", engine.kv.usage),
        ):
            family = GaugeMetricFamily(name, text, labels=labels)
            family.add_metric(values, gauge)
            yield family
        for name, text, count in (
            ("vllm:prefix_cache_queries", "Prompt tokens looked up in the prefix cache.", self.prefix_queries),
            ("vllm:prefix_cache_hits", "Prompt tokens found in the prefix cache.", self.prefix_hits),
            ("vllm:num_preemptions", "Times that a request lost its KV blocks.", engine.preemptions),
            ("vllm:prompt_tokens", "Prompt tokens processed.", self.prompt_tokens),
            ("vllm:generation_tokens", "Tokens generated.", self.generation_tokens),
        ):
            yield _counter(name, text, labels, [(values, count)])
        reasons = [((*values, reason), count) for reason, count in self.finished.items()]
        yield _counter("vllm:request_success", "Requests that ended.", (*labels, "finished_reason"), reasons)
        if self._settings.max_num_queued_reqs is not None:
            rejected = [((values[0], _QUEUE_FULL), self.rejected)]
            yield _counter("vllm:admission_rejections", "Requests refused.", ("model_name", "reason"), rejected)
        yield self._cache_config()
        for histogram in self._histograms():
            yield histogram.family(labels, values)

    def _histograms(self) -> Iterable[Histogram]:
        return (value for value in vars(self).values() if isinstance(value, Histogram))

    def _cache_config(self) -> Metric:
        config = {
            "block_size": str(BLOCK_TOKENS),
            "num_gpu_blocks": str(self._engine.kv.capacity),
            "cache_dtype": self._settings.kv_cache_dtype,
            "gpu_memory_utilization": str(self._settings.gpu_memory_utilization),
            "enable_prefix_caching": str(self._settings.limits.prefix_caching),
            "engine": "0",
        }
        family = GaugeMetricFamily("vllm:cache_config_info", "KV cache configuration.", labels=list(config))
        family.add_metric(list(config.values()), 1)
        return family


def _counter(
    name: str, text: str, labels: Sequence[str], samples: Iterable[tuple[Sequence[str], float]]
) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, count in samples:
        family.add_metric(values, count)
    return family


def registry(metrics: EngineMetrics) -> CollectorRegistry:
    """Return a registry that exposes `metrics` and nothing else."""
    collectors = CollectorRegistry(auto_describe=False)
    collectors.register(metrics)
    return collectors

"""vLLM's Prometheus metrics, fed by the model: names, types, labels and buckets of vLLM 0.33.0.

Plain sums and arrays stand behind the exposition instead of prometheus_client's own instruments, because one run of
iterations observes the same inter-token latency for every sequence in the batch at once.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from autoglm_simulator import catalogue
from autoglm_simulator.catalogue import FINISHED_REASONS
from autoglm_simulator.flags import Settings
from autoglm_simulator.metric import Metric
from autoglm_simulator.model import Engine
from autoglm_simulator.profiles import BLOCK_TOKENS
from autoglm_simulator.requests import Progress, Request


class Histogram:
    """A histogram that takes a value many times at once.

    Args:
        metric: whose buckets it has.
        largest: bounds above it are left out.
    """

    def __init__(self, metric: Metric, largest: float = float("inf")) -> None:
        self.metric = metric
        self._bounds = [bound for bound in metric.buckets if bound <= largest]
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        """Count `value` `times` times."""
        self._counts[bisect_left(self._bounds, value)] += times
        self._sum += value * times

    def family(self, values: Sequence[str]) -> Family:
        """Return the histogram for the exposition."""
        family, total = _family(self.metric), 0
        labels = dict(zip(self.metric.label_names, values, strict=True))
        for bound, count in zip((*map(float, self._bounds), float("inf")), self._counts, strict=True):
            total += count
            le = floatToGoString(bound)  # type: ignore[no-untyped-call]  # prometheus_client has no types here
            family.add_sample(f"{self.metric.name}_bucket", {**labels, "le": le}, total)
        family.add_sample(f"{self.metric.name}_count", labels, total)
        family.add_sample(f"{self.metric.name}_sum", labels, self._sum)
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
        self.finished = dict.fromkeys(FINISHED_REASONS, 0)
        self.rejected = 0
        self.first_token = Histogram(catalogue.FIRST_TOKEN)
        self.inter_token = Histogram(catalogue.INTER_TOKEN)
        self.per_output_token = Histogram(catalogue.PER_OUTPUT_TOKEN)
        self.end_to_end = Histogram(catalogue.END_TO_END)
        self.queue = Histogram(catalogue.QUEUE)
        self.inference = Histogram(catalogue.INFERENCE)
        self.prefill = Histogram(catalogue.PREFILL)
        self.decode = Histogram(catalogue.DECODE)
        self.prompt_size = Histogram(catalogue.PROMPT_SIZE, settings.max_model_len)
        self.generation_size = Histogram(catalogue.GENERATION_SIZE, settings.max_model_len)

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

    def collect(self) -> Iterator[Family]:
        """Yield every metric with its current value."""
        model = self._settings.served_model_names[0]
        one, engine = (model, "0"), self._engine
        for metric, value in (
            (catalogue.RUNNING, engine.running),
            (catalogue.WAITING, engine.waiting),
            (catalogue.KV_USAGE, engine.kv.usage),
            (catalogue.PREFIX_QUERIES, self.prefix_queries),
            (catalogue.PREFIX_HITS, self.prefix_hits),
            (catalogue.PREEMPTIONS, engine.preemptions),
            (catalogue.PROMPT_TOKENS, self.prompt_tokens),
            (catalogue.GENERATION_TOKENS, self.generation_tokens),
        ):
            yield _exposed(metric, [(one, value)])
        yield _exposed(catalogue.FINISHED, [((*one, reason), count) for reason, count in self.finished.items()])
        if self._settings.max_num_queued_reqs is not None:
            yield _exposed(catalogue.REJECTED, [((model, catalogue.QUEUE_FULL), self.rejected)])
        yield _exposed(catalogue.CACHE_CONFIG, [(self._cache_config(), 1)])
        for histogram in self._histograms():
            yield histogram.family(one)

    def _histograms(self) -> Iterable[Histogram]:
        return (value for value in vars(self).values() if isinstance(value, Histogram))

    def _cache_config(self) -> tuple[str, ...]:
        return (
            str(BLOCK_TOKENS),
            str(self._engine.kv.capacity),
            self._settings.kv_cache_dtype,
            str(self._settings.gpu_memory_utilization),
            str(self._settings.limits.prefix_caching),
            "0",
        )


def _family(metric: Metric) -> Family:
    name = metric.name.removesuffix("_total") if metric.type == "counter" else metric.name
    return Family(name, metric.help, metric.type)


def _exposed(metric: Metric, samples: Iterable[tuple[Sequence[str], float]]) -> Family:
    family = _family(metric)
    for values, value in samples:
        family.add_sample(metric.name, dict(zip(metric.label_names, values, strict=True)), value)
    return family


def registry(metrics: EngineMetrics) -> CollectorRegistry:
    """Return a registry that exposes `metrics` and nothing else."""
    collectors = CollectorRegistry(auto_describe=False)
    collectors.register(metrics)
    return collectors

"""What one scrape of an engine tells."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from autoglm_agent.engine.histograms import Histogram
from autoglm_agent.engine.names import EngineKind, Latency


class ScrapeError(Exception):
    """A scrape that gives no sample.

    Attributes:
        reason: one word for the metric: refused, timeout, http, too_large, malformed, incomplete.
    """

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Rank:
    """One data-parallel rank; an engine without data parallelism is one rank.

    Attributes:
        running: requests in its batch.
        kv_cache: share of its KV cache in use.
        tokens: tokens read and generated since it started: any change is progress.
    """

    running: float
    kv_cache: float | None
    tokens: float


@dataclass(frozen=True, slots=True)
class Total:
    """Observations of a latency since the engine started: how many, and the seconds of all of them."""

    count: float
    seconds: float


@dataclass(frozen=True, slots=True)
class EngineSample:
    """What one engine said at one moment, ranks together; `None` where it does not tell.

    Attributes:
        taken: monotonic time of the request, in seconds.
        kind: which engine it is.
        running: requests in the batch.
        waiting: requests in the queue.
        kv_cache: share of the KV cache in use, 0 to 1; the mean over ranks.
        prompt_tokens: since the engine started; so are the other counters.
        generation_tokens: tokens generated.
        finished: requests that ended.
        preemptions: times that a request lost its KV blocks.
        prefix_queries: prompt tokens looked up in the prefix cache.
        prefix_hits: prompt tokens found there.
        histograms: of each latency that the engine keeps.
        totals: of each latency that the engine keeps.
        ranks: by the value of the rank label.
        held: why the engine makes no progress on purpose (sleeping, paused); empty otherwise.
        kv_tokens: tokens that the KV cache holds, over all ranks.
        weights_bytes: GPU memory of the weights, on one rank.
        ignored: series that were left out because no engine can mean their value.
    """

    taken: float
    kind: EngineKind
    running: float
    waiting: float
    kv_cache: float | None
    prompt_tokens: float | None = None
    generation_tokens: float | None = None
    finished: float | None = None
    preemptions: float | None = None
    prefix_queries: float | None = None
    prefix_hits: float | None = None
    histograms: Mapping[Latency, Histogram] = field(default_factory=dict)
    totals: Mapping[Latency, Total] = field(default_factory=dict)
    ranks: Mapping[str, Rank] = field(default_factory=dict)
    held: str = ""
    kv_tokens: float | None = None
    weights_bytes: float | None = None
    ignored: tuple[str, ...] = ()

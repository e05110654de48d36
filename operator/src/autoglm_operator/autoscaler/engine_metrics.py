"""What is read from an engine's `/metrics`: the one table of the engines' names for it, and the parser."""

import math
import re
from array import array
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from autoglm_operator.decide.scaling.quantiles import Histogram

RUNNING: Final = "running"
WAITING: Final = "waiting"
KV_CACHE: Final = "kv_cache"
TTFT: Final = "ttft"
ITL: Final = "itl"
PROMPT_TOKENS: Final = "prompt_tokens"
GENERATION_TOKENS: Final = "generation_tokens"
PREEMPTIONS: Final = "preemptions"
ANSWER_TOKENS: Final = "answer_tokens"
CACHED_TOKENS: Final = "cached_tokens"
ITL_SECONDS: Final = "itl_seconds"
QUEUE_SECONDS: Final = "queue_seconds"
BATCH_SECONDS: Final = "batch_seconds"
ANSWER_SECONDS: Final = "answer_seconds"
CPU_SECONDS: Final = "cpu_seconds"
#: Requests that ended; a label may say how.
ENDED: Final = "ended"
#: Requests that were turned away.
REJECTED: Final = "rejected"
#: HTTP answers by path and status.
RESPONSES: Final = "responses"
#: A gauge of the figure itself, or, with vLLM, one whose labels hold its factors.
KV_TOKENS: Final = "kv_tokens"

#: Series name → what it is; checked against vLLM 0.33.0 and SGLang 0.5.23.
NAMES: Final = {
    "vllm:num_requests_running": RUNNING,
    "vllm:num_requests_waiting": WAITING,
    "vllm:kv_cache_usage_perc": KV_CACHE,
    "vllm:time_to_first_token_seconds_bucket": TTFT,
    "vllm:inter_token_latency_seconds_bucket": ITL,
    "vllm:prompt_tokens_total": PROMPT_TOKENS,
    "vllm:generation_tokens_total": GENERATION_TOKENS,
    "vllm:num_preemptions_total": PREEMPTIONS,
    "vllm:request_generation_tokens_bucket": ANSWER_TOKENS,
    "vllm:cache_config_info": KV_TOKENS,
    "vllm:prefix_cache_hits_total": CACHED_TOKENS,
    "vllm:external_prefix_cache_hits_total": CACHED_TOKENS,
    "vllm:inter_token_latency_seconds_sum": ITL_SECONDS,
    "vllm:request_queue_time_seconds_sum": QUEUE_SECONDS,
    "vllm:request_inference_time_seconds_sum": BATCH_SECONDS,
    "vllm:e2e_request_latency_seconds_sum": ANSWER_SECONDS,
    "vllm:request_success_total": ENDED,
    "vllm:admission_rejections_total": REJECTED,
    "sglang:num_running_reqs": RUNNING,
    "sglang:num_queue_reqs": WAITING,
    "sglang:token_usage": KV_CACHE,
    "sglang:time_to_first_token_seconds_bucket": TTFT,
    "sglang:inter_token_latency_seconds_bucket": ITL,
    "sglang:prompt_tokens_total": PROMPT_TOKENS,
    "sglang:generation_tokens_total": GENERATION_TOKENS,
    "sglang:num_retracted_requests_total": PREEMPTIONS,
    "sglang:generation_tokens_histogram_bucket": ANSWER_TOKENS,
    "sglang:max_total_num_tokens": KV_TOKENS,
    "sglang:cached_tokens_total": CACHED_TOKENS,
    "sglang:inter_token_latency_seconds_sum": ITL_SECONDS,
    "sglang:num_requests_total": ENDED,
    "sglang:http_responses_total": RESPONSES,
    # Of the process that answers HTTP; absent where several do.
    "process_cpu_seconds_total": CPU_SECONDS,
}
_REQUIRED: Final = (RUNNING, WAITING, KV_CACHE)
_OUTCOMES: Final = frozenset({ENDED, REJECTED, RESPONSES})
_KINDS: Final = {name.encode(): kind for name, kind in NAMES.items()}
# One pass in C over a body of which nine tenths are other families. A timestamp after the value would make the line
# malformed: an engine gives none, and a scrape that carries an old one is not from an engine. A line is found by the
# break before it, which takes a third of the time that "^" takes.
_LINE: Final = re.compile(rb"\n(" + b"|".join(map(re.escape, _KINDS)) + rb")(?:\{(.*)\})?[ \t]+(.*)")
# Quotes inside a label's value are escaped, so this finds the label and never a part of another's value.
_BOUND: Final = re.compile(rb'(?:^|,)le="([^"]*)"')
_BLOCKS: Final = re.compile(rb'(?:^|,)num_gpu_blocks="([0-9]{1,15})"')
_BLOCK_SIZE: Final = re.compile(rb'(?:^|,)block_size="([0-9]{1,15})"')
_RANK: Final = re.compile(rb'(?:^|,)(?:dp_rank|engine)="([^"]*)"')
_REASON: Final = re.compile(rb'(?:^|,)finished_reason="([^"]*)"')
_STATUS: Final = re.compile(rb'(?:^|,)status_code="5[0-9][0-9]"')
#: Paths that serve requests of users: probes get their 503 on others.
_PATH: Final = re.compile(rb'(?:^|,)endpoint="/(?:v1/|generate)')


class ScrapeError(Exception):
    """A scrape that gives no sample.

    Attributes:
        reason: one word for the metric: timeout, refused, http, too_large, malformed, invalid, stale, incomplete.
    """

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class EngineSample:
    """What one engine said at one moment; data-parallel ranks together.

    Attributes:
        taken: monotonic time of the request, in seconds: the sample is at least as new as that.
        running: requests in the batch.
        waiting: requests in the queue.
        kv_cache: share of the KV cache in use, 0 to 1; the mean over ranks.
        ttft: time to first token, seconds; `None` if the engine does not tell.
        itl: inter-token latency, seconds.
        prompt_tokens: since the engine started.
        generation_tokens: since the engine started.
        preemptions: since the engine started.
        answer_tokens: lengths of the answers, in tokens.
        kv_tokens: that the KV cache holds, over all data-parallel ranks; `None` if the engine does not tell.
        cached_tokens: of the prompts, found in a prefix cache since the engine started.
        itl_seconds: sum of the inter-token latencies since the engine started; `None` if the engine does not tell.
        queue_seconds: sum over the requests that ended of their time in the queue.
        batch_seconds: as `queue_seconds`, in the batch.
        answer_seconds: as `queue_seconds`, from their arrival at the HTTP server to their last token.
        cpu_seconds: of the process that answers HTTP, since it started.
        ended: requests that the engine ended, well or not, or turned away; without those that their clients gave up.
        failed: those of `ended` that failed or were turned away.
    """

    taken: float
    running: float
    waiting: float
    kv_cache: float
    ttft: Histogram | None
    itl: Histogram | None
    prompt_tokens: float = 0.0
    generation_tokens: float = 0.0
    preemptions: float = 0.0
    answer_tokens: Histogram | None = None
    kv_tokens: int | None = None
    cached_tokens: float = 0.0
    itl_seconds: float | None = None
    queue_seconds: float | None = None
    batch_seconds: float | None = None
    answer_seconds: float | None = None
    cpu_seconds: float | None = None
    ended: float = 0.0
    failed: float = 0.0

    @property
    def in_flight(self) -> float:
        """Requests in the batch or in the queue."""
        return self.running + self.waiting


def parse(body: bytes, taken: float) -> EngineSample:
    """Return the sample in an exposition.

    Raises:
        ScrapeError: a needed value is missing, malformed, negative, infinite or NaN.
    """
    values: dict[str, list[float]] = defaultdict(list)
    buckets: dict[str, dict[float, float]] = {TTFT: {}, ITL: {}, ANSWER_TOKENS: {}}
    kv_tokens: dict[bytes, int] = {}
    for name, labels, text in _LINE.findall(b"\n" + body):
        kind, value = _KINDS[name], _value(name, text)
        if kind in buckets:
            bound = _bound(name, labels)
            buckets[kind][bound] = buckets[kind].get(bound, 0.0) + value
        elif kind == KV_TOKENS:
            _add_kv_tokens(kv_tokens, labels, value)
        elif kind in _OUTCOMES:
            _add_outcome(values, kind, labels, value)
        else:
            values[kind].append(value)
    if missing := [kind for kind in _REQUIRED if kind not in values]:
        wanted = " or ".join(name for name, kind in NAMES.items() if kind in missing)
        raise ScrapeError("incomplete", f"no {wanted} in {len(body)} bytes: is this a vLLM or SGLang engine?")
    kv_cache = sum(values[KV_CACHE]) / len(values[KV_CACHE])
    if kv_cache > 1:
        raise ScrapeError("invalid", f"KV-cache use is {kv_cache:g}: expected 0 to 1")
    return EngineSample(
        taken=taken,
        running=sum(values[RUNNING]),
        waiting=sum(values[WAITING]),
        kv_cache=kv_cache,
        ttft=_histogram(TTFT, buckets[TTFT]),
        itl=_histogram(ITL, buckets[ITL]),
        prompt_tokens=sum(values[PROMPT_TOKENS]),
        generation_tokens=sum(values[GENERATION_TOKENS]),
        preemptions=sum(values[PREEMPTIONS]),
        answer_tokens=_histogram(ANSWER_TOKENS, buckets[ANSWER_TOKENS]),
        kv_tokens=sum(kv_tokens.values()) or None,
        cached_tokens=sum(values[CACHED_TOKENS]),
        itl_seconds=_sum(values, ITL_SECONDS),
        queue_seconds=_sum(values, QUEUE_SECONDS),
        batch_seconds=_sum(values, BATCH_SECONDS),
        answer_seconds=_sum(values, ANSWER_SECONDS),
        cpu_seconds=_sum(values, CPU_SECONDS),
        ended=sum(values[ENDED]),
        failed=sum(values[REJECTED]),
    )


def _sum(values: Mapping[str, list[float]], kind: str) -> float | None:
    return sum(values[kind]) if kind in values else None


def _add_outcome(values: dict[str, list[float]], kind: str, labels: bytes, value: float) -> None:
    """Take over requests that ended: under `ENDED` all that the engine is to answer for, under `REJECTED` the bad ones.

    A request that its client gave up is neither. SGLang counts only those that it let in, so that answers of 5xx come
    on top; an error inside a stream, whose status was 200, it does not count at all.
    """
    reason = found[1] if (found := _REASON.search(labels)) else b""
    if kind == RESPONSES and not (_STATUS.search(labels) and _PATH.search(labels)):
        return
    if reason != b"abort":
        values[ENDED].append(value)
    if kind != ENDED or reason == b"error":
        values[REJECTED].append(value)


def _add_kv_tokens(tokens: dict[bytes, int], labels: bytes, value: float) -> None:
    """Take over the size of one data-parallel rank's cache; ranks of one model share what they hold."""
    blocks, size = _BLOCKS.search(labels), _BLOCK_SIZE.search(labels)
    rank = found[1] if (found := _RANK.search(labels)) else b""
    held = int(blocks[1]) * int(size[1]) if blocks and size else int(value)
    # An info metric without the labels is 1, which is no size.
    if held > 1:
        tokens[rank] = min(held, tokens.get(rank, held))


def _value(name: bytes, text: bytes) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ScrapeError("malformed", f"{name.decode()}: {_shown(text)} is not a number") from None
    if not math.isfinite(value) or value < 0:
        raise ScrapeError("invalid", f"{name.decode()} is {_shown(text)}: expected a finite number of at least 0")
    return value


def _bound(name: bytes, labels: bytes) -> float:
    found = _BOUND.search(labels)
    try:
        bound = float(found[1]) if found else math.nan
    except ValueError:
        bound = math.nan
    if math.isnan(bound):
        raise ScrapeError("malformed", f"{name.decode()}{{{_shown(labels)}}}: no number in the label le")
    return bound


def _histogram(kind: str, buckets: dict[float, float]) -> Histogram | None:
    if not buckets:
        return None
    bounds = sorted(buckets)
    counts = array("d", (buckets[bound] for bound in bounds))
    if bounds[-1] != math.inf or _falls(counts):
        raise ScrapeError("malformed", f"the histogram of {kind} does not rise to le=+Inf")
    return Histogram(_shared(tuple(bounds[:-1])), counts)


def _falls(counts: Iterable[float]) -> bool:
    before = 0.0
    for count in counts:
        if count < before:
            return True
        before = count
    return False


_BOUNDS: dict[tuple[float, ...], tuple[float, ...]] = {}
_MOST_BOUNDS: Final = 64


def _shared(bounds: tuple[float, ...]) -> tuple[float, ...]:
    """Return an equal tuple that other samples use already: engines of one version share their bounds."""
    if len(_BOUNDS) >= _MOST_BOUNDS:
        _BOUNDS.clear()
    return _BOUNDS.setdefault(bounds, bounds)


def _shown(text: bytes) -> str:
    return repr(text[:80].decode(errors="replace"))

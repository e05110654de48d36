"""The metrics of vLLM 0.33.0 that the simulator serves: names, types, labels and buckets are vLLM's."""

from typing import Final

from autoglm_simulator.metric import Label, Metric, MetricType, Per

_LATENCY: Final = (
    0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680,
)  # fmt: skip
_FIRST_TOKEN: Final = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640, 2560,
)  # fmt: skip
_INTER_TOKEN: Final = (
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80,
)  # fmt: skip
#: No model reads more tokens.
_MOST_TOKENS: Final = 10_000_000

_MODEL: Final = Label("model_name", "First name under which the model is served.", Per.POD)
_ENGINE: Final = Label("engine", "Number of the data-parallel rank.", ("0",))
_LABELS: Final = (_MODEL, _ENGINE)


def token_buckets(largest: int) -> tuple[float, ...]:
    """Return vLLM's buckets for token counts: 1, 2, 5, 10, ... up to `largest`."""
    buckets: list[float] = []
    decade = 1
    while decade <= largest:
        buckets += [decade * mantissa for mantissa in (1, 2, 5) if decade * mantissa <= largest]
        decade *= 10
    return tuple(buckets)


def _metric(name: str, kind: MetricType, text: str, unit: str = "") -> Metric:
    return Metric(f"vllm:{name}", kind, unit, text, _LABELS)


def _seconds(name: str, text: str, buckets: tuple[float, ...]) -> Metric:
    return Metric(f"vllm:{name}", "histogram", "seconds", text, _LABELS, buckets)


def _tokens(name: str, text: str) -> Metric:
    meaning = f"{text} The bounds end at the model's length."
    return Metric(f"vllm:{name}", "histogram", "tokens", meaning, _LABELS, token_buckets(_MOST_TOKENS))


RUNNING: Final = _metric("num_requests_running", "gauge", "Requests in the batch.")
WAITING: Final = _metric("num_requests_waiting", "gauge", "Requests in the queue.")
KV_USAGE: Final = _metric("kv_cache_usage_perc", "gauge", "Share of the KV cache in use; 1 is all of it.", "ratio")
PREFIX_QUERIES: Final = _metric("prefix_cache_queries_total", "counter", "Prompt tokens looked up in the prefix cache.")
PREFIX_HITS: Final = _metric("prefix_cache_hits_total", "counter", "Prompt tokens found in the prefix cache.")
PREEMPTIONS: Final = _metric("num_preemptions_total", "counter", "Times that a request lost its KV blocks.")
PROMPT_TOKENS: Final = _metric("prompt_tokens_total", "counter", "Prompt tokens processed.", "tokens")
GENERATION_TOKENS: Final = _metric("generation_tokens_total", "counter", "Tokens generated.", "tokens")

FINISHED_REASONS: Final = ("stop", "length", "abort", "error", "repetition")
FINISHED: Final = Metric(
    "vllm:request_success_total",
    "counter",
    "",
    "Requests that ended.",
    (*_LABELS, Label("finished_reason", "Why the request ended.", FINISHED_REASONS)),
)
QUEUE_FULL: Final = "max_num_queued_reqs"
REJECTED: Final = Metric(
    "vllm:admission_rejections_total",
    "counter",
    "",
    "Requests refused; absent without a limit.",
    (_MODEL, Label("reason", "Which limit was reached.", (QUEUE_FULL,))),
)
CACHE_CONFIG: Final = Metric(
    "vllm:cache_config_info",
    "gauge",
    "",
    "KV cache configuration.",
    (
        Label("block_size", "Tokens of one block.", Per.POD),
        Label("num_gpu_blocks", "Blocks of the cache.", Per.POD),
        Label("cache_dtype", "Type of its elements.", Per.POD),
        Label("gpu_memory_utilization", "Share of the GPU memory that the engine takes.", Per.POD),
        Label("enable_prefix_caching", "Whether blocks are kept for later requests.", Per.POD),
        _ENGINE,
    ),
)

FIRST_TOKEN: Final = _seconds("time_to_first_token_seconds", "Time to first token.", _FIRST_TOKEN)
INTER_TOKEN: Final = _seconds("inter_token_latency_seconds", "Time between two tokens.", _INTER_TOKEN)
PER_OUTPUT_TOKEN: Final = _seconds(
    "request_time_per_output_token_seconds", "Mean time per output token of a request.", _INTER_TOKEN
)
END_TO_END: Final = _seconds("e2e_request_latency_seconds", "Arrival to last token.", _LATENCY)
QUEUE: Final = _seconds("request_queue_time_seconds", "Time in the queue.", _LATENCY)
INFERENCE: Final = _seconds("request_inference_time_seconds", "Time in the batch.", _LATENCY)
PREFILL: Final = _seconds("request_prefill_time_seconds", "Time in prefill.", _LATENCY)
DECODE: Final = _seconds("request_decode_time_seconds", "Time in decode.", _LATENCY)
PROMPT_SIZE: Final = _tokens("request_prompt_tokens", "Prompt tokens of a request.")
GENERATION_SIZE: Final = _tokens("request_generation_tokens", "Generated tokens of a request.")

CATALOGUE: Final = (
    *(RUNNING, WAITING, KV_USAGE, PREFIX_QUERIES, PREFIX_HITS, PREEMPTIONS, PROMPT_TOKENS, GENERATION_TOKENS),
    *(FINISHED, REJECTED, CACHE_CONFIG),
    *(FIRST_TOKEN, INTER_TOKEN, PER_OUTPUT_TOKEN, END_TO_END, QUEUE, INFERENCE, PREFILL, DECODE),
    *(PROMPT_SIZE, GENERATION_SIZE),
)

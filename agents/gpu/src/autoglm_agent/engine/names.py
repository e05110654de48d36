"""The engines' names for what the agent reads: one table for each engine, vLLM 0.33.0 and SGLang 0.5.23."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class EngineKind(StrEnum):
    """Which program serves; the simulator speaks vLLM's names."""

    VLLM = "vllm"
    SGLANG = "sglang"


class Value(StrEnum):
    """What one series tells: gauges first, then counters, then what is read from labels."""

    RUNNING = "running"
    WAITING = "waiting"
    KV_CACHE = "kv_cache"
    PAUSED = "paused"
    KV_TOKENS = "kv_tokens"
    WEIGHTS_GB = "weights_gb"
    PROMPT_TOKENS = "prompt_tokens"
    GENERATION_TOKENS = "generation_tokens"
    STEP_TOKENS = "step_tokens"
    FINISHED = "finished"
    PREEMPTIONS = "preemptions"
    PREFIX_QUERIES = "prefix_queries"
    PREFIX_HITS = "prefix_hits"
    SLEEP_STATE = "sleep_state"
    CACHE_CONFIG = "cache_config"


class Latency(StrEnum):
    """A latency that an engine keeps a histogram of; each request or token is one observation."""

    TTFT = "ttft"
    ITL = "itl"
    QUEUE = "queue"
    PREFILL = "prefill"
    DECODE = "decode"
    E2E = "e2e"


@dataclass(frozen=True, slots=True)
class Names:
    """The series of one engine.

    Attributes:
        values: series by what it tells.
        latencies: histograms by latency, without `_bucket`, `_sum` and `_count`.
        rank_label: label that tells the data-parallel ranks apart.
        health_path: answers 200 while the engine serves, and costs it nothing.
    """

    values: Mapping[Value, str]
    latencies: Mapping[Latency, str]
    rank_label: str
    health_path: str


#: Where SGLang's queries of the prefix cache are: all prompt tokens are looked up.
#: SGLang keeps no histogram of prefill and decode for each request. Its /health generates a token, so /ready is asked.
TABLE: Final[Mapping[EngineKind, Names]] = {
    EngineKind.VLLM: Names(
        values={
            Value.RUNNING: "vllm:num_requests_running",
            Value.WAITING: "vllm:num_requests_waiting",
            Value.KV_CACHE: "vllm:kv_cache_usage_perc",
            Value.PROMPT_TOKENS: "vllm:prompt_tokens_total",
            Value.GENERATION_TOKENS: "vllm:generation_tokens_total",
            Value.FINISHED: "vllm:request_success_total",
            Value.PREEMPTIONS: "vllm:num_preemptions_total",
            Value.PREFIX_QUERIES: "vllm:prefix_cache_queries_total",
            Value.PREFIX_HITS: "vllm:prefix_cache_hits_total",
            Value.SLEEP_STATE: "vllm:engine_sleep_state",
            Value.CACHE_CONFIG: "vllm:cache_config_info",
        },
        latencies={
            Latency.TTFT: "vllm:time_to_first_token_seconds",
            Latency.ITL: "vllm:inter_token_latency_seconds",
            Latency.QUEUE: "vllm:request_queue_time_seconds",
            Latency.PREFILL: "vllm:request_prefill_time_seconds",
            Latency.DECODE: "vllm:request_decode_time_seconds",
            Latency.E2E: "vllm:e2e_request_latency_seconds",
        },
        rank_label="engine",
        health_path="/health",
    ),
    EngineKind.SGLANG: Names(
        values={
            Value.RUNNING: "sglang:num_running_reqs",
            Value.WAITING: "sglang:num_queue_reqs",
            Value.KV_CACHE: "sglang:token_usage",
            Value.PAUSED: "sglang:num_paused_reqs",
            Value.KV_TOKENS: "sglang:max_total_num_tokens",
            Value.WEIGHTS_GB: "sglang:weight_memory_usage_gb",
            Value.PROMPT_TOKENS: "sglang:prompt_tokens_total",
            Value.GENERATION_TOKENS: "sglang:generation_tokens_total",
            Value.STEP_TOKENS: "sglang:realtime_tokens_total",
            Value.FINISHED: "sglang:num_requests_total",
            Value.PREEMPTIONS: "sglang:num_retracted_requests_total",
            Value.PREFIX_HITS: "sglang:cached_tokens_total",
        },
        latencies={
            Latency.TTFT: "sglang:time_to_first_token_seconds",
            Latency.ITL: "sglang:inter_token_latency_seconds",
            Latency.QUEUE: "sglang:queue_time_seconds",
            Latency.E2E: "sglang:e2e_request_latency_seconds",
        },
        rank_label="dp_rank",
        health_path="/ready",
    ),
}

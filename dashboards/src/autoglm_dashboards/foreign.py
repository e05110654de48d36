"""Metrics of others that the dashboards show.

What the autoscaler reads too has its name from there; the rest is checked against the same versions of the engines.
"""

from typing import Final

from autoglm_operator.autoscaler import engine_metrics
from autoglm_operator.metric import Label, Metric, Per

#: Versions whose `/metrics` the names were read from; the simulator serves vLLM's.
VLLM_VERSION: Final = "0.33.0"
SGLANG_VERSION: Final = "0.5.23"


def _histogram(engine: str, kind: str, meaning: str) -> Metric:
    return Metric(_name(engine, kind).removesuffix("_bucket"), "histogram", "seconds", meaning)


def _gauge(engine: str, kind: str, meaning: str) -> Metric:
    return Metric(_name(engine, kind), "gauge", "", meaning)


def _counter(engine: str, kind: str, meaning: str) -> Metric:
    return Metric(_name(engine, kind), "counter", "", meaning)


def _name(engine: str, kind: str) -> str:
    (name,) = (name for name, known in engine_metrics.NAMES.items() if known == kind and name.startswith(f"{engine}:"))
    return name


_TTFT_MEANING: Final = "Time to first token."
_ITL_MEANING: Final = "Time between two tokens."
_WAITING_MEANING: Final = "Requests waiting for a place in the batch."
_RUNNING_MEANING: Final = "Requests in the batch."
_KV_CACHE_MEANING: Final = "Share of the KV cache in use, 0 to 1."
_PUT_BACK_MEANING: Final = "Requests put back because the KV cache was full."

VLLM_TTFT: Final = _histogram("vllm", engine_metrics.TTFT, _TTFT_MEANING)
VLLM_ITL: Final = _histogram("vllm", engine_metrics.ITL, _ITL_MEANING)
VLLM_WAITING: Final = _gauge("vllm", engine_metrics.WAITING, _WAITING_MEANING)
VLLM_RUNNING: Final = _gauge("vllm", engine_metrics.RUNNING, _RUNNING_MEANING)
VLLM_KV_CACHE: Final = _gauge("vllm", engine_metrics.KV_CACHE, _KV_CACHE_MEANING)
VLLM_PUT_BACK: Final = _counter("vllm", engine_metrics.PREEMPTIONS, _PUT_BACK_MEANING)
VLLM_FINISHED: Final = Metric(
    "vllm:request_success_total",
    "counter",
    "",
    "Requests finished, for whatever reason.",
    (
        Label(
            "finished_reason",
            "Why the request ended.",
            ("stop", "length", "abort", "error", "repetition"),
        ),
    ),
)

VLLM_QUEUE: Final = Metric("vllm:request_queue_time_seconds", "histogram", "seconds", "Time in the queue.")
VLLM_PREFILL: Final = Metric("vllm:request_prefill_time_seconds", "histogram", "seconds", "Time in prefill.")
VLLM_DECODE: Final = Metric("vllm:request_decode_time_seconds", "histogram", "seconds", "Time in decode.")
VLLM_ANSWER: Final = Metric("vllm:e2e_request_latency_seconds", "histogram", "seconds", "Arrival to last token.")
VLLM_PROMPT_TOKENS: Final = _counter("vllm", engine_metrics.PROMPT_TOKENS, "Prompt tokens read.")
VLLM_GENERATION_TOKENS: Final = _counter("vllm", engine_metrics.GENERATION_TOKENS, "Tokens generated.")
VLLM_CACHE_QUERIES: Final = Metric(
    "vllm:prefix_cache_queries_total", "counter", "", "Prompt tokens looked up in the prefix cache."
)
VLLM_CACHE_HITS: Final = Metric(
    "vllm:prefix_cache_hits_total", "counter", "", "Prompt tokens found in the prefix cache."
)

SGLANG_TTFT: Final = _histogram("sglang", engine_metrics.TTFT, _TTFT_MEANING)
SGLANG_ITL: Final = _histogram("sglang", engine_metrics.ITL, _ITL_MEANING)
SGLANG_WAITING: Final = _gauge("sglang", engine_metrics.WAITING, _WAITING_MEANING)
SGLANG_RUNNING: Final = _gauge("sglang", engine_metrics.RUNNING, _RUNNING_MEANING)
SGLANG_KV_CACHE: Final = _gauge("sglang", engine_metrics.KV_CACHE, _KV_CACHE_MEANING)
SGLANG_PUT_BACK: Final = _counter("sglang", engine_metrics.PREEMPTIONS, _PUT_BACK_MEANING)
SGLANG_FINISHED: Final = Metric("sglang:num_requests_total", "counter", "", "Requests finished.")
SGLANG_ABORTED: Final = Metric("sglang:num_aborted_requests_total", "counter", "", "Requests aborted.")

SGLANG_QUEUE: Final = Metric("sglang:queue_time_seconds", "histogram", "seconds", "Time in the queue.")
SGLANG_ANSWER: Final = Metric("sglang:e2e_request_latency_seconds", "histogram", "seconds", "Arrival to last token.")
SGLANG_PROMPT_TOKENS: Final = _counter("sglang", engine_metrics.PROMPT_TOKENS, "Prompt tokens read.")
SGLANG_GENERATION_TOKENS: Final = _counter("sglang", engine_metrics.GENERATION_TOKENS, "Tokens generated.")
SGLANG_CACHED_TOKENS: Final = Metric(
    "sglang:cached_tokens_total", "counter", "", "Prompt tokens found in a prefix cache."
)


def _dcgm(name: str, unit: str, meaning: str) -> Metric:
    return Metric(f"DCGM_FI_{name}", "gauge", unit, meaning)


#: dcgm-exporter's names up to DCGM 4.5 and from 4.6 on, in this order; what one is multiplied by to be the other.
DCGM_MEMORY: Final = (
    (_dcgm("DEV_FB_USED", "", "Memory in use, MiB."), 2**20),
    (_dcgm("DEV_FB_USED_BYTES", "bytes", "Memory in use."), 1),
)
DCGM_SM: Final = (
    (_dcgm("PROF_SM_ACTIVE", "", "Share of SM cycles with a warp."), 1),
    (_dcgm("PROF_SM_UTIL_RATIO", "ratio", "Share of SM cycles with a warp."), 1),
)
DCGM_TENSOR: Final = (
    (_dcgm("PROF_PIPE_TENSOR_ACTIVE", "", "Share of cycles in which a tensor pipe was busy."), 1),
    (_dcgm("PROF_TENSOR_UTIL_RATIO", "ratio", "Share of cycles in which a tensor pipe was busy."), 1),
)
DCGM_DRAM: Final = (
    (_dcgm("PROF_DRAM_ACTIVE", "", "Share of the peak memory bandwidth."), 1),
    (_dcgm("PROF_DRAM_UTIL_RATIO", "ratio", "Share of the peak memory bandwidth."), 1),
)
DCGM_POWER: Final = (
    (_dcgm("DEV_POWER_USAGE", "", "Power, W."), 1),
    (_dcgm("DEV_BOARD_POWER_WATTS", "watts", "Power."), 1),
)
DCGM_XID: Final = (
    (_dcgm("DEV_XID_ERRORS", "", "The last XID, for ever."), 1),
    (_dcgm("DEV_XID_ERROR", "", "The last XID, for ever."), 1),
)
DCGM: Final = tuple(
    metric for names in (DCGM_MEMORY, DCGM_SM, DCGM_TENSOR, DCGM_DRAM, DCGM_POWER, DCGM_XID) for metric, _ in names
)

_OBJECT: Final = (
    Label("namespace", "Namespace of the object.", Per.DEPLOYMENT),
    Label("pod", "Name of the pod.", Per.DEPLOYMENT),
)
POD_PHASE: Final = Metric(
    "kube_pod_status_phase",
    "gauge",
    "",
    "1 for the phase that a pod has.",
    (*_OBJECT, Label("phase", "Phase.", ("Pending", "Running", "Succeeded", "Failed", "Unknown"))),
)
KUBE_STATE: Final = (POD_PHASE,)

VLLM: Final = (
    *(VLLM_QUEUE, VLLM_PREFILL, VLLM_DECODE, VLLM_ANSWER),
    *(VLLM_PROMPT_TOKENS, VLLM_GENERATION_TOKENS, VLLM_CACHE_QUERIES, VLLM_CACHE_HITS),
    VLLM_TTFT,
    VLLM_ITL,
    VLLM_WAITING,
    VLLM_RUNNING,
    VLLM_KV_CACHE,
    VLLM_PUT_BACK,
    VLLM_FINISHED,
)
SGLANG: Final = (
    SGLANG_TTFT,
    SGLANG_ITL,
    SGLANG_WAITING,
    SGLANG_RUNNING,
    SGLANG_KV_CACHE,
    SGLANG_PUT_BACK,
    SGLANG_FINISHED,
    SGLANG_ABORTED,
    *(SGLANG_QUEUE, SGLANG_ANSWER, SGLANG_PROMPT_TOKENS, SGLANG_GENERATION_TOKENS, SGLANG_CACHED_TOKENS),
)
CATALOGUE: Final = (*VLLM, *SGLANG, *DCGM, *KUBE_STATE)

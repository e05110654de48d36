"""Metrics of others that the dashboards show.

What the autoscaler reads too has its name from there; the rest is checked against the same versions of the engines.
"""

from typing import Final

from autoglm_operator.autoscaler import engine_metrics
from autoglm_operator.metrics import Metric

#: Versions whose `/metrics` the names were read from; the simulator serves vLLM's.
VLLM_VERSION: Final = "0.33.0"
SGLANG_VERSION: Final = "0.5.23"


def _histogram(engine: str, kind: str, meaning: str) -> Metric:
    return Metric(_name(engine, kind).removesuffix("_bucket"), "histogram", meaning)


def _gauge(engine: str, kind: str, meaning: str) -> Metric:
    return Metric(_name(engine, kind), "gauge", meaning)


def _counter(engine: str, kind: str, meaning: str) -> Metric:
    return Metric(_name(engine, kind), "counter", meaning)


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
    "vllm:request_success_total", "counter", "Requests finished, for whatever reason.", ("finished_reason",)
)

SGLANG_TTFT: Final = _histogram("sglang", engine_metrics.TTFT, _TTFT_MEANING)
SGLANG_ITL: Final = _histogram("sglang", engine_metrics.ITL, _ITL_MEANING)
SGLANG_WAITING: Final = _gauge("sglang", engine_metrics.WAITING, _WAITING_MEANING)
SGLANG_RUNNING: Final = _gauge("sglang", engine_metrics.RUNNING, _RUNNING_MEANING)
SGLANG_KV_CACHE: Final = _gauge("sglang", engine_metrics.KV_CACHE, _KV_CACHE_MEANING)
SGLANG_PUT_BACK: Final = _counter("sglang", engine_metrics.PREEMPTIONS, _PUT_BACK_MEANING)
SGLANG_FINISHED: Final = Metric("sglang:num_requests_total", "counter", "Requests finished.")
SGLANG_ABORTED: Final = Metric("sglang:num_aborted_requests_total", "counter", "Requests aborted.")

VLLM: Final = (
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
)
CATALOGUE: Final = (*VLLM, *SGLANG)

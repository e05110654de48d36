"""The metrics of the agent, each defined once: name, type, unit, labels, meaning. `collector.py` fills them."""

from typing import Final, get_args

from autoglm_agent.device import ClockEvent, SourceName
from autoglm_agent.engine.names import EngineKind, Latency
from autoglm_agent.engine.view import QUANTILES
from autoglm_agent.metric import GPU, Label, Metric, Per
from autoglm_agent.signals.catalogue import DEVIATION as DEVIATION_SIGNAL
from autoglm_agent.signals.catalogue import SIGNALS
from autoglm_agent.signals.tolerance import Reaction, Tolerance
from autoglm_agent.xid import Action, Severity

_SOURCE_MEANING: Final = "nvml, dcgm, replay (synthetic) or none (no GPU seen)."
#: Values of the label `quantile`, in the order of `QUANTILES`.
QUANTILE_LABELS: Final = tuple(f"{q:g}" for q in QUANTILES)
#: Values of the label `signal`.
SIGNAL_NAMES: Final = (*(signal.name for signal in SIGNALS), DEVIATION_SIGNAL)


def _gpu(name: str, text: str, unit: str = "", *more: Label) -> Metric:
    return Metric(f"autoglm_gpu_{name}", "gauge", unit, text, (*GPU, *more))


def _gpu_total(name: str, text: str, unit: str = "") -> Metric:
    return Metric(f"autoglm_gpu_{name}_total", "counter", unit, text, GPU)


MEMORY_USED: Final = _gpu("memory_used_bytes", "GPU memory in use, by all processes.", "bytes")
MEMORY_TOTAL: Final = _gpu("memory_total_bytes", "Memory of the GPU.", "bytes")
UTILIZATION: Final = _gpu(
    "utilization_ratio",
    "Share of the last driver period in which a kernel ran; absent where the GPU does not tell, as with MIG.",
    "ratio",
)
SAMPLE_AGE: Final = _gpu(
    "sample_age_seconds",
    "Time since the GPU last answered; its other metrics are left out once they are stale.",
    "seconds",
)
CLOCK_EVENT: Final = _gpu(
    "clock_event",
    "1 while the clocks are lowered for the reason.",
    "",
    Label("reason", "NVML's name of it.", tuple(str(event.name).lower() for event in ClockEvent)),
)
MEMORY_CHANGE: Final = _gpu(
    "memory_change_bytes_per_second",
    "Change of the memory in use over the last minute: Theil's median slope.",
    "bytes_per_second",
)
MEMORY_EXHAUSTION: Final = _gpu(
    "memory_exhaustion_seconds",
    "Time until the memory is used up if it goes on as in the last minute; absent if it does not within a day.",
    "seconds",
)

#: Figures of a GPU: field of `device.GpuSample` → metric. A figure that the GPU does not tell is absent.
GPU_FIGURES: Final = {
    "memory_used_bytes": MEMORY_USED,
    "memory_total_bytes": MEMORY_TOTAL,
    "utilization": UTILIZATION,
    "memory_reserved_bytes": _gpu("memory_reserved_bytes", "Memory that driver and firmware keep.", "bytes"),
    "memory_free_bytes": _gpu("memory_free_bytes", "Memory that nobody has.", "bytes"),
    "memory_utilization": _gpu(
        "memory_utilization_ratio", "Share of the last driver period in which memory was read or written.", "ratio"
    ),
    "sm_utilization": _gpu("sm_utilization_ratio", "Share of SM cycles with at least one warp (profiling).", "ratio"),
    "sm_occupancy": _gpu("sm_occupancy_ratio", "Resident warps over the most possible (profiling).", "ratio"),
    "tensor_utilization": _gpu(
        "tensor_utilization_ratio", "Share of cycles in which a tensor pipe was busy (profiling).", "ratio"
    ),
    "dram_utilization": _gpu("dram_utilization_ratio", "Share of the peak memory bandwidth (profiling).", "ratio"),
    "power_watts": _gpu("power_watts", "Power now.", "watts"),
    "power_limit_watts": _gpu("power_limit_watts", "The enforced limit of the power.", "watts"),
    "energy_joules": _gpu_total("energy_joules", "Energy since the driver was loaded.", "joules"),
    "temperature_celsius": _gpu("temperature_celsius", "Temperature of the GPU.", "celsius"),
    "memory_temperature_celsius": _gpu("memory_temperature_celsius", "Temperature of its memory.", "celsius"),
    "sm_clock_hertz": _gpu("sm_clock_hertz", "SM clock.", "hertz"),
    "memory_clock_hertz": _gpu("memory_clock_hertz", "Memory clock.", "hertz"),
    "ecc_corrected": _gpu_total("ecc_corrected_errors", "Corrected memory errors since the driver was loaded."),
    "ecc_uncorrected": _gpu_total("ecc_uncorrected_errors", "Uncorrected memory errors since the driver was loaded."),
    "rows_remapped_corrected": _gpu(
        "rows_remapped_corrected", "Memory rows remapped after corrected errors, over the life of the GPU."
    ),
    "rows_remapped_uncorrected": _gpu(
        "rows_remapped_uncorrected", "Memory rows remapped after uncorrected errors, over the life of the GPU."
    ),
    "row_remap_pending": _gpu("row_remap_pending", "1 if a row waits for a reset of the GPU to be remapped."),
    "row_remap_failed": _gpu("row_remap_failed", "1 if a row could not be remapped."),
    "pcie_generation": _gpu("pcie_generation", "Generation of the PCIe link now; it falls on an idle GPU."),
    "pcie_generation_max": _gpu("pcie_generation_max", "The highest that GPU and slot have in common."),
    "pcie_width": _gpu("pcie_width", "Lanes of the PCIe link now."),
    "pcie_width_max": _gpu("pcie_width_max", "The most that GPU and slot have in common."),
    "pcie_replays": _gpu_total("pcie_replays", "PCIe packets sent again."),
    "pcie_sent_bytes": _gpu_total("pcie_sent_bytes", "Bytes that the GPU sent over PCIe.", "bytes"),
    "pcie_received_bytes": _gpu_total("pcie_received_bytes", "Bytes that the GPU received over PCIe.", "bytes"),
    "pcie_sent_bytes_per_second": _gpu(
        "pcie_sent_bytes_per_second", "PCIe, sent, as the profiler measured it.", "bytes_per_second"
    ),
    "pcie_received_bytes_per_second": _gpu(
        "pcie_received_bytes_per_second", "PCIe, received, as the profiler measured it.", "bytes_per_second"
    ),
    "nvlink_sent_bytes": _gpu_total("nvlink_sent_bytes", "Data sent over all NVLinks.", "bytes"),
    "nvlink_received_bytes": _gpu_total("nvlink_received_bytes", "Data received over all NVLinks.", "bytes"),
    "nvlink_sent_bytes_per_second": _gpu(
        "nvlink_sent_bytes_per_second", "NVLink, sent, as the profiler measured it.", "bytes_per_second"
    ),
    "nvlink_received_bytes_per_second": _gpu(
        "nvlink_received_bytes_per_second", "NVLink, received, as the profiler measured it.", "bytes_per_second"
    ),
    "nvlink_errors": _gpu_total("nvlink_errors", "CRC errors, replays and recoveries of all NVLinks."),
    "recovery_action": _gpu(
        "recovery_action",
        "What the driver asks for: 0 nothing, 1 GPU reset, 2 node reboot, 3 drain peer-to-peer, 4 drain and reset, "
        "5 recover the IMEX domain, 6 bus reset, 7 system reboot.",
    ),
}

FAULT: Final = Metric(
    "autoglm_gpu_fault",
    "gauge",
    "",
    "1 while the fault holds; uuid is empty for one of the machine, action is what the pod should do.",
    (
        Label("uuid", "UUID of the GPU.", Per.GPU),
        Label("code", "Which fault, such as xid-79; few at once, but any XID may come.", 16),
        Label("severity", "How much it weighs.", tuple(Severity), follows=True),
        Label("action", "What the pod should do.", tuple(Action), follows=True),
    ),
)
XID_ERRORS: Final = Metric(
    "autoglm_gpu_xid_errors_total",
    "counter",
    "",
    "XID errors since the agent started.",
    (
        Label("uuid", "UUID of the GPU.", Per.GPU),
        Label("xid", "Number of the error; the agent keeps 256 of all GPUs.", 16),
    ),
)

ENGINE_UP: Final = Metric(
    "autoglm_engine_up", "gauge", "", "1 if the engine answered the last GET /health with 200; absent if nobody checks."
)
ENGINE_CHECK_AGE: Final = Metric(
    "autoglm_engine_check_age_seconds", "gauge", "seconds", "Time since the last check of the engine ended."
)
ENGINE_INFO: Final = Metric(
    "autoglm_engine_info",
    "info",
    "",
    "Which engine it is.",
    (Label("engine", "vllm (also the simulator) or sglang.", tuple(EngineKind), follows=True),),
)
ENGINE_METRICS_UP: Final = Metric(
    "autoglm_engine_metrics_up", "gauge", "", "1 if the engine's own metrics were read; 0 while they are not to be had."
)
ENGINE_SCRAPE_ERRORS: Final = Metric(
    "autoglm_engine_scrape_errors_total",
    "counter",
    "",
    "Failed reads of the engine's metrics by reason.",
    (
        Label(
            "reason",
            "Why there is no sample.",
            ("refused", "timeout", "http", "too_large", "malformed", "incomplete"),
        ),
    ),
)
ENGINE_SCRAPE_SECONDS: Final = Metric(
    "autoglm_engine_scrape_seconds", "gauge", "seconds", "How long the last check of the engine took."
)


def _engine(name: str, text: str, unit: str = "", *labels: Label) -> Metric:
    return Metric(f"autoglm_engine_{name}", "gauge", unit, text, labels)


ENGINE_RUNNING: Final = _engine("running_requests", "Requests in the batch.")
ENGINE_WAITING: Final = _engine("waiting_requests", "Requests in the queue.")
ENGINE_KV_USAGE: Final = _engine("kv_cache_usage_ratio", "Share of the KV cache in use, mean of the ranks.", "ratio")
ENGINE_KV_TOKENS: Final = _engine("kv_cache_tokens", "Tokens that the KV cache holds, over all ranks.", "tokens")
ENGINE_KV_FREE: Final = _engine(
    "kv_reserved_free_tokens",
    "Tokens of KV cache that the engine holds and no request uses. The cache is paged: any free block serves as well "
    "as any other, so that there is no largest one.",
    "tokens",
)
ENGINE_KV_EXHAUSTION: Final = _engine(
    "kv_exhaustion_seconds",
    "Time until the KV cache is used up if it goes on as in the last minute; absent if it does not within a day.",
    "seconds",
)
ENGINE_WEIGHTS: Final = _engine("weights_bytes", "GPU memory of the weights on one rank, where told.", "bytes")
ENGINE_GENERATION_RATE: Final = _engine(
    "generation_tokens_per_second", "Tokens generated, over the last minute.", "tokens_per_second"
)
ENGINE_PROMPT_RATE: Final = _engine(
    "prompt_tokens_per_second", "Prompt tokens read, over the last minute.", "tokens_per_second"
)
ENGINE_PREEMPTION_RATE: Final = _engine(
    "preemptions_per_second", "Requests that lost their KV blocks, over the last minute.", "preemptions_per_second"
)
ENGINE_PREFIX_HITS: Final = _engine(
    "prefix_cache_hit_ratio", "Share of the prompt tokens that were in the prefix cache, over the last minute.", "ratio"
)
ENGINE_LATENCY: Final = _engine(
    "latency_seconds",
    "Latency over the last minute by kind and quantile, interpolated.",
    "seconds",
    Label("latency", "What was timed.", tuple(Latency)),
    Label("quantile", "Which quantile.", QUANTILE_LABELS),
)
ENGINE_LATENCY_CV: Final = _engine(
    "latency_cv_ratio",
    "Coefficient of variation of the mean inter-token latency of the periods in the last minute; even below 0.15.",
    "ratio",
)
ENGINE_OCS: Final = _engine(
    "overall_consistency_ratio",
    "Overall consistency score: how alike the latencies of the two halves of the last minute are, 1 minus the "
    "Jensen-Shannon divergence; consistent above 0.92.",
    "ratio",
)
ENGINE_STABLE: Final = _engine("stable", "1 if the coefficient of variation and the score are within their limits.")
ENGINE_HUNG: Final = _engine("hung", "1 while requests are in the batch and no progress is made for too long.")
ENGINE_HANGS: Final = Metric(
    "autoglm_engine_hangs_total", "counter", "", "Times that the engine was found to hang since the agent started."
)
ENGINE_SILENT: Final = _engine("progress_age_seconds", "Time that the busiest rank is without progress.", "seconds")
ENGINE_PATIENCE: Final = _engine(
    "progress_limit_seconds", "Time without progress that is a hang, learned from the engine's own pace.", "seconds"
)
DEVIATION: Final = Metric(
    "autoglm_deviation_ratio",
    "gauge",
    "ratio",
    "Distance from what is usual.",
    (
        Label(
            "of",
            "pace: the inter-token latency for this batch size, memory: the share in use.",
            ("pace", "memory"),
        ),
    ),
)
SIGNAL: Final = Metric(
    "autoglm_signal",
    "gauge",
    "",
    "1 while the signal is on: three periods over its threshold, and not yet three below the lower one.",
    (Label("signal", "Which signal.", SIGNAL_NAMES),),
)
TOLERANCE_INFO: Final = Metric(
    "autoglm_tolerance_info",
    "info",
    "",
    "Tolerance of the pod, and what the deviation calls for.",
    (
        Label("tolerance", "Value of `spec.tolerance`.", tuple(Tolerance), follows=True),
        Label("reaction", "What the deviation calls for.", tuple(Reaction), follows=True),
    ),
)
ELASTIC_REQUEST: Final = Metric(
    "autoglm_elastic_requested_max_num_seqs", "gauge", "", "Batch that is asked of the operator; absent if none is."
)

SOURCE_INFO: Final = Metric(
    "autoglm_agent_source_info",
    "info",
    "",
    "Where the GPU metrics come from.",
    (Label("source", _SOURCE_MEANING, get_args(SourceName), follows=True),),
)
SOURCE_UP: Final = Metric("autoglm_agent_source_up", "gauge", "", "0 while the source gives nothing at all.")
READ_ERRORS: Final = Metric(
    "autoglm_agent_read_errors_total",
    "counter",
    "",
    "Failed reads of GPUs by reason.",
    (
        Label("source", _SOURCE_MEANING, get_args(SourceName)),
        Label("reason", "NVML's name of the error, or why a scrape of the exporter failed.", 8),
    ),
)
READ_SECONDS: Final = Metric(
    "autoglm_agent_read_seconds", "gauge", "seconds", "How long the last pass over the GPUs took."
)
OTLP_FAILURES: Final = Metric(
    "autoglm_agent_otlp_failures_total", "counter", "", "Exports that no collector took; absent without a collector."
)
BUILD_INFO: Final = Metric(
    "autoglm_agent_build_info", "info", "", "What runs.", (Label("version", "Version of the agent.", Per.POD),)
)

_ENGINE_FIGURES: Final = (
    *(ENGINE_UP, ENGINE_CHECK_AGE, ENGINE_INFO, ENGINE_METRICS_UP, ENGINE_SCRAPE_ERRORS, ENGINE_SCRAPE_SECONDS),
    *(ENGINE_RUNNING, ENGINE_WAITING, ENGINE_KV_USAGE, ENGINE_KV_TOKENS, ENGINE_KV_FREE, ENGINE_KV_EXHAUSTION),
    *(ENGINE_WEIGHTS, ENGINE_GENERATION_RATE, ENGINE_PROMPT_RATE, ENGINE_PREEMPTION_RATE, ENGINE_PREFIX_HITS),
    *(ENGINE_LATENCY, ENGINE_LATENCY_CV, ENGINE_OCS, ENGINE_STABLE),
    *(ENGINE_HUNG, ENGINE_HANGS, ENGINE_SILENT, ENGINE_PATIENCE),
)

#: Every metric of the agent.
CATALOGUE: Final = (
    *GPU_FIGURES.values(),
    *(SAMPLE_AGE, CLOCK_EVENT, MEMORY_CHANGE, MEMORY_EXHAUSTION, FAULT, XID_ERRORS),
    *_ENGINE_FIGURES,
    *(DEVIATION, SIGNAL, TOLERANCE_INFO, ELASTIC_REQUEST),
    *(SOURCE_INFO, SOURCE_UP, READ_ERRORS, READ_SECONDS, OTLP_FAILURES, BUILD_INFO),
)

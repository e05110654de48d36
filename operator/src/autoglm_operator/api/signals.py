"""The Object metrics that the autoscaler serves on each AutoGLMDeployment: the one definition.

The metrics API, the rendered HorizontalPodAutoscaler, the docs and the dashboards read them here.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Signal:
    """One metric of `custom.metrics.k8s.io`, described on an AutoGLMDeployment.

    Attributes:
        name: the metric's name in the API.
        unit: base unit of the value; `1` is a ratio.
        meaning: one sentence for a person.
    """

    name: str
    unit: str
    meaning: str


QUEUE_DEPTH: Final = Signal(
    "autoglm_queue_depth",
    "requests",
    "Requests waiting for a place in the batch, summed over the ready pods.",
)
RUNNING_REQUESTS: Final = Signal(
    "autoglm_running_requests", "requests", "Requests in the running batch, summed over the ready pods."
)
TTFT_P99: Final = Signal(
    "autoglm_ttft_p99_seconds",
    "seconds",
    "99th percentile of the time to first token over the window, all ready pods together.",
)
ITL_P99: Final = Signal(
    "autoglm_itl_p99_seconds",
    "seconds",
    "99th percentile of the inter-token latency over the window, all ready pods together.",
)
KV_CACHE_UTILIZATION: Final = Signal(
    "autoglm_kv_cache_utilization", "1", "Share of the KV cache in use, mean over the ready pods."
)
GPU_MEMORY_UTILIZATION: Final = Signal(
    "autoglm_gpu_memory_utilization",
    "1",
    "Share of the GPU memory in use, mean over the GPUs of the ready pods.",
)
DESIRED_REPLICAS: Final = Signal(
    "autoglm_desired_replicas", "replicas", "Replicas the scaling law asks for, before the HPA's own bounds."
)

SIGNALS: Final = (
    DESIRED_REPLICAS,
    QUEUE_DEPTH,
    RUNNING_REQUESTS,
    TTFT_P99,
    ITL_P99,
    KV_CACHE_UTILIZATION,
    GPU_MEMORY_UTILIZATION,
)

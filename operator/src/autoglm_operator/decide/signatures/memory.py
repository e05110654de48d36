"""GPU memory. The KV cache comes first: its lines say more than the allocation that failed for it."""

from typing import Final

from autoglm_operator.decide.reasons import Reason
from autoglm_operator.decide.signatures.row import Outlook, row

_LESS_MEMORY: Final = (
    "lower spec.model.contextLength or spec.engine.batching, quantize (spec.engine.quantization), "
    "or spread over more GPUs (spec.resources.parallelism.tensor)"
)
_TRY_KV: Final = (
    "raise spec.engine.kvCache.utilizationPercent, use spec.engine.kvCache.dtype fp8_e4m3, quantize "
    "(spec.engine.quantization), or spread over more GPUs (spec.resources.parallelism.tensor)"
)

GPU_MEMORY: Final = (
    row(
        Reason.KV_CACHE_TOO_SMALL, Outlook.PERMANENT,
        r"max seq len \((?P<asked>\d+)\), \(?(?P<needed>[\d.]+) GiB KV cache is needed, which is larger than the "
        r"available KV cache memory \((?P<have>[\d.]+) GiB\)\. Based on the available memory, the estimated maximum "
        r"model length is (?P<most>\d+)",
        "one request of {asked} tokens needs {needed} GiB of KV cache and {have} GiB are free",
        "set spec.model.contextLength to at most {most}; or " + _TRY_KV,
    ),
    row(
        Reason.KV_CACHE_TOO_SMALL, Outlook.PERMANENT,
        r"max seq len \((?P<asked>\d+)\), \(?(?P<needed>[\d.]+) GiB KV cache is needed, which is larger than the "
        r"available KV cache memory \((?P<have>[\d.]+) GiB",
        "one request of {asked} tokens needs {needed} GiB of KV cache and {have} GiB are free",
        "lower spec.model.contextLength; or " + _TRY_KV,
    ),
    row(
        Reason.KV_CACHE_TOO_SMALL, Outlook.PERMANENT,
        r"max seq len \((?P<asked>\d+)\) is larger than the maximum number of tokens that can be stored in KV cache "
        r"\((?P<most>\d+)\)",
        "the KV cache holds {most} tokens and a request may have {asked}",
        "set spec.model.contextLength to at most {most}; or " + _TRY_KV,
    ),
    row(
        Reason.KV_CACHE_TOO_SMALL, Outlook.PERMANENT,
        r"larger than the available KV cache memory",
        "the KV cache does not hold one request of the full context of {context} tokens",
        "lower spec.model.contextLength; or " + _TRY_KV,
    ),
    row(
        Reason.KV_CACHE_TOO_SMALL, Outlook.PERMANENT,
        r"No available memory for the cache blocks|Not enough memory\. Please try to increase --mem-fraction-static",
        "weights and activations leave no GPU memory for the KV cache",
        _TRY_KV,
    ),
    row(
        Reason.GPU_MEMORY_IN_USE, Outlook.OUTSIDE,
        r"Free memory on device(?: cuda:\d+)? \((?P<free>[\d.]+)/(?P<total>[\d.]+) GiB\) on startup is less than "
        r"(?:desired GPU memory utilization|the engine's budget[^(]*) \([\d.]+, (?P<wanted>[\d.]+) GiB\)",
        "of the GPU's {total} GiB only {free} are free and {wanted} are wanted: something else uses this GPU",
        "end the other process, or lower spec.engine.kvCache.utilizationPercent",
    ),
    row(
        Reason.GPU_MEMORY_IN_USE, Outlook.OUTSIDE,
        r"The memory capacity is unbalanced\. Some GPUs may be occupied by other processes",
        "something else uses some of the GPUs",
        "end the other process, or lower spec.engine.kvCache.utilizationPercent",
    ),
    row(
        Reason.GPU_OUT_OF_MEMORY, Outlook.PERMANENT,
        r"Failed to load model - not enough GPU memory",
        "the weights of {model} do not fit the GPU",
        "quantize (spec.engine.quantization), spread over more GPUs (spec.resources.parallelism.tensor), move weights "
        "to the CPU (spec.engine.cpuOffload), or choose a larger spec.resources.gpu.product",
    ),
    row(
        Reason.GPU_OUT_OF_MEMORY, Outlook.PERMANENT,
        r"CUDA out of memory occurred when warming up \w+ with (?P<requests>\d+) dummy requests",
        "GPU memory ran out when {requests} requests were tried at once",
        "lower spec.engine.batching.maxNumSeqs or spec.engine.kvCache.utilizationPercent",
    ),
    row(
        Reason.GPU_OUT_OF_MEMORY, Outlook.PERMANENT,
        r"Capture cuda graph failed: .*out of memory",
        "GPU memory ran out when CUDA graphs were captured",
        "lower spec.engine.kvCache.utilizationPercent or spec.engine.batching.maxNumSeqs",
    ),
    row(
        Reason.GPU_OUT_OF_MEMORY, Outlook.OUTSIDE,
        r"CUDA out of memory\. Tried to allocate (?P<asked>[\d.]+ \w+)\. GPU (?P<gpu>\d+) has a total capacity of "
        r"(?P<total>[\d.]+ \w+) of which (?P<free>[\d.]+ \w+) is free",
        "GPU memory ran out: {asked} more were wanted on GPU {gpu}, of whose {total} {free} were free",
        _LESS_MEMORY,
    ),
    row(
        Reason.GPU_OUT_OF_MEMORY, Outlook.OUTSIDE,
        r"CUDA out of memory|CUDA error: out of memory|torch(?:\.cuda)?\.OutOfMemoryError|cudaErrorMemoryAllocation|"
        r"HIP out of memory|Triton Error \[CUDA\]: out of memory",
        "GPU memory ran out",
        _LESS_MEMORY,
    ),
)  # fmt: skip

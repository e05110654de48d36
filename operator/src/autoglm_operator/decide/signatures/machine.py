"""The GPU, its driver, the volumes, what binds several pods together, and the image."""

from typing import Final

from autoglm_operator.decide.reasons import Reason
from autoglm_operator.decide.signatures.row import Outlook, row

MACHINE: Final = (
    row(
        Reason.DRIVER_TOO_OLD, Outlook.OUTSIDE,
        r"NVIDIA driver on your system is too old \(found version (?P<major>\d\d)0?(?P<minor>\d)0\)",
        "the node's driver knows CUDA {major}.{minor} and the engine was built for a newer one",
        "update the driver, choose other nodes (spec.scheduling.nodeSelector), or an older spec.engine.version",
    ),
    row(
        Reason.DRIVER_TOO_OLD, Outlook.OUTSIDE,
        r"NVIDIA driver on your system is too old|CUDA driver version is insufficient for CUDA runtime version"
        r"|PTX was compiled with an unsupported toolchain|unsatisfied condition: cuda>=|please update your driver"
        r"|forward compatibility was attempted on non supported HW",
        "the node's driver is too old for the CUDA of this engine",
        "update the driver, choose other nodes (spec.scheduling.nodeSelector), or an older spec.engine.version",
    ),
    row(
        Reason.GPU_UNSUPPORTED, Outlook.OUTSIDE,
        r"no kernel image is available for execution on the device|(?:is|are) not compatible with the current PyTorch",
        "the engine was not built for this GPU",
        "choose another spec.resources.gpu.product, or another spec.engine.version",
    ),
    row(
        Reason.GPU_FAULT, Outlook.OUTSIDE,
        r"uncorrectable ECC error|CUDA error: unspecified launch failure|illegal memory access was encountered"
        r"|GPU is lost|CUDA error: device-side assert|CUDA-capable device\(s\) is/are busy or unavailable"
        r"|CUDA error: unknown error|Unable to determine the device handle",
        "the GPU failed while it computed",
        "look for Xid errors on the node; if it comes again, take the GPU out of service",
    ),
    row(
        Reason.GPU_NOT_VISIBLE, Outlook.OUTSIDE,
        r"No CUDA GPUs are available|Failed to infer device type|Found no NVIDIA driver|CUDA error: no CUDA-capable "
        r"device|libcuda\.so\.1: cannot open shared object|NVML Shared Library Not Found|invalid device ordinal"
        r"|Torch not compiled with CUDA enabled|libnvidia-ml\.so\.1: cannot open",
        "the engine sees no GPU, or fewer than it was given",
        "check spec.resources.gpu.count and spec.scheduling.runtimeClassName, and the device plugin or DRA driver of "
        "the node",
    ),
    row(
        Reason.SHARED_MEMORY_TOO_SMALL, Outlook.OUTSIDE,
        r"insufficient shared memory|Bus error|/dev/shm[^\n]*(?:No space left|failed)|No space left[^\n]*/dev/shm"
        r"|Error while creating shared memory segment",
        "the shared memory of the pod (its volume shm) is full",
        "raise spec.resources.memory, which it counts against, or use fewer GPUs in one pod "
        "(spec.resources.parallelism)",
    ),
    row(
        Reason.DISK_FULL, Outlook.OUTSIDE,
        r"No space left on device|Disk quota exceeded|Not enough free disk space to download",
        "the disk of the cache is full",
        "raise spec.warmStart.cache.size, or free space on the node",
    ),
    row(
        Reason.CACHE_NOT_WRITABLE, Outlook.OUTSIDE,
        r"PermissionError: \[Errno 13\] Permission denied: '|OSError: \[Errno 30\] Read-only file system: '"
        r"|PermissionError at \S+ when downloading",
        "the engine may not write where it caches",
        "give the volume of spec.warmStart.cache to the pod's group (fsGroup), or use another one",
    ),
    row(
        Reason.PORT_IN_USE, Outlook.OUTSIDE,
        r"[Aa]ddress already in use|EADDRINUSE",
        "a port that the engine needs is taken in the pod",
        "take port arguments out of spec.engine.extraArgs",
    ),
    row(
        Reason.COLLECTIVE_FAILED, Outlook.PASSING,
        r"Watchdog caught collective operation timeout: [^\n]*Timeout\(ms\)=(?P<limit>\d+)",
        "the GPUs of this replica lost each other: one waited {limit} ms for the others",
        "check NVLink, RDMA and NetworkPolicy between the pods; on one node, spec.resources.parallelism.tensor must "
        "stay within it",
    ),
    row(
        Reason.COLLECTIVE_FAILED, Outlook.PASSING,
        r"NCCL error|NCCL Error|ncclSystemError|ncclUnhandledCudaError|ncclInternalError|ncclRemoteError"
        r"|Watchdog caught collective operation timeout|DistBackendError",
        "the GPUs of this replica cannot talk to each other",
        "check NVLink, RDMA and NetworkPolicy between the pods, and that shared memory is not full",
    ),
    row(
        Reason.PEER_UNREACHABLE, Outlook.PASSING,
        r"client socket has timed out after|DistNetworkError|DistStoreError|Timed out after \d+ seconds waiting for "
        r"clients|Connection reset by peer[^\n]*TCPStore|failed to connect to (?:\S+:\d+|the leader)",
        "a pod of this replica waited in vain for another one",
        "see why that pod does not run; a NetworkPolicy may keep them apart",
    ),
    row(
        Reason.IMAGE_BROKEN, Outlook.PERMANENT,
        r"(?P<error>exec format error|executable file not found in \$PATH|exec: [^\n]{1,80}no such file or directory)",
        "the image cannot run the engine's command: {error}",
        "choose a spec.engine.image that holds this engine and was built for the node's processor",
    ),
    row(
        Reason.IMAGE_BROKEN, Outlook.OUTSIDE,
        r"(?P<error>ModuleNotFoundError: No module named '[^']+'|ImportError: [^\n]{1,160}|undefined symbol: \S+)",
        "the image lacks a part of the engine: {error}",
        "choose another spec.engine.image or spec.engine.version",
    ),
    row(
        Reason.ENGINE_HUNG, Outlook.PASSING,
        r"[Ww]atchdog timeout \(|Timed out waiting for engine core processes|Did not receive response from front-end"
        r"|RPC call to \w+ timed out|sample_tokens timed out|No available shared memory broadcast block",
        "the engine made no progress and stopped itself",
        "see whether another process uses the GPU; if it comes again, try another spec.engine.version",
    ),
    row(
        Reason.ENGINE_SEGFAULT, Outlook.OUTSIDE,
        r"Segmentation fault|Fatal Python error: (?:Segmentation|Illegal)|SIGSEGV received|Illegal instruction",
        "the engine crashed in native code",
        "try another spec.engine.version or spec.engine.image",
    ),
)  # fmt: skip

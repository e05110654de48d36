"""What the agent asks NVML about a GPU: one table of calls, one of fields."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, Final

from autoglm_agent.device import GpuProcess

#: For what hardly changes, and for lists of processes, which are dear.
SELDOM_SECONDS: Final = 10.0
_MEGA: Final = 1e6
#: NVML's scope for "all links".
_ALL_LINKS: Final = 0xFFFFFFFF

Figures = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """A question to NVML.

    Attributes:
        name: for the count of errors.
        ask: returns figures of a sample, given the `pynvml` module and the handle; raises `NVMLError`.
        every: seconds between two questions at least.
    """

    name: str
    ask: Callable[[Any, Any], Figures]
    every: float = 0.0


@dataclass(frozen=True, slots=True)
class Field:
    """A value of `nvmlDeviceGetFieldValues`, which fetches them all in one call.

    Attributes:
        constant: name of its id in `pynvml`; an older `pynvml` may not know it.
        figure: field of a sample; several values of one figure are added up.
        unit: what one of NVML's units is in the sample's.
        scope: NVML's scope id.
        every: seconds between two questions at least; only what calls for a reaction is asked each time.
    """

    constant: str
    figure: str
    unit: float = 1
    scope: int = 0
    every: float = 5.0


FIELDS: Final = (
    Field("NVML_FI_DEV_MEMORY_TEMP", "memory_temperature_celsius"),
    Field("NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "energy_joules", 0.001),
    Field("NVML_FI_DEV_POWER_INSTANT", "power_watts", 0.001, every=0),
    Field("NVML_FI_DEV_ECC_SBE_VOL_TOTAL", "ecc_corrected"),
    Field("NVML_FI_DEV_ECC_DBE_VOL_TOTAL", "ecc_uncorrected", every=0),
    Field("NVML_FI_DEV_REMAPPED_COR", "rows_remapped_corrected"),
    Field("NVML_FI_DEV_REMAPPED_UNC", "rows_remapped_uncorrected"),
    Field("NVML_FI_DEV_REMAPPED_PENDING", "row_remap_pending"),
    Field("NVML_FI_DEV_REMAPPED_FAILURE", "row_remap_failed"),
    Field("NVML_FI_DEV_PCIE_REPLAY_COUNTER", "pcie_replays"),
    Field("NVML_FI_DEV_PCIE_COUNT_TX_BYTES", "pcie_sent_bytes"),
    Field("NVML_FI_DEV_PCIE_COUNT_RX_BYTES", "pcie_received_bytes"),
    Field("NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX", "nvlink_sent_bytes", 1024, _ALL_LINKS),
    Field("NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_RX", "nvlink_received_bytes", 1024, _ALL_LINKS),
    Field("NVML_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL", "nvlink_errors"),
    Field("NVML_FI_DEV_NVLINK_CRC_DATA_ERROR_COUNT_TOTAL", "nvlink_errors"),
    Field("NVML_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL", "nvlink_errors"),
    Field("NVML_FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_TOTAL", "nvlink_errors"),
    Field("NVML_FI_DEV_GET_GPU_RECOVERY_ACTION", "recovery_action", every=0),
)
FLOATS: Final = frozenset({"memory_temperature_celsius", "energy_joules", "power_watts"})
FLAGS: Final = frozenset({"row_remap_pending", "row_remap_failed"})


def _memory(nvml: Any, handle: Any) -> Figures:
    memory = nvml.nvmlDeviceGetMemoryInfo(handle, nvml.nvmlMemory_v2)
    return {
        "memory_used_bytes": memory.used,
        "memory_total_bytes": memory.total,
        "memory_reserved_bytes": memory.reserved,
        "memory_free_bytes": memory.free,
    }


def _memory_v1(nvml: Any, handle: Any) -> Figures:
    """Ask an old driver; its figure counts what is reserved as used."""
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    return {
        "memory_used_bytes": memory.used,
        "memory_total_bytes": memory.total,
        "memory_free_bytes": memory.free,
    }


def _utilization(nvml: Any, handle: Any) -> Figures:
    rates = nvml.nvmlDeviceGetUtilizationRates(handle)
    return {"utilization": rates.gpu / 100, "memory_utilization": rates.memory / 100}


def _clocks(nvml: Any, handle: Any) -> Figures:
    return {
        "sm_clock_hertz": nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM) * _MEGA,
        "memory_clock_hertz": nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM) * _MEGA,
    }


def _link(nvml: Any, handle: Any) -> Figures:
    return {
        "pcie_generation": nvml.nvmlDeviceGetCurrPcieLinkGeneration(handle),
        "pcie_width": nvml.nvmlDeviceGetCurrPcieLinkWidth(handle),
    }


def _link_max(nvml: Any, handle: Any) -> Figures:
    return {
        "pcie_generation_max": nvml.nvmlDeviceGetMaxPcieLinkGeneration(handle),
        "pcie_width_max": nvml.nvmlDeviceGetMaxPcieLinkWidth(handle),
    }


def _processes(nvml: Any, handle: Any) -> Figures:
    found = nvml.nvmlDeviceGetComputeRunningProcesses_v3(handle)
    return {"processes": tuple(GpuProcess(each.pid, each.usedGpuMemory) for each in found)}


#: The first of a group that is supported is the one that is asked.
MEMORY: Final = (Call("memory", _memory), Call("memory_v1", _memory_v1))
PROCESSES: Final = (Call("processes", _processes, SELDOM_SECONDS),)
CALLS: Final = (
    (Call("utilization", _utilization),),
    (Call("clocks", _clocks),),
    (
        Call("clock_events", lambda n, h: {"clock_events": n.nvmlDeviceGetCurrentClocksEventReasons(h)}),
        Call("throttle_reasons", lambda n, h: {"clock_events": n.nvmlDeviceGetCurrentClocksThrottleReasons(h)}),
    ),
    (
        Call("temperature", lambda n, h: {"temperature_celsius": float(n.nvmlDeviceGetTemperatureV(h, 0))}),
        Call("temperature_v0", lambda n, h: {"temperature_celsius": float(n.nvmlDeviceGetTemperature(h, 0))}),
    ),
    (
        Call(
            "power_limit",
            lambda n, h: {"power_limit_watts": n.nvmlDeviceGetEnforcedPowerLimit(h) / 1000},
            SELDOM_SECONDS,
        ),
    ),
    (Call("pcie_link", _link, 5.0),),
    (Call("pcie_link_max", _link_max, inf),),
)
POWER: Final = Call("power", lambda n, h: {"power_watts": n.nvmlDeviceGetPowerUsage(h) / 1000})

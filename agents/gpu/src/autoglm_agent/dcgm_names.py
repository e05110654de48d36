"""What dcgm-exporter calls the figures of a GPU, old and new: one table.

Sources: dcgm-exporter's etc/default-counters.csv and DCGM's dcgm_fields.h. The exporter gives a metric the name that
its table of counters has for it, so that every name is met. DCGM_FI_DEV_GPU_UTIL_RATIO is in percent in DCGM 4.6,
where it is another name of DCGM_FI_DEV_GPU_UTIL, and a ratio from 4.7 on: `dcgm_text` tells them apart. NVLink
bandwidth is left out: its unit differs between versions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_MIB: Final = float(1 << 20)
_MEGA: Final = 1e6


@dataclass(frozen=True, slots=True)
class Name:
    """A metric of the exporter.

    Attributes:
        figure: field of a sample.
        key: metrics of one key are one value under several names; values of several keys of a figure are added up.
        unit: what one of the exporter's units is in the sample's.
    """

    figure: str
    key: str
    unit: float = 1.0


#: Field of a sample, unit, and the names: the same value under each of them.
_ROWS: Final[tuple[tuple[str, float, tuple[str, ...]], ...]] = (
    ("memory_used_bytes", _MIB, ("DEV_FB_USED",)),
    ("memory_used_bytes", 1.0, ("DEV_FB_USED_BYTES",)),
    ("memory_free_bytes", _MIB, ("DEV_FB_FREE",)),
    ("memory_free_bytes", 1.0, ("DEV_FB_FREE_BYTES",)),
    ("memory_reserved_bytes", _MIB, ("DEV_FB_RESERVED",)),
    ("memory_reserved_bytes", 1.0, ("DEV_FB_RESERVED_BYTES",)),
    ("memory_total_bytes", _MIB, ("DEV_FB_TOTAL",)),
    ("memory_total_bytes", 1.0, ("DEV_FB_CAPACITY_BYTES",)),
    ("utilization", 0.01, ("DEV_GPU_UTIL",)),
    ("utilization", 1.0, ("DEV_GPU_UTIL_RATIO",)),
    ("memory_utilization", 0.01, ("DEV_MEM_COPY_UTIL",)),
    ("memory_utilization", 1.0, ("DEV_MEMORY_UTIL_RATIO",)),
    ("sm_utilization", 1.0, ("PROF_SM_ACTIVE", "PROF_SM_UTIL_RATIO")),
    ("sm_occupancy", 1.0, ("PROF_SM_OCCUPANCY", "PROF_SM_OCCUPANCY_RATIO")),
    ("tensor_utilization", 1.0, ("PROF_PIPE_TENSOR_ACTIVE", "PROF_TENSOR_UTIL_RATIO")),
    ("dram_utilization", 1.0, ("PROF_DRAM_ACTIVE", "PROF_DRAM_UTIL_RATIO")),
    ("power_watts", 1.0, ("DEV_POWER_USAGE", "DEV_BOARD_POWER_WATTS")),
    ("power_limit_watts", 1.0, ("DEV_ENFORCED_POWER_LIMIT", "DEV_BOARD_POWER_LIMIT_ENFORCED_WATTS")),
    ("energy_joules", 0.001, ("DEV_TOTAL_ENERGY_CONSUMPTION",)),
    ("energy_joules", 1.0, ("DEV_GPU_ENERGY_JOULES_TOTAL",)),
    ("temperature_celsius", 1.0, ("DEV_GPU_TEMP", "DEV_GPU_TEMP_CELSIUS")),
    ("memory_temperature_celsius", 1.0, ("DEV_MEMORY_TEMP", "DEV_MEMORY_TEMP_CELSIUS")),
    ("sm_clock_hertz", _MEGA, ("DEV_SM_CLOCK",)),
    ("sm_clock_hertz", 1.0, ("DEV_SM_CLOCK_HERTZ",)),
    ("memory_clock_hertz", _MEGA, ("DEV_MEM_CLOCK",)),
    ("memory_clock_hertz", 1.0, ("DEV_MEMORY_CLOCK_HERTZ",)),
    ("clock_events", 1.0, ("DEV_CLOCK_THROTTLE_REASONS", "DEV_CLOCKS_EVENT_REASONS")),
    ("ecc_corrected", 1.0, ("DEV_ECC_SBE_VOL_TOTAL",)),
    ("ecc_uncorrected", 1.0, ("DEV_ECC_DBE_VOL_TOTAL",)),
    ("rows_remapped_corrected", 1.0, ("DEV_CORRECTABLE_REMAPPED_ROWS", "DEV_ROW_REMAP_CORRECTABLE_TOTAL")),
    ("rows_remapped_uncorrected", 1.0, ("DEV_UNCORRECTABLE_REMAPPED_ROWS", "DEV_ROW_REMAP_UNCORRECTABLE_TOTAL")),
    ("row_remap_pending", 1.0, ("DEV_ROW_REMAP_PENDING",)),
    ("row_remap_failed", 1.0, ("DEV_ROW_REMAP_FAILURE", "DEV_ROW_REMAP_FAILED")),
    ("pcie_generation", 1.0, ("DEV_PCIE_LINK_GEN",)),
    ("pcie_generation_max", 1.0, ("DEV_PCIE_MAX_LINK_GEN",)),
    ("pcie_width", 1.0, ("DEV_PCIE_LINK_WIDTH",)),
    ("pcie_width_max", 1.0, ("DEV_PCIE_MAX_LINK_WIDTH",)),
    ("pcie_replays", 1.0, ("DEV_PCIE_REPLAY_COUNTER", "DEV_PCIE_REPLAY_TOTAL")),
    ("pcie_sent_bytes_per_second", 1.0, ("PROF_PCIE_TX_BYTES",)),
    ("pcie_received_bytes_per_second", 1.0, ("PROF_PCIE_RX_BYTES",)),
    ("nvlink_errors", 1.0, ("DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL", "DEV_NVLINK_CRC_FLIT_ERROR_TOTAL")),
    ("nvlink_errors", 1.0, ("DEV_NVLINK_CRC_DATA_ERROR_COUNT_TOTAL", "DEV_NVLINK_CRC_DATA_ERROR_TOTAL")),
    ("nvlink_errors", 1.0, ("DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL", "DEV_NVLINK_REPLAY_ERROR_TOTAL")),
    ("nvlink_errors", 1.0, ("DEV_NVLINK_RECOVERY_ERROR_COUNT_TOTAL", "DEV_NVLINK_RECOVERY_ERROR_TOTAL")),
    ("recovery_action", 1.0, ("DEV_GET_GPU_RECOVERY_ACTION", "DEV_GPU_RECOVERY_ACTION")),
)
#: Figures of which several values are added up.
SUMS: Final = frozenset({"nvlink_errors"})

NAMES: Final[Mapping[str, Name]] = {
    f"DCGM_FI_{name}": Name(figure, names[0] if figure in SUMS else figure, unit)
    for figure, unit, names in _ROWS
    for name in names
}

#: Percent or ratio, by the version of DCGM.
AMBIGUOUS: Final = "DCGM_FI_DEV_GPU_UTIL_RATIO"
#: The number of the last XID, for ever: only a change of it is news.
LAST_XID: Final = frozenset({"DCGM_FI_DEV_XID_ERRORS", "DCGM_FI_DEV_XID_ERROR"})
#: XIDs by number (label `xid`), in a window or since the start: only a rise is news.
XID_COUNTS: Final = frozenset({"DCGM_EXP_XID_ERRORS_COUNT", "DCGM_EXP_XID_ERRORS_TOTAL"})
#: Labels under which the exporter, or a Prometheus in between, names the pod and its namespace.
POD_LABELS: Final = ("pod", "exported_pod", "pod_name")
NAMESPACE_LABELS: Final = ("namespace", "exported_namespace", "pod_namespace")
#: Labels of the driver's version.
DRIVER_LABELS: Final = ("DCGM_FI_DRIVER_VERSION", "DCGM_FI_SYSTEM_DRIVER_VERSION")

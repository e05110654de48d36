"""What a source of GPU figures is, and what it returns."""

from dataclasses import dataclass, fields
from enum import IntEnum, IntFlag
from typing import Final, Literal, Protocol

#: Where the figures come from; `none` means that this machine has no GPU the agent can see.
SourceName = Literal["nvml", "dcgm", "replay", "none"]

#: Older figures are left out: a consumer that forgets to look at the age must not take them for the present.
STALE_SECONDS: Final = 10.0


class ClockEvent(IntFlag):
    """Why the clocks are below their maximum: the bits of NVML's clocks event reasons (nvml.h)."""

    GPU_IDLE = 0x1
    APPLICATIONS_CLOCKS_SETTING = 0x2
    SW_POWER_CAP = 0x4
    HW_SLOWDOWN = 0x8
    SYNC_BOOST = 0x10
    SW_THERMAL_SLOWDOWN = 0x20
    HW_THERMAL_SLOWDOWN = 0x40
    HW_POWER_BRAKE_SLOWDOWN = 0x80
    DISPLAY_CLOCK_SETTING = 0x100


class RecoveryAction(IntEnum):
    """What the driver asks for: the values of NVML's field 230 (nvml.h)."""

    NONE = 0
    GPU_RESET = 1
    NODE_REBOOT = 2
    DRAIN_P2P = 3
    DRAIN_AND_RESET = 4
    RECOVER_IMEX_DOMAIN = 5
    BUS_RESET = 6
    SYSTEM_REBOOT = 7


@dataclass(frozen=True, slots=True)
class GpuProcess:
    """A process with a context on a GPU; `memory_bytes` is `None` where the driver does not tell."""

    pid: int
    memory_bytes: int | None


@dataclass(frozen=True, slots=True)
class XidEvent:
    """An error that the driver reported for the GPU `uuid`, noticed at the monotonic time `taken`."""

    uuid: str
    xid: int
    taken: float


@dataclass(frozen=True, slots=True)
class GpuSample:
    """One reading of one GPU, or of one MIG device. A figure is `None` where the device or the source does not tell.

    A MIG device carries the health of its GPU (temperature, clocks, ECC, rows, PCIe link, recovery action), and none
    of the GPU's figures that would add up over the devices (power, energy, bytes).

    Attributes:
        index: NVML's index of the GPU; MIG devices carry that of their GPU.
        uuid: NVIDIA's identifier, such as `GPU-…` or `MIG-…`.
        name: product name as the driver gives it.
        memory_used_bytes: memory in use, without what the driver reserves.
        memory_total_bytes: memory of the device.
        utilization: share of the last driver period with a kernel running, 0 to 1; never told for a MIG device.
        taken: monotonic time of the reading, in seconds.
        kind: a whole GPU, a MIG device, or the virtual GPU of a virtual machine.
        parent_uuid: the GPU of a MIG device; empty otherwise.
        mig_profile: such as `3g.40gb`; empty otherwise.
        pci_bus_id: such as `00000000:1B:00.0`; empty where not told.
        memory_reserved_bytes: memory that the driver and the firmware keep.
        memory_free_bytes: memory that nobody has.
        memory_utilization: share of the last driver period in which memory was read or written, 0 to 1.
        sm_utilization: share of SM cycles with at least one warp, 0 to 1 (profiling).
        sm_occupancy: resident warps as a share of the most possible, 0 to 1 (profiling).
        tensor_utilization: share of cycles in which a tensor pipe was busy, 0 to 1 (profiling).
        dram_utilization: share of the peak memory bandwidth in use, 0 to 1 (profiling).
        power_watts: power now.
        power_limit_watts: the enforced limit.
        energy_joules: energy since the driver was loaded (counter).
        temperature_celsius: the GPU's temperature.
        memory_temperature_celsius: the memory's temperature.
        sm_clock_hertz: SM clock.
        memory_clock_hertz: memory clock.
        clock_events: why the clocks are lowered, bits of `ClockEvent`; 0 if they are not.
        ecc_corrected: corrected memory errors since the driver was loaded (counter).
        ecc_uncorrected: uncorrected memory errors since the driver was loaded (counter).
        rows_remapped_corrected: rows remapped after corrected errors, over the life of the GPU.
        rows_remapped_uncorrected: rows remapped after uncorrected errors, over the life of the GPU.
        row_remap_pending: whether a row waits for a reset of the GPU to be remapped.
        row_remap_failed: whether a row could not be remapped.
        pcie_generation: generation of the PCIe link now; it falls on an idle GPU.
        pcie_generation_max: the highest that GPU and slot have in common.
        pcie_width: lanes of the PCIe link now.
        pcie_width_max: the most that GPU and slot have in common.
        pcie_replays: PCIe packets sent again (counter).
        pcie_sent_bytes: bytes that the GPU sent over PCIe (counter).
        pcie_received_bytes: bytes that the GPU received over PCIe (counter).
        pcie_sent_bytes_per_second: as the profiler measured it.
        pcie_received_bytes_per_second: as the profiler measured it.
        nvlink_sent_bytes: data sent over all NVLinks (counter).
        nvlink_received_bytes: data received over all NVLinks (counter).
        nvlink_sent_bytes_per_second: as the profiler measured it.
        nvlink_received_bytes_per_second: as the profiler measured it.
        nvlink_errors: CRC errors, replays and recoveries of all NVLinks (counter).
        recovery_action: what the driver asks for, a value of `RecoveryAction` or a newer one.
        processes: those on the GPU, asked for at most every 10 s.
    """

    index: int
    uuid: str
    name: str
    memory_used_bytes: int | None
    memory_total_bytes: int | None
    utilization: float | None
    taken: float
    kind: Literal["gpu", "mig", "vgpu"] = "gpu"
    parent_uuid: str = ""
    mig_profile: str = ""
    pci_bus_id: str = ""
    memory_reserved_bytes: int | None = None
    memory_free_bytes: int | None = None
    memory_utilization: float | None = None
    sm_utilization: float | None = None
    sm_occupancy: float | None = None
    tensor_utilization: float | None = None
    dram_utilization: float | None = None
    power_watts: float | None = None
    power_limit_watts: float | None = None
    energy_joules: float | None = None
    temperature_celsius: float | None = None
    memory_temperature_celsius: float | None = None
    sm_clock_hertz: float | None = None
    memory_clock_hertz: float | None = None
    clock_events: int | None = None
    ecc_corrected: int | None = None
    ecc_uncorrected: int | None = None
    rows_remapped_corrected: int | None = None
    rows_remapped_uncorrected: int | None = None
    row_remap_pending: bool | None = None
    row_remap_failed: bool | None = None
    pcie_generation: int | None = None
    pcie_generation_max: int | None = None
    pcie_width: int | None = None
    pcie_width_max: int | None = None
    pcie_replays: int | None = None
    pcie_sent_bytes: int | None = None
    pcie_received_bytes: int | None = None
    pcie_sent_bytes_per_second: float | None = None
    pcie_received_bytes_per_second: float | None = None
    nvlink_sent_bytes: int | None = None
    nvlink_received_bytes: int | None = None
    nvlink_sent_bytes_per_second: float | None = None
    nvlink_received_bytes_per_second: float | None = None
    nvlink_errors: int | None = None
    recovery_action: int | None = None
    processes: tuple[GpuProcess, ...] | None = None

    def __post_init__(self) -> None:
        used, total = self.memory_used_bytes, self.memory_total_bytes
        if used is not None and total is not None and not 0 <= used <= total:
            raise ValueError(f"GPU {self.index}: memory used is {used} of {total} bytes; expected 0 to the total")
        for name in RATIOS:
            value = getattr(self, name)
            if value is not None and not 0.0 <= value <= 1.0:
                raise ValueError(f"GPU {self.index}: {name} is {value}; expected 0 to 1")

    def fresh(self, now: float) -> bool:
        """Return whether the reading may still be shown at the monotonic time `now`."""
        return now - self.taken <= STALE_SECONDS


#: Figures from 0 to 1.
RATIOS: Final = (
    "utilization",
    "memory_utilization",
    "sm_utilization",
    "sm_occupancy",
    "tensor_utilization",
    "dram_utilization",
)

#: Figures that only grow, until the driver is loaded again.
COUNTERS: Final = frozenset(
    {
        "energy_joules",
        "ecc_corrected",
        "ecc_uncorrected",
        "pcie_replays",
        "pcie_sent_bytes",
        "pcie_received_bytes",
        "nvlink_sent_bytes",
        "nvlink_received_bytes",
        "nvlink_errors",
    }
)

#: What tells devices apart and never changes.
IDENTITY: Final = ("index", "uuid", "name", "kind", "parent_uuid", "mig_profile", "pci_bus_id")

#: The figures: everything else but the time and the processes.
FIGURES: Final = tuple(each.name for each in fields(GpuSample) if each.name not in {*IDENTITY, "taken", "processes"})


@dataclass(frozen=True, slots=True)
class Reading:
    """One pass over the devices.

    Attributes:
        samples: the devices that answered.
        errors: one reason for each call that failed, such as `gpu_is_lost`.
        xids: errors that the driver reported since the pass before.
        down: why the source as a whole gives nothing, such as `driver_not_loaded`; empty if it works.
        driver: version of the driver; empty where not told.
    """

    samples: tuple[GpuSample, ...] = ()
    errors: tuple[str, ...] = ()
    xids: tuple[XidEvent, ...] = ()
    down: str = ""
    driver: str = ""


class Source(Protocol):
    """Reads all GPUs. One thread calls it; trouble with the GPUs is in the reading, never raised."""

    @property
    def name(self) -> SourceName:
        """Where the figures come from; `auto` may change it between two readings, when a GPU comes late."""
        ...

    @property
    def why(self) -> str:
        """Why it is this source, for people."""
        ...

    def read(self) -> Reading:
        """Return the present state of every device."""
        ...

    def close(self) -> None:
        """Release what the source holds."""
        ...

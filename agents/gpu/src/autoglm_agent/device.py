"""What a GPU reader is, and what it returns."""

from dataclasses import dataclass
from typing import Final, Literal, Protocol

#: Where the figures come from; `none` means that this machine has no GPU the agent can see.
SourceName = Literal["nvml", "replay", "none"]

#: Older figures are left out: a consumer that forgets to look at the age must not take them for the present.
STALE_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class GpuSample:
    """One reading of one GPU, or of one MIG device.

    Attributes:
        index: NVML's index of the GPU; MIG devices carry that of their GPU.
        uuid: NVIDIA's identifier, such as `GPU-…` or `MIG-…`.
        name: product name as the driver gives it.
        memory_used_bytes: memory in use; `None` where the device does not tell.
        memory_total_bytes: memory of the device; `None` where the device does not tell.
        utilization: share of the last driver period with a kernel running, 0 to 1; `None` where not supported.
        taken: monotonic time of the reading, in seconds.
    """

    index: int
    uuid: str
    name: str
    memory_used_bytes: int | None
    memory_total_bytes: int | None
    utilization: float | None
    taken: float

    def __post_init__(self) -> None:
        used, total = self.memory_used_bytes, self.memory_total_bytes
        if used is not None and total is not None and not 0 <= used <= total:
            raise ValueError(f"GPU {self.index}: memory used is {used} of {total} bytes; expected 0 to the total")
        if self.utilization is not None and not 0.0 <= self.utilization <= 1.0:
            raise ValueError(f"GPU {self.index}: utilization is {self.utilization}; expected 0 to 1")

    def fresh(self, now: float) -> bool:
        """Return whether the reading may still be shown at the monotonic time `now`."""
        return now - self.taken <= STALE_SECONDS


@dataclass(frozen=True, slots=True)
class Reading:
    """One pass over the devices.

    Attributes:
        samples: the devices that answered.
        errors: one reason for each call that failed, such as `gpu_is_lost`.
    """

    samples: tuple[GpuSample, ...] = ()
    errors: tuple[str, ...] = ()


class GpuReader(Protocol):
    """Reads all GPUs. One thread calls it; trouble with the GPUs is in the reading, never raised."""

    source: SourceName

    def read(self) -> Reading:
        """Return the present state of every device."""
        ...

    def close(self) -> None:
        """Release what the reader holds."""
        ...


class NoGpu:
    """Reader of a machine without GPUs."""

    source: SourceName = "none"

    def read(self) -> Reading:
        """Return an empty reading."""
        return Reading()

    def close(self) -> None:
        """Do nothing: there is nothing to release."""

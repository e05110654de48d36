"""GPU figures from NVML, through pynvml."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from autoglm_agent.device import GpuSample, Reading, SourceName

Clock = Callable[[], float]

#: First and longest wait before the library is opened again; the longest keeps recovery under 15 s.
_BACK_OFF_SECONDS: Final = (1.0, 8.0)


@dataclass(slots=True)
class _Device:
    """A device with what never changes, and the fields it has refused: they are not asked for again."""

    index: int
    handle: Any
    uuid: str
    name: str
    refused: set[str] = field(default_factory=set)


class NvmlReader:
    """Reads every GPU that NVML shows; a GPU in MIG mode is read as its MIG devices.

    A driver that goes away (reload, lost GPU, changed MIG layout) is met by opening the library again, with
    back-off, while the devices that still answer go on being read.

    Args:
        nvml: the `pynvml` module.
        clock: monotonic time in seconds.
    """

    source: SourceName = "nvml"

    def __init__(self, nvml: Any, clock: Clock) -> None:
        self._nvml = nvml
        self._clock = clock
        self._devices: list[_Device] = []
        self._is_open = False
        self._reopen_at: float | None = clock()
        self._wait = _BACK_OFF_SECONDS[0]

    def read(self) -> Reading:
        """Return the present state of every device, opening the library again if it is time to."""
        errors: list[str] = []
        if self._reopen_at is not None and self._clock() >= self._reopen_at:
            self._reopen(errors)
        samples = [sample for device in self._devices if (sample := self._sample(device, errors))]
        if errors:
            self._plan_reopening()
        elif self._reopen_at is None:
            self._wait = _BACK_OFF_SECONDS[0]
        return Reading(tuple(samples), tuple(errors))

    def close(self) -> None:
        """Close the library."""
        self._devices.clear()
        if self._is_open:
            self._is_open = False
            try:
                self._nvml.nvmlShutdown()
            except self._nvml.NVMLError:
                # The driver went first; there is nothing left to release.
                return

    def _plan_reopening(self) -> None:
        if self._reopen_at is None:
            self._reopen_at = self._clock() + self._wait
            self._wait = min(2 * self._wait, _BACK_OFF_SECONDS[1])

    def _reopen(self, errors: list[str]) -> None:
        self._reopen_at = None
        self.close()
        try:
            self._nvml.nvmlInit()
            self._is_open = True
            count = self._nvml.nvmlDeviceGetCount()
        except self._nvml.NVMLError as error:
            errors.append(self._reason(error))
            return
        for position in range(count):
            try:
                handle = self._nvml.nvmlDeviceGetHandleByIndex(position)
                for part in self._parts(handle):
                    self._devices.append(self._identify(position, part))
            except self._nvml.NVMLError as error:
                errors.append(self._reason(error))

    def _parts(self, handle: Any) -> Iterator[Any]:
        """Yield the MIG devices of a GPU in MIG mode, else the GPU itself."""
        nvml = self._nvml
        try:
            current, _ = nvml.nvmlDeviceGetMigMode(handle)
        except (nvml.NVMLError_NotSupported, nvml.NVMLError_FunctionNotFound):
            current = nvml.NVML_DEVICE_MIG_DISABLE
        if current != nvml.NVML_DEVICE_MIG_ENABLE:
            yield handle
            return
        for position in range(nvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
            try:
                part = nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, position)
            except nvml.NVMLError_NotFound:
                continue  # positions are slots, and not every slot is taken
            yield part

    def _identify(self, index: int, handle: Any) -> _Device:
        return _Device(index, handle, self._nvml.nvmlDeviceGetUUID(handle), self._nvml.nvmlDeviceGetName(handle))

    def _sample(self, device: _Device, errors: list[str]) -> GpuSample | None:
        try:
            memory = self._memory(device)
            return GpuSample(
                index=device.index,
                uuid=device.uuid,
                name=device.name,
                memory_used_bytes=None if memory is None else int(memory.used),
                memory_total_bytes=None if memory is None else int(memory.total),
                utilization=self._utilization(device, errors),
                taken=self._clock(),
            )
        except self._nvml.NVMLError as error:
            errors.append(self._reason(error))
        except ValueError:
            errors.append("invalid_value")
        return None

    def _utilization(self, device: _Device, errors: list[str]) -> float | None:
        """Return the utilization; its failure must not cost the memory figures."""
        try:
            rates = self._ask(device, "utilization", self._nvml.nvmlDeviceGetUtilizationRates)
        except self._nvml.NVMLError as error:
            errors.append(self._reason(error))
            return None
        return None if rates is None else float(rates.gpu / 100)

    def _memory(self, device: _Device) -> Any:
        """Return used and total: by the second version of the call, since the first counts reserved as used."""
        nvml = self._nvml
        memory = self._ask(device, "memory_v2", lambda h: nvml.nvmlDeviceGetMemoryInfo(h, nvml.nvmlMemory_v2))
        return memory or self._ask(device, "memory", nvml.nvmlDeviceGetMemoryInfo)

    def _ask(self, device: _Device, name: str, call: Callable[[Any], Any]) -> Any:
        """Return what `call` says of the device, or `None` from the first refusal on."""
        if name in device.refused:
            return None
        try:
            return call(device.handle)
        except (
            self._nvml.NVMLError_NotSupported,
            self._nvml.NVMLError_FunctionNotFound,
            self._nvml.NVMLError_NoPermission,
        ):
            device.refused.add(name)
            return None

    def _reason(self, error: Any) -> str:
        for name, value in vars(self._nvml).items():
            if name.startswith("NVML_ERROR_") and value == error.value:
                return str(name.removeprefix("NVML_ERROR_").lower())
        return "unknown"

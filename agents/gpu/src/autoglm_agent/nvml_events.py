"""XID errors from NVML, as they happen."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from autoglm_agent.nvml_device import reason, text

#: Events taken in one pass; a driver that spews errors must not hold up the samples.
_MOST_EVENTS: Final = 64
#: NVML's id of an event that no MIG device caused.
_NO_INSTANCE: Final = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class GpuEvent:
    """An XID error of a GPU; `uuid` is empty if the GPU does not tell, `instance` is that of its MIG device, if any."""

    xid: int
    uuid: str
    instance: int | None


class XidWatch:
    """Takes XID errors from the driver without ever waiting for one.

    Args:
        nvml: the `pynvml` module.
        events: NVML's set of events.
    """

    def __init__(self, nvml: Any, events: Any) -> None:
        self._nvml = nvml
        self._events = events

    @classmethod
    def of(cls, nvml: Any, gpus: Mapping[str, Any]) -> "XidWatch | None":
        """Return a watch over some GPUs; `None` if none of them reports errors, as a virtual GPU, for one.

        Args:
            nvml: the `pynvml` module.
            gpus: NVML's handles by UUID.
        """
        try:
            watch = cls(nvml, nvml.nvmlEventSetCreate())
        except nvml.NVMLError:
            return None
        registered = [handle for handle in gpus.values() if watch._register(handle)]
        if registered:
            return watch
        watch.close()
        return None

    def _register(self, handle: Any) -> bool:
        try:
            self._nvml.nvmlDeviceRegisterEvents(handle, self._nvml.nvmlEventTypeXidCriticalError, self._events)
        except self._nvml.NVMLError:
            return False
        return True

    def take(self, errors: list[str]) -> tuple[GpuEvent, ...]:
        """Return the errors that have come since the last time.

        Args:
            errors: gets the reason if the driver does not answer.
        """
        found: list[GpuEvent] = []
        for _ in range(_MOST_EVENTS):
            try:
                event = self._nvml.nvmlEventSetWait_v2(self._events, 0)
            except self._nvml.NVMLError_Timeout:
                break
            except self._nvml.NVMLError as error:
                errors.append(reason(self._nvml, error))
                break
            if event.eventType == self._nvml.nvmlEventTypeXidCriticalError:
                instance = None if event.gpuInstanceId == _NO_INSTANCE else int(event.gpuInstanceId)
                found.append(GpuEvent(int(event.eventData), self._uuid(event.device), instance))
        return tuple(found)

    def close(self) -> None:
        """Free the set.

        Raises:
            NVMLError: the library is gone, and the set with it.
        """
        self._nvml.nvmlEventSetFree(self._events)

    def _uuid(self, handle: Any) -> str:
        try:
            return text(self._nvml.nvmlDeviceGetUUID(handle))
        except self._nvml.NVMLError:
            return ""

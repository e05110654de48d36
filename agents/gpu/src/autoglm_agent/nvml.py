"""GPU figures from NVML, through pynvml."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from autoglm_agent.device import GpuSample, Reading, SourceName, XidEvent
from autoglm_agent.gpm import Gpm
from autoglm_agent.nvml_device import NvmlDevice, reason, text
from autoglm_agent.nvml_events import GpuEvent, XidWatch

Clock = Callable[[], float]

#: First and longest wait before the library is opened again; the longest keeps recovery under 15 s.
_BACK_OFF_SECONDS: Final = (1.0, 8.0)
#: How often to look whether devices came or went: MIG devices can be made and removed under a running driver.
_LOOK_SECONDS: Final = 10.0
#: What a MIG device has of its GPU. The figures that add up over devices, such as power, stay with the GPU.
_SHARED: Final = frozenset(
    {
        "temperature_celsius",
        "memory_temperature_celsius",
        "sm_clock_hertz",
        "memory_clock_hertz",
        "clock_events",
        "ecc_corrected",
        "ecc_uncorrected",
        "rows_remapped_corrected",
        "rows_remapped_uncorrected",
        "row_remap_pending",
        "row_remap_failed",
        "pcie_generation",
        "pcie_generation_max",
        "pcie_width",
        "pcie_width_max",
        "pcie_replays",
        "recovery_action",
    }
)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a device is: what NVML tells of it once."""

    index: int
    handle: Any
    uuid: str
    parent: Any = None
    parent_uuid: str = ""


@dataclass(frozen=True, slots=True)
class _Device:
    """A device that is read, with what never changes."""

    place: _Place
    name: str
    kind: Literal["gpu", "mig", "vgpu"]
    pci_bus_id: str
    instance: int | None
    reader: NvmlDevice


class NvmlSource:
    """Reads every GPU that NVML shows; a GPU in MIG mode is read as its MIG devices.

    A driver that goes away (reload, lost GPU, changed MIG layout) is met by opening the library again, with
    back-off, while the devices that still answer go on being read.

    Args:
        nvml: the `pynvml` module.
        clock: monotonic time in seconds.
        only: UUIDs of the devices, or of their GPUs, to read; empty reads all.
        why: why it is this source, for people.
    """

    name: SourceName = "nvml"

    def __init__(
        self, nvml: Any, clock: Clock, only: frozenset[str] = frozenset(), why: str = "nvml was asked for"
    ) -> None:
        self._nvml = nvml
        self._clock = clock
        self._only = only
        self.why = why
        self._devices: list[_Device] = []
        self._parents: dict[str, NvmlDevice] = {}
        self._monitors: list[Gpm] = []
        self._events: XidWatch | None = None
        self._down = "not open yet"
        self._layout: tuple[str, ...] = ()
        self._driver = ""
        self._is_open = False
        self._reopen_at: float | None = clock()
        self._look_at = clock()
        self._wait = _BACK_OFF_SECONDS[0]
        # After these there is no use in asking the same handle again.
        self._gone = (
            nvml.NVMLError_Uninitialized,
            nvml.NVMLError_DriverNotLoaded,
            nvml.NVMLError_GpuIsLost,
            nvml.NVMLError_ResetRequired,
            nvml.NVMLError_LibRmVersionMismatch,
        )

    def read(self) -> Reading:
        """Return the present state of every device, opening the library again if it is time to."""
        errors: list[str] = []
        now = self._clock()
        if (self._reopen_at is not None and now >= self._reopen_at) or (
            self._is_open and now >= self._look_at and not self._is_same_layout()
        ):
            self._reopen(errors)
        if not self._is_open:
            self._down = errors[0] if errors else self._down
            self._plan_reopening(force=True)
            return Reading((), tuple(errors), (), self._down)
        happened = self._events.take(errors) if self._events else ()
        owners = ((self._owner(each), each.xid) for each in happened)
        xids = tuple(XidEvent(uuid, xid, now) for uuid, xid in owners if uuid is not None)
        health: dict[str, dict[str, Any]] = {}
        lost = bool(errors)
        samples = []
        for device in self._devices:
            sample = self._sample(device, health, errors)
            lost = lost or sample is None
            if sample:
                samples.append(sample)
        self._plan_reopening(force=lost)
        return Reading(tuple(samples), tuple(errors), xids, "", self._driver)

    def close(self) -> None:
        """Close the library."""
        monitors, self._monitors = self._monitors, []
        events, self._events = self._events, None
        self._devices.clear()
        self._parents.clear()
        was_open, self._is_open = self._is_open, False
        if not was_open:
            return
        closers = [monitor.close for monitor in monitors]
        if events is not None:
            closers.append(events.close)
        for close in (*closers, self._nvml.nvmlShutdown):
            try:
                close()
            except self._nvml.NVMLError:
                # The driver went first; there is nothing left to release.
                continue

    def _owner(self, event: GpuEvent) -> str | None:
        """Return the UUID of the device that an event concerns; `None` for a MIG device that is not ours to read."""
        parts = [device for device in self._devices if device.place.parent_uuid == event.uuid]
        if not parts or event.instance is None:
            return event.uuid
        return next((part.place.uuid for part in parts if part.instance == event.instance), None)

    def _plan_reopening(self, *, force: bool) -> None:
        if not force:
            if self._reopen_at is None:
                self._wait = _BACK_OFF_SECONDS[0]
        elif self._reopen_at is None:
            self._reopen_at = self._clock() + self._wait
            self._wait = min(2 * self._wait, _BACK_OFF_SECONDS[1])

    def _reopen(self, errors: list[str]) -> None:
        self._reopen_at = None
        self.close()
        nvml = self._nvml
        self._look_at = self._clock() + _LOOK_SECONDS
        try:
            nvml.nvmlInit()
            self._is_open = True
            self._driver = text(nvml.nvmlSystemGetDriverVersion())
            places, layout = self._look(errors)
        except nvml.NVMLError as error:
            errors.append(reason(nvml, error))
            self.close()
            return
        self._layout = layout
        self._events = XidWatch.of(
            nvml, {place.parent_uuid or place.uuid: place.parent or place.handle for place in places}
        )
        for place in places:
            try:
                self._devices.append(self._identify(place))
            except nvml.NVMLError as error:
                errors.append(reason(nvml, error))

    def _is_same_layout(self) -> bool:
        """Tell whether the devices are still those that were found, or cannot be looked for now."""
        self._look_at = self._clock() + _LOOK_SECONDS
        errors: list[str] = []
        try:
            _, layout = self._look(errors)
        except self._nvml.NVMLError:
            return False
        return bool(errors) or layout == self._layout

    def _look(self, errors: list[str]) -> tuple[list[_Place], tuple[str, ...]]:
        """Return the devices that are there and are to be read, and the UUIDs of all, which show a change."""
        nvml = self._nvml
        places: list[_Place] = []
        for position in range(nvml.nvmlDeviceGetCount()):
            try:
                handle = nvml.nvmlDeviceGetHandleByIndex(position)
                places += self._parts(_Place(position, handle, text(nvml.nvmlDeviceGetUUID(handle))))
            except nvml.NVMLError as error:
                errors.append(reason(nvml, error))
        layout = tuple(place.uuid for place in places)
        if self._only:
            places = [place for place in places if self._only & {place.uuid, place.parent_uuid}]
        return places, layout

    def _parts(self, gpu: _Place) -> Iterator[_Place]:
        """Yield the MIG devices of a GPU in MIG mode, else the GPU itself."""
        nvml = self._nvml
        try:
            current, _ = nvml.nvmlDeviceGetMigMode(gpu.handle)
        except (nvml.NVMLError_NotSupported, nvml.NVMLError_FunctionNotFound):
            current = nvml.NVML_DEVICE_MIG_DISABLE
        if current != nvml.NVML_DEVICE_MIG_ENABLE:
            yield gpu
            return
        for position in range(nvml.nvmlDeviceGetMaxMigDeviceCount(gpu.handle)):
            try:
                part = nvml.nvmlDeviceGetMigDeviceHandleByIndex(gpu.handle, position)
            except nvml.NVMLError_NotFound:
                continue  # positions are slots, and not every slot is taken
            yield _Place(gpu.index, part, text(nvml.nvmlDeviceGetUUID(part)), gpu.handle, gpu.uuid)

    def _identify(self, place: _Place) -> _Device:
        nvml = self._nvml
        is_mig = place.parent is not None
        gpu = place.parent if is_mig else place.handle
        instance = nvml.nvmlDeviceGetGpuInstanceId(place.handle) if is_mig else None
        gpm = Gpm.of(nvml, gpu, instance)
        if gpm is not None:
            self._monitors.append(gpm)
        if is_mig and place.parent_uuid not in self._parents:
            self._parents[place.parent_uuid] = NvmlDevice(nvml, gpu, self._clock, None)
        return _Device(
            place=place,
            name=text(nvml.nvmlDeviceGetName(place.handle)),
            kind="mig" if is_mig else self._kind(gpu),
            pci_bus_id=self._bus_id(gpu),
            instance=instance,
            reader=NvmlDevice(nvml, place.handle, self._clock, gpm, is_mig=is_mig),
        )

    def _kind(self, gpu: Any) -> Literal["gpu", "vgpu"]:
        try:
            mode = self._nvml.nvmlDeviceGetVirtualizationMode(gpu)
        except self._nvml.NVMLError:
            return "gpu"
        return "vgpu" if mode == self._nvml.NVML_GPU_VIRTUALIZATION_MODE_VGPU else "gpu"

    def _bus_id(self, gpu: Any) -> str:
        try:
            return text(self._nvml.nvmlDeviceGetPciInfo(gpu).busId)
        except self._nvml.NVMLError:
            return ""

    def _sample(self, device: _Device, health: dict[str, dict[str, Any]], errors: list[str]) -> GpuSample | None:
        """Return a sample, or `None` if the device does not answer."""
        place = device.place
        try:
            figures = {**_UNTOLD, **device.reader.memory(), **device.reader.health(self._gone, errors)}
            if place.parent_uuid:
                figures |= self._shared(place.parent_uuid, health, errors)
            return GpuSample(
                index=place.index,
                uuid=place.uuid,
                name=device.name,
                kind=device.kind,
                parent_uuid=place.parent_uuid,
                mig_profile=device.name.partition(" MIG ")[2],
                pci_bus_id=device.pci_bus_id,
                taken=self._clock(),
                **figures,
            )
        except self._nvml.NVMLError as error:
            errors.append(reason(self._nvml, error))
        except ValueError:
            errors.append("invalid_value")
        return None

    def _shared(self, uuid: str, health: dict[str, dict[str, Any]], errors: list[str]) -> dict[str, Any]:
        """Return what a MIG device has of its GPU, which is asked once for all its devices."""
        if uuid not in health:
            figures = self._parents[uuid].health(self._gone, errors)
            health[uuid] = {name: value for name, value in figures.items() if name in _SHARED}
        return health[uuid]


_UNTOLD: Final = dict.fromkeys(("memory_used_bytes", "memory_total_bytes", "utilization"))

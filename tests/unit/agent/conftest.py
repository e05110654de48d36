"""A clock that stands still, and an NVML library that answers from a table."""
# ruff: noqa: N802  # the functions bear the names of NVML

from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

GIB = 1 << 30


class Clock:
    """Monotonic time that passes only when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Library:
    """What pynvml calls would answer: the real module's errors and constants, and devices out of a table.

    Each device is a dict: uuid, name, used, total, gpu (percent) and, in MIG mode, parts (None is an empty slot).
    A value that is an exception is raised.
    """

    def __init__(self) -> None:
        self.devices: list[Any] = []
        self.init: Exception | None = None
        self.calls: list[str] = []
        self.depth = 0

    @property
    def module(self) -> SimpleNamespace:
        functions = {name: getattr(self, name) for name in dir(self) if name.startswith("nvml")}
        return SimpleNamespace(**{**vars(pynvml), **functions})

    def _value(self, call: str, value: Any) -> Any:
        self.calls.append(call)
        if isinstance(value, Exception):
            raise value
        return value

    def nvmlInit(self) -> None:
        self._value("init", self.init)
        self.depth += 1

    def nvmlShutdown(self) -> None:
        self.depth -= 1

    def nvmlDeviceGetCount(self) -> int:
        return len(self.devices)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Any:
        return self._value("handle", self.devices[index])

    def nvmlDeviceGetMigMode(self, handle: dict[str, Any]) -> list[int]:
        if handle.get("mig") is not None:
            return self._value("mig", handle["mig"])
        return [int("parts" in handle)] * 2

    def nvmlDeviceGetMaxMigDeviceCount(self, handle: dict[str, Any]) -> int:
        return len(handle["parts"])

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: dict[str, Any], index: int) -> Any:
        return handle["parts"][index] or self._value("part", pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND))

    def nvmlDeviceGetUUID(self, handle: dict[str, Any]) -> str:
        return handle["uuid"]

    def nvmlDeviceGetName(self, handle: dict[str, Any]) -> str:
        return handle["name"]

    def nvmlDeviceGetMemoryInfo(self, handle: dict[str, Any], version: int | None = None) -> Any:
        key = "memory_v2" if version else "memory"
        if key not in handle:
            key = "memory"
        used, total = self._value(f"{'memory_v2' if version else 'memory'}", handle[key])
        return SimpleNamespace(used=used, total=total)

    def nvmlDeviceGetUtilizationRates(self, handle: dict[str, Any]) -> Any:
        return SimpleNamespace(gpu=self._value("utilization", handle["gpu"]))


def device(number: int = 0, **changes: Any) -> dict[str, Any]:
    return {
        "uuid": f"GPU-{number}",
        "name": "NVIDIA H100 80GB HBM3",
        "memory": (10 * GIB, 80 * GIB),
        "gpu": 40,
    } | changes


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def library():
    return Library()


@pytest.fixture(name="device")
def device_factory():
    return device

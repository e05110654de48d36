"""A clock that stands still, and a stand-in for NVML's library behind the real pynvml."""

import ctypes
import shutil
import subprocess
from pathlib import Path

import pynvml
import pytest

EVERY = -1
GIB = 1 << 30


class Clock:
    """Monotonic time that passes only when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class StandIn:
    """`standin_nvml.c`: what NVML answers, device by device. GPU n is `n`, its MIG device in slot s `part(n, s)`."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        library.standin_calls.restype = library.standin_seen.restype = ctypes.c_longlong

    @staticmethod
    def part(gpu: int, slot: int) -> int:
        return 100 * (gpu + 1) + slot

    def gpus(self, count: int) -> None:
        self.set("count", count)
        self.set("total", 80 * GIB, EVERY)
        self.set("used", 10 * GIB, EVERY)
        self.set("reserved", GIB, EVERY)

    def set(self, name: str, value: int, device: int = 0) -> None:
        self._library.standin_set(name.encode(), device, ctypes.c_longlong(value))

    def fail(self, function: str, code: int, device: int = EVERY) -> None:
        self.set(f"return:{function}", code, device)

    def calls(self, function: str, device: int = 0) -> int:
        return self._library.standin_calls(function.encode(), device)

    def seen(self, name: str, device: int = 0) -> int:
        """What was set, or what the stand-in noted of a call."""
        return self._library.standin_seen(name.encode(), device)

    def event(self, device: int, xid: int, instance: int = 0xFFFFFFFF, kind: int = 8) -> None:
        self._library.standin_event(device, xid, ctypes.c_uint(instance), ctypes.c_ulonglong(kind))

    @property
    def depth(self) -> int:
        """How often the library is open."""
        return self._library.standin_depth()

    @property
    def held(self) -> int:
        """GPM samples and sets of events that have not been freed."""
        return self._library.standin_samples() + self._library.standin_sets()

    def reset(self) -> None:
        self._library.standin_reset()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(scope="session")
def standin_folder(tmp_path_factory):
    """The folder of the stand-in's `libnvidia-ml.so.1`, compiled here."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler (cc) for the stand-in of libnvidia-ml")
    folder = tmp_path_factory.mktemp("standin")
    source = Path(__file__).with_name("standin_nvml.c")
    soname = "libnvidia-ml.so.1"
    command = [compiler, "-Wall", "-Werror", "-shared", "-fPIC", f"-Wl,-soname,{soname}", "-o", folder / soname, source]
    subprocess.run(command, check=True)
    return folder


@pytest.fixture
def nvml(standin_folder, monkeypatch):
    """The stand-in, found by pynvml as it finds the real library: by its name, which the loader already knows."""
    standin = StandIn(ctypes.CDLL(str(standin_folder / "libnvidia-ml.so.1")))
    monkeypatch.setattr(pynvml, "nvmlLib", None)
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    standin.reset()
    pynvml.nvmlInit()
    if not hasattr(pynvml.nvmlLib, "standin_reset"):
        pytest.skip("another libnvidia-ml is loaded in this process")
    standin.reset()
    yield standin
    standin.reset()

"""Chooses where the GPU figures come from."""

import importlib
from collections.abc import Callable
from typing import Final

from autoglm_agent.device import GpuReader, NoGpu
from autoglm_agent.nvml import NvmlReader
from autoglm_agent.replay import ReplayReader, load_recording

#: What `--source` takes.
CHOICES: Final = ("auto", "nvml", "replay")

Clock = Callable[[], float]


def choose(choice: str, gpus: int, clock: Clock) -> tuple[GpuReader, str]:
    """Return the reader for a value of `--source`, and why it is this one.

    `auto` never ends in `replay`: invented figures have to be asked for.

    Args:
        choice: one of `CHOICES`.
        gpus: number of GPUs that a replay pretends.
        clock: monotonic time in seconds.
    """
    if choice == "replay":
        return ReplayReader(load_recording(), gpus, clock), "replay was asked for: the GPU figures are synthetic"
    # Imported here: the module takes memory that a replay does not need.
    reader = NvmlReader(importlib.import_module("pynvml"), clock)
    if choice == "nvml":
        return reader, "nvml was asked for"
    reading = reader.read()
    if reading.samples:
        return reader, f"NVML shows {len(reading.samples)} device(s)"
    reader.close()
    return NoGpu(), f"NVML shows no device: {', '.join(reading.errors) or 'its count is 0'}"

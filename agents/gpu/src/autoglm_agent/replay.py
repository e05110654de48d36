"""Replays a recording where there is no GPU: for demos, tests and development, and only when it is asked for."""

import json
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from autoglm_agent.device import GpuSample, Reading, SourceName

_RECORDING: Final = "h100_autoglm_phone_9b.jsonl"


@dataclass(frozen=True, slots=True)
class Recording:
    """A course of one GPU over time.

    Attributes:
        product: product name of the GPU.
        memory_total_bytes: memory of the GPU.
        repeat_from: second from which the course repeats once it has ended.
        duration: length of the course, in seconds.
        seconds: time of each point, ascending from 0.
        memory_used_bytes: memory in use from each point on.
        utilization: utilization from each point on, 0 to 1.
    """

    product: str
    memory_total_bytes: int
    repeat_from: float
    duration: float
    seconds: tuple[float, ...]
    memory_used_bytes: tuple[int, ...]
    utilization: tuple[float, ...]

    def position(self, elapsed: float) -> int:
        """Return which point holds `elapsed` seconds after the start."""
        if elapsed >= self.duration:
            elapsed = self.repeat_from + (elapsed - self.duration) % (self.duration - self.repeat_from)
        return bisect_right(self.seconds, elapsed) - 1


def load_recording() -> Recording:
    """Return the recording that the package ships; its first line says what it is made from."""
    text = files("autoglm_agent").joinpath(_RECORDING).read_text(encoding="utf-8")
    header, *points = (json.loads(line) for line in text.splitlines())
    return Recording(
        product=header["product"],
        memory_total_bytes=header["memoryTotalBytes"],
        repeat_from=header["repeatFromSeconds"],
        duration=header["durationSeconds"],
        seconds=tuple(point["second"] for point in points),
        memory_used_bytes=tuple(point["memoryUsedBytes"] for point in points),
        utilization=tuple(point["utilization"] for point in points),
    )


class ReplayReader:
    """Plays one recording on each of `gpus` pretended GPUs.

    Args:
        recording: what to play.
        gpus: number of GPUs.
        clock: monotonic time in seconds; the recording starts when the reader is made.
    """

    source: SourceName = "replay"

    def __init__(self, recording: Recording, gpus: int, clock: Callable[[], float]) -> None:
        self._recording = recording
        self._gpus = gpus
        self._clock = clock
        self._started = clock()

    def read(self) -> Reading:
        """Return the point of the recording that is due now, on every GPU."""
        now = self._clock()
        point = self._recording.position(now - self._started)
        return Reading(tuple(self._sample(index, point, now) for index in range(self._gpus)))

    def close(self) -> None:
        """Do nothing: a recording holds no resources."""

    def _sample(self, index: int, point: int, now: float) -> GpuSample:
        return GpuSample(
            index=index,
            # In NVIDIA's form, and recognisable at a glance as nobody's GPU.
            uuid=f"GPU-00000000-0000-0000-0000-{index:012d}",
            name=self._recording.product,
            memory_used_bytes=self._recording.memory_used_bytes[point],
            memory_total_bytes=self._recording.memory_total_bytes,
            utilization=self._recording.utilization[point],
            taken=now,
        )

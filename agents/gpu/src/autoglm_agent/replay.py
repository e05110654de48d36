"""Replays a recording where there is no GPU: for demos, tests and development, and only when it is asked for."""

from bisect import bisect_right
from collections.abc import Callable
from importlib.resources import as_file, files
from typing import Any, Final

from autoglm_agent.device import COUNTERS, GpuSample, Reading, SourceName, XidEvent
from autoglm_agent.recording import Recording, Track, load, typed
from autoglm_agent.scenario import Scenario

_SHIPPED: Final = "synthetic_h100_autoglm_phone_9b.jsonl"


def shipped() -> Recording:
    """Return the recording that the package ships; it is synthetic, and its header says what it is made from."""
    with as_file(files("autoglm_agent").joinpath(_SHIPPED)) as path:
        return load(path)


class ReplaySource:
    """Plays a recording on any number of pretended GPUs; more of them than were recorded play the same ones again.

    Args:
        recording: what to play.
        gpus: number of GPUs; `None` takes as many as were recorded.
        clock: monotonic time in seconds; the recording starts when the source is made.
        scenario: faults to add.
    """

    name: SourceName = "replay"

    def __init__(
        self, recording: Recording, gpus: int | None, clock: Callable[[], float], scenario: Scenario | None = None
    ) -> None:
        self._recording = recording
        self._gpus = len(recording.tracks) if gpus is None else gpus
        self._clock = clock
        self._scenario = scenario or Scenario(())
        self._started = clock()
        self._elapsed = -1.0

    @property
    def why(self) -> str:
        """Why it is this source: somebody asked for it."""
        kind = "synthetic" if self._recording.synthetic else "recorded"
        return f"replay was asked for: the GPU figures are {kind}"

    def read(self) -> Reading:
        """Return the point of the recording that is due now, on every GPU."""
        now = self._clock()
        before, self._elapsed = self._elapsed, now - self._started
        turn, point = self._position(self._elapsed)
        down = self._scenario.down(self._elapsed) or self._recording.down.get(point, "")
        xids = [*self._scenario.xids(before, self._elapsed, self._gpus), *self._recorded_xids(before, turn, point)]
        events = tuple(XidEvent(_uuid(gpu), xid, now) for gpu, xid in xids)
        if down:
            return Reading((), (down,), events, down)
        errors = list(self._recording.errors.get(point, ()))
        samples = []
        for index in range(self._gpus):
            if lost := self._scenario.lost(self._elapsed, index):
                errors.append(lost)
            elif sample := self._sample(index, turn, point, now):
                samples.append(sample)
        return Reading(tuple(samples), tuple(errors), events, driver=self._recording.driver)

    def close(self) -> None:
        """Do nothing: a recording holds no resources."""

    def _position(self, elapsed: float) -> tuple[int, int]:
        """Return how often the recording has repeated, and the point of it that holds now."""
        recording, turn = self._recording, 0
        if elapsed >= recording.duration:
            length = recording.duration - recording.repeat_from
            turn = 1 + int((elapsed - recording.duration) // length)
            elapsed = recording.repeat_from + (elapsed - recording.duration) % length
        return turn, max(0, bisect_right(recording.seconds, elapsed) - 1)

    def _recorded_xids(self, before: float, turn: int, point: int) -> list[tuple[int, int]]:
        """Return the XIDs of the points since the last reading, each once."""
        last_turn, last_point = self._position(before) if before >= 0 else (0, -1)
        passed = [*range(last_point + 1, point + 1)]
        if turn != last_turn:
            first = self._position(self._recording.repeat_from)[1]
            passed = [*range(last_point + 1, len(self._recording.seconds)), *range(first, point + 1)]
        tracks = len(self._recording.tracks)
        return [
            (gpu, xid)
            for number in passed
            for track, xid in self._recording.xids.get(number, ())
            for gpu in range(track, self._gpus, tracks)
        ]

    def _sample(self, index: int, turn: int, point: int, now: float) -> GpuSample | None:
        track = self._recording.tracks[index % len(self._recording.tracks)]
        if not track.present[point]:
            return None
        figures: dict[str, Any] = {name: typed(name, self._value(track, name, turn, point)) for name in track.columns}
        figures = {**_UNTOLD, **figures, **self._scenario.figures(self._elapsed, index)}
        identity = {**track.identity, "index": index, "uuid": _uuid(index)}
        return GpuSample(**identity, **figures, taken=now)

    def _value(self, track: Track, field: str, turn: int, point: int) -> float:
        """Return a figure; a counter goes on growing when the recording repeats."""
        value = track.value(field, point)
        if turn and field in COUNTERS:
            first = track.value(field, self._position(self._recording.repeat_from)[1])
            value += turn * (track.value(field, -1) - first)
        return value


_UNTOLD: Final = dict.fromkeys(("memory_used_bytes", "memory_total_bytes", "utilization"))


def _uuid(index: int) -> str:
    """Return a UUID in NVIDIA's form, and recognisable at a glance as nobody's GPU."""
    return f"GPU-00000000-0000-0000-0000-{index:012d}"

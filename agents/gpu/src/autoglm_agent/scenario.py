"""Faults that a replay adds to a recording, from a file.

A scenario is a JSON object with a list of steps:

    {"format": "autoglm-gpu-scenario", "version": 1, "steps": [
        {"at": 10, "gpu": 0, "xid": 79},
        {"at": 20, "for": 30, "gpu": 1, "set": {"memoryUsedBytes": 85000000000, "eccUncorrected": 2}},
        {"at": 60, "for": 20, "gpu": 0, "lost": "gpu_is_lost"},
        {"at": 90, "for": 10, "down": "driver_not_loaded"}]}

`at` counts seconds from the start of the replay; `for` is how long the step holds, to the end if left out; `gpu` is an
index, every GPU if left out. Each step has one of `xid` (once, at its time), `set` (figures in place of the recorded
ones), `lost` (the GPU does not answer, for this reason) and `down` (the whole source gives nothing, for this reason).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any, Final

from autoglm_agent.recording import RecordingError, figure, typed

FORMAT: Final = "autoglm-gpu-scenario"
VERSION: Final = 1
_KINDS: Final = ("xid", "set", "lost", "down")
_MOST_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that goes wrong: when, until when, on which GPU (`None` is every one), and one of the four kinds."""

    at: float
    until: float
    gpu: int | None
    xid: int | None = None
    figures: Mapping[str, Any] | None = None
    lost: str = ""
    down: str = ""

    def holds(self, elapsed: float, gpu: int | None = None) -> bool:
        """Return whether the step holds at a time, on a GPU."""
        return self.at <= elapsed < self.until and (gpu is None or self.gpu in {None, gpu})


@dataclass(frozen=True, slots=True)
class Scenario:
    """What goes wrong in a replay. Times are seconds since its start."""

    steps: tuple[Step, ...]

    def xids(self, after: float, until: float, gpus: int) -> list[tuple[int, int]]:
        """Return the GPUs and XIDs of the time after `after` and up to `until`."""
        return [
            (gpu, step.xid)
            for step in self.steps
            if step.xid is not None and after < step.at <= until
            for gpu in range(gpus)
            if step.gpu in {None, gpu}
        ]

    def down(self, elapsed: float) -> str:
        """Return why the source gives nothing; empty if it works."""
        return next((step.down for step in self.steps if step.down and step.holds(elapsed)), "")

    def lost(self, elapsed: float, gpu: int) -> str:
        """Return why a GPU does not answer; empty if it does."""
        return next((step.lost for step in self.steps if step.lost and step.holds(elapsed, gpu)), "")

    def figures(self, elapsed: float, gpu: int) -> dict[str, Any]:
        """Return the figures that take the place of the recorded ones."""
        result: dict[str, Any] = {}
        for step in self.steps:
            if step.figures and step.holds(elapsed, gpu):
                result |= step.figures
        return result


def load_scenario(path: Path) -> Scenario:
    """Return the scenario in a file.

    Raises:
        RecordingError: it cannot be read or is no scenario.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise RecordingError(f"{path}: expected a scenario of at most {_MOST_BYTES} bytes")
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecordingError(f"{path}: cannot read the scenario: {error}") from error
    if not isinstance(content, dict) or (content.get("format"), content.get("version")) != (FORMAT, VERSION):
        raise RecordingError(f'{path}: not a scenario; expected "format": "{FORMAT}", "version": {VERSION}')
    steps = content.get("steps")
    if not isinstance(steps, list):
        raise RecordingError(f"{path}: steps is {steps!r}; expected a list")
    return Scenario(tuple(_step(each, f"{path}, step {number}") for number, each in enumerate(steps)))


def _step(content: Any, where: str) -> Step:
    if not isinstance(content, dict):
        raise RecordingError(f"{where}: {content!r} is no step; expected an object")
    kinds = [kind for kind in _KINDS if kind in content]
    unknown = set(content) - {"at", "for", "gpu", *_KINDS}
    if len(kinds) != 1 or unknown:
        raise RecordingError(f"{where}: has {sorted(content)}; expected at, for, gpu and one of {', '.join(_KINDS)}")
    at, length = _seconds(content, "at", 0.0, where), _seconds(content, "for", inf, where)
    gpu = content.get("gpu")
    if gpu is not None and (not isinstance(gpu, int) or gpu < 0):
        raise RecordingError(f"{where}: gpu is {gpu!r}; expected an index from 0 on")
    value = content[kinds[0]]
    return Step(at, at + length, gpu, **_kind(kinds[0], value, where))


def _kind(kind: str, value: Any, where: str) -> dict[str, Any]:
    """Return the attribute of a step that its kind fills."""
    if kind == "xid" and isinstance(value, int):
        return {"xid": value}
    if kind == "set" and isinstance(value, dict):
        pairs = [figure(name, number, where) for name, number in value.items()]
        return {"figures": {field: typed(field, number) for field, number in pairs}}
    if kind in {"lost", "down"} and isinstance(value, str) and value:
        return {kind: value}
    expected = {"xid": "a number", "set": "an object of figures"}.get(kind, "a reason, such as gpu_is_lost")
    raise RecordingError(f"{where}: {kind} is {value!r}; expected {expected}")


def _seconds(content: dict[str, Any], key: str, default: float, where: str) -> float:
    value = content.get(key, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
        raise RecordingError(f"{where}: {key} is {value!r}; expected seconds from 0 on")
    return float(value)

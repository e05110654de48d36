"""Recordings of GPUs: the format and the loader.

A recording is a text of JSON objects, one a line. The first is the header:

    {"format": "autoglm-gpu-recording", "version": 1, "synthetic": false, "about": "…", "driver": "580.65.06",
     "repeatFromSeconds": 0}

`synthetic` is true if no GPU was measured; `about` says what it shows and where it is from; a replay that reaches the
end goes on from `repeatFromSeconds`. Every other line is one pass over the devices:

    {"second": 1.0, "gpus": {"0": {"name": "NVIDIA H100 80GB HBM3", "memoryUsedBytes": 650117120, …}, "1": null},
     "xids": [{"gpu": "0", "xid": 31}], "errors": ["gpu_is_lost"], "down": ""}

`gpus` holds, by the order in which the devices were first seen, what has changed since the last line: fields of
`device.GpuSample` in camel case, `null` for a figure that is not told any more, and `null` for a device that did not
answer. The other keys are left out while they are empty. UUIDs, bus ids and processes are never written, so that a
recording can be passed on.
"""

import json
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from math import isnan, nan
from pathlib import Path
from typing import Any, Final, TypeGuard, get_args

from autoglm_agent.device import FIGURES, GpuSample

FORMAT: Final = "autoglm-gpu-recording"
VERSION: Final = 1
#: A recording ends, and one that is loaded may go, no further: an hour of eight GPUs takes 5 to 15 MB.
MOST_BYTES: Final = 64 << 20
#: No figure is larger, and each that is smaller fits a float.
_MOST: Final = 1e300
#: Values that a replay holds in memory, eight bytes each.
_MOST_VALUES: Final = 4_000_000

#: What of the identity is recorded.
NAMES: Final = ("index", "name", "kind", "mig_profile")


def camel(name: str) -> str:
    """Return the name of a field in a recording, such as `memoryUsedBytes`."""
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


_FIGURE_OF: Final = {camel(name): name for name in FIGURES}
_NAME_OF: Final = {camel(name): name for name in NAMES}
_NAME_TYPES: Final = {"index": int, "name": str, "kind": str, "migProfile": str}
_KINDS: Final = ("gpu", "mig", "vgpu")
_TYPES: Final[Mapping[str, type]] = {
    each.name: next(kind for kind in (bool, int, float) if kind in get_args(each.type))
    for each in fields(GpuSample)
    if each.name in FIGURES
}


class RecordingError(ValueError):
    """A recording or a scenario that cannot be used: the message names the file, the line and what was expected."""


def figure(name: str, value: object, where: str) -> tuple[str, float]:
    """Return the field and the value of a recorded figure, not a number for `null`.

    Args:
        name: in camel case.
        value: as JSON holds it.
        where: file and line, for the message.

    Raises:
        RecordingError: there is no such figure, or it is no number.
    """
    field = _FIGURE_OF.get(name)
    if field is None:
        raise RecordingError(f"{where}: {name!r} is no figure of a GPU; expected one such as memoryUsedBytes")
    if value is None:
        return field, nan
    if not is_number(value):
        raise RecordingError(f"{where}: {name} is {value!r}; expected a number from 0 on, or null")
    return field, float(value)


def is_number(value: object) -> TypeGuard[float]:
    """Tell whether a value out of JSON is a number from 0 on; a flag is one, as 0 or 1."""
    return isinstance(value, (int, float)) and 0 <= value < _MOST and not isnan(value)


def typed(field: str, value: float) -> Any:
    """Return a figure in its own type; `None` for not a number."""
    return None if isnan(value) else _TYPES[field](value)


@dataclass(slots=True)
class Track:
    """One recorded device.

    Attributes:
        identity: its fields that are no figures.
        columns: the figures that are ever told, over the passes, not a number where not told; one that never changes
            is one value.
        present: for each pass, whether the device answered.
    """

    identity: dict[str, Any]
    columns: dict[str, "array[float]"]
    present: bytearray

    def value(self, field: str, point: int) -> float:
        """Return a figure at a pass; not a number where not told."""
        column = self.columns[field]
        return column[point if len(column) > 1 else 0]


@dataclass(frozen=True, slots=True)
class Recording:
    """A loaded recording.

    Attributes:
        about: what it shows and where it is from.
        synthetic: whether no GPU was measured.
        driver: version of the driver.
        repeat_from: second from which it repeats.
        duration: seconds after which it repeats.
        seconds: time of each pass, ascending from 0.
        tracks: the devices.
        xids: device and XID, by the number of the pass.
        errors: reasons of failed calls, by the number of the pass.
        down: why the source gave nothing, by the number of the pass.
    """

    about: str
    synthetic: bool
    driver: str
    repeat_from: float
    duration: float
    seconds: "array[float]"
    tracks: tuple[Track, ...]
    xids: Mapping[int, tuple[tuple[int, int], ...]]
    errors: Mapping[int, tuple[str, ...]]
    down: Mapping[int, str]


def load(path: Path) -> Recording:
    """Return the recording in a file; a last line that was cut off is left out.

    Raises:
        RecordingError: it cannot be read, is too large, or is no recording.
    """
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise RecordingError(f"{path}: the recording has {size} bytes; expected at most {MOST_BYTES}")
        with path.open(encoding="utf-8") as lines:
            return _Loader(str(path)).load(lines)
    except (OSError, UnicodeDecodeError) as error:
        raise RecordingError(f"{path}: cannot read the recording: {error}") from error


_JSON_KINDS: Final[dict[type, str]] = {dict: "object", list: "array", str: "string"}


class _Loader:
    """Builds a recording line by line."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._where = name
        self._tracks: dict[str, Track] = {}
        self._last: dict[str, dict[str, float]] = {}
        self._seconds: array[float] = array("d")
        self._xids: dict[int, tuple[tuple[int, int], ...]] = {}
        self._errors: dict[int, tuple[str, ...]] = {}
        self._down: dict[int, str] = {}

    def load(self, lines: Iterable[str]) -> Recording:
        """Return the recording."""
        header: dict[str, Any] | None = None
        broken = ""
        for number, line in enumerate(lines, start=1):
            if broken:
                raise RecordingError(broken)
            self._where = f"{self._name}, line {number}"
            try:
                content = json.loads(line)
            except ValueError as error:
                broken = f"{self._where}: not JSON: {error}"
                continue
            if not isinstance(content, dict):
                raise RecordingError(f"{self._where}: expected a JSON object")
            if header is None:
                header = self._header(content)
            else:
                self._pass(content)
        if header is None or not self._seconds:
            raise RecordingError(f"{self._name}: the recording has no passes; expected a header and at least one")
        return self._finish(header)

    def _header(self, content: dict[str, Any]) -> dict[str, Any]:
        if content.get("format") != FORMAT:
            raise RecordingError(f'{self._where}: not a recording; expected "format": "{FORMAT}"')
        if content.get("version") != VERSION:
            raise RecordingError(
                f"{self._where}: version {content.get('version')!r} of the format; this agent reads {VERSION}"
            )
        return content

    def _pass(self, content: dict[str, Any]) -> None:
        second = content.get("second")
        if not is_number(second) or (self._seconds and second <= self._seconds[-1]):
            raise RecordingError(f"{self._where}: second is {second!r}; expected more than in the line before")
        point = len(self._seconds)
        self._seconds.append(second)
        gpus = self._part(content, "gpus", dict)
        for key in gpus:
            if key not in self._tracks:
                self._add(key, point)
        for key, track in self._tracks.items():
            self._extend(key, track, gpus.get(key, {}))
        if point * sum(len(track.columns) for track in self._tracks.values()) > _MOST_VALUES:
            raise RecordingError(f"{self._where}: more than {_MOST_VALUES} values; record for a shorter time")
        if xids := self._part(content, "xids", list):
            self._xids[point] = tuple(self._xid(each) for each in xids)
        if errors := self._part(content, "errors", list):
            self._errors[point] = tuple(str(each) for each in errors)
        if down := self._part(content, "down", str):
            self._down[point] = down

    def _part(self, content: dict[str, Any], key: str, kind: type) -> Any:
        """Return what a line holds under a key; empty if it is left out."""
        value = content.get(key, kind())
        if not isinstance(value, kind):
            raise RecordingError(f"{self._where}: {key} is {value!r}; expected a JSON {_JSON_KINDS[kind]}")
        return value

    def _xid(self, each: Any) -> tuple[int, int]:
        try:
            return list(self._tracks).index(each["gpu"]), int(each["xid"])
        except (KeyError, TypeError, ValueError) as error:
            raise RecordingError(f"{self._where}: {each!r} is no XID; expected a known gpu and a number") from error

    def _add(self, key: str, point: int) -> None:
        columns = {name: array("d", [nan]) * point for name in FIGURES}
        self._tracks[key] = Track({"index": len(self._tracks), "name": "GPU"}, columns, bytearray(point))
        self._last[key] = dict.fromkeys(FIGURES, nan)

    def _extend(self, key: str, track: Track, changes: Any) -> None:
        last = self._last[key]
        if changes is not None and not isinstance(changes, dict):
            raise RecordingError(f"{self._where}: gpu {key} is {changes!r}; expected an object or null")
        for name, value in (changes or {}).items():
            if name in _NAME_OF:
                if not isinstance(value, _NAME_TYPES[name]) or (name == "kind" and value not in _KINDS):
                    raise RecordingError(f"{self._where}: {name} of gpu {key} is {value!r}")
                track.identity[_NAME_OF[name]] = value
            else:
                field, number = figure(name, value, self._where)
                last[field] = number
        track.present.append(changes is not None)
        for field, column in track.columns.items():
            column.append(last[field])

    def _finish(self, header: dict[str, Any]) -> Recording:
        for track in self._tracks.values():
            track.columns = {
                field: column[:1] if column.count(column[0]) == len(column) else column
                for field, column in track.columns.items()
                if not all(map(isnan, column))
            }
        ends = self._seconds
        step = ends[-1] - ends[-2] if len(ends) > 1 else 1.0
        duration = ends[-1] + step
        repeat_from = header.get("repeatFromSeconds", 0)
        if not is_number(repeat_from) or repeat_from >= duration:
            raise RecordingError(f"{self._name}: repeatFromSeconds is {repeat_from!r}; expected 0 to {duration:g}")
        return Recording(
            about=str(header.get("about", "")),
            synthetic=bool(header.get("synthetic")),
            driver=str(header.get("driver", "")),
            repeat_from=float(repeat_from),
            duration=duration,
            seconds=ends,
            tracks=tuple(self._tracks.values()),
            xids=self._xids,
            errors=self._errors,
            down=self._down,
        )

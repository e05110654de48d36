"""Writes what a source reads into a recording, whose format `recording` describes."""

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from autoglm_agent.device import FIGURES, Reading, Source, SourceName
from autoglm_agent.recording import FORMAT, MOST_BYTES, NAMES, VERSION, RecordingError, camel

_logger = logging.getLogger(__name__)


class Recorder:
    """A source that also writes what it reads into a file.

    A file that cannot be written, or grows too large, ends the recording and not the reading.

    Args:
        source: what to read.
        path: file to write; one that exists is written anew.
        clock: monotonic time in seconds.

    Raises:
        RecordingError: the file cannot be opened.
    """

    def __init__(self, source: Source, path: Path, clock: Callable[[], float]) -> None:
        self._source = source
        self._path = path
        self._clock = clock
        self._keys: dict[str, str] = {}
        self._last: dict[str, dict[str, Any]] = {}
        self._started: float | None = None
        self._written = 0
        try:
            self._file: IO[str] | None = path.open("w", encoding="utf-8")
        except OSError as error:
            raise RecordingError(f"{path}: cannot write the recording: {error.strerror}") from error

    @property
    def name(self) -> SourceName:
        """Where the figures come from."""
        return self._source.name

    @property
    def why(self) -> str:
        """Why it is this source, for people."""
        return self._source.why

    def read(self) -> Reading:
        """Read the source and write what it gave."""
        reading = self._source.read()
        if self._file is not None:
            self._write(reading)
        return reading

    def close(self) -> None:
        """End the recording and close the source."""
        self._end()
        self._source.close()

    def _write(self, reading: Reading) -> None:
        now = self._clock()
        if self._started is None:
            self._started = now
            about = f"recorded by autoglm-agent from {self._source.name}"
            header = {"format": FORMAT, "version": VERSION, "synthetic": self._source.name == "replay", "about": about}
            self._line(header | {"driver": reading.driver, "repeatFromSeconds": 0})
        line: dict[str, Any] = {"second": round(now - self._started, 3), "gpus": self._changes(reading)}
        xids = [{"gpu": self._keys[each.uuid], "xid": each.xid} for each in reading.xids if each.uuid in self._keys]
        line |= {"xids": xids} if xids else {}
        line |= {"errors": list(reading.errors)} if reading.errors else {}
        line |= {"down": reading.down} if reading.down else {}
        self._line(line)

    def _changes(self, reading: Reading) -> dict[str, dict[str, Any] | None]:
        changes: dict[str, dict[str, Any] | None] = {}
        for sample in reading.samples:
            key = self._keys.setdefault(sample.uuid, str(len(self._keys)))
            now = {name: getattr(sample, name) for name in (*NAMES, *FIGURES)}
            before = self._last.get(key, {})
            fresh = {camel(name): value for name, value in now.items() if value != before.get(name)}
            self._last[key] = now
            if fresh:
                changes[key] = fresh
        answered = {sample.uuid for sample in reading.samples}
        return changes | {key: None for uuid, key in self._keys.items() if uuid not in answered}

    def _line(self, content: Mapping[str, Any]) -> None:
        text = json.dumps(content, separators=(",", ":")) + "\n"
        self._written += len(text)
        if self._file is None:
            return
        if self._written > MOST_BYTES:
            _logger.warning("recording ended: it is full", extra={"path": str(self._path), "bytes": self._written})
            self._end()
            return
        try:
            self._file.write(text)
            self._file.flush()
        except OSError as error:
            _logger.warning("recording ended", extra={"path": str(self._path), "error": str(error)})
            self._end()

    def _end(self) -> None:
        file, self._file = self._file, None
        if file is None:
            return
        try:
            file.close()
        except OSError as error:
            _logger.warning("recording ended", extra={"path": str(self._path), "error": str(error)})

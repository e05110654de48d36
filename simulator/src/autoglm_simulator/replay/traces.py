"""Traces of traffic: Azure's CSV, Mooncake's JSON lines and rates in CSV, told apart by what is in them.

A trace of requests is brought down to windows of one minute; a trace of rates has its own windows. Either way a window
says how many requests arrive per second, how bursty they are and how long they are.
"""

import csv
import itertools
import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple, TextIO

WINDOW: Final = 60.0
"""Seconds into which a trace of requests is divided."""
BLOCK: Final = 5.0
"""Seconds over which arrivals are correlated, and over which dispersion is measured."""
TOKENS: Final = (1000.0, 250.0)
"""Prompt and output tokens of a request where a trace of rates does not say: the reference plant's."""

_AZURE: Final = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
_RATE: Final = ("window_start_s", "rate_rps")
_DISPERSION: Final = "index_of_dispersion"
_RATE_TOKENS: Final = ("input_tokens", "output_tokens")
_MOONCAKE: Final = ("timestamp", "input_length", "output_length")


class TraceError(ValueError):
    """A trace that cannot be read: says file, line, column, value and what was expected."""


class Window(NamedTuple):
    """A stretch of a trace.

    Attributes:
        start: Seconds since the start of the trace.
        seconds: Its length.
        rate: Requests per second.
        dispersion: Index of dispersion of the counts over `BLOCK` seconds: 1 for a Poisson process.
        input_tokens: Prompt tokens per request, mean.
        output_tokens: Output tokens per request, mean.
        input_spread: Standard deviation of the prompt tokens over their mean.
    """

    start: float
    seconds: float
    rate: float
    dispersion: float
    input_tokens: float
    output_tokens: float
    input_spread: float


class Arrival(NamedTuple):
    """One request of a trace, in seconds since its start."""

    time: float
    input_tokens: float
    output_tokens: float


@dataclass(frozen=True)
class Trace:
    """Traffic as recorded.

    Attributes:
        kind: `azure`, `mooncake` or `rate`.
        windows: In order of time, without gaps.
        arrivals: Each request, where the trace has them; else empty.
    """

    kind: str
    windows: tuple[Window, ...]
    arrivals: tuple[Arrival, ...] = ()

    @property
    def seconds(self) -> float:
        """Length of the trace."""
        return self.windows[-1].start + self.windows[-1].seconds

    @property
    def mean_rate(self) -> float:
        """Requests per second over the whole trace."""
        return sum(window.rate * window.seconds for window in self.windows) / self.seconds


def read_trace(path: Path, tokens: tuple[float, float] = TOKENS) -> Trace:
    """Read a trace of any of the three formats.

    Args:
        path: The file.
        tokens: Prompt and output tokens of a request, for a trace of rates without columns for them.

    Raises:
        TraceError: The file cannot be read, or is none of the formats.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _read(file, path.name, tokens)
    except OSError as error:
        raise TraceError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TraceError(f"{path.name}: is not text in UTF-8: expected a trace in CSV or JSON lines") from error


def _read(file: TextIO, name: str, tokens: tuple[float, float]) -> Trace:
    first = file.readline()
    number = 1
    while first and not first.strip():
        first = file.readline()
        number += 1
    if not first:
        raise TraceError(f"{name}: is empty: expected a trace in CSV or JSON lines")
    if first.lstrip().startswith("{"):
        lines = enumerate(itertools.chain([first], file), number)
        return _from_arrivals("mooncake", name, _mooncake(name, lines))
    header = [column.strip() for column in next(csv.reader([first]))]
    rows = enumerate(csv.reader(file), number + 1)
    if all(column in header for column in _AZURE):
        return _from_arrivals("azure", name, _azure(name, header, rows))
    if all(column in header for column in _RATE):
        return Trace("rate", _rates(name, header, rows, tokens))
    raise TraceError(
        f"{name}:{number}: got columns {', '.join(header)[:200]}; expected a header with {', '.join(_AZURE)} (Azure), "
        f"with {', '.join((*_RATE, _DISPERSION))} (rates), or JSON lines with {', '.join(_MOONCAKE)} (Mooncake)"
    )


# -- cells ---------------------------------------------------------------------------------------------------------


def _number(where: str, value: object, least: float = 0.0) -> float:
    try:
        number = float(str(value))
    except ValueError:
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number) or number < least:
        raise TraceError(f"{where}: got {value!r}, expected a number of at least {least:g}")
    return number


def _time(where: str, value: str) -> float:
    try:
        moment = datetime.fromisoformat(value.strip())
    except ValueError as error:
        raise TraceError(f"{where}: got {value!r}, expected a time such as 2023-11-16 18:15:46.6805900") from error
    # Without a zone it is UTC: a local one would have hours twice or never.
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _cells(
    name: str, header: list[str], rows: Iterable[tuple[int, list[str]]], columns: tuple[str, ...]
) -> Iterator[tuple[int, list[str]]]:
    places = [header.index(column) for column in columns]
    for line, row in rows:
        if not any(cell.strip() for cell in row):
            continue
        if len(row) < len(header):
            raise TraceError(f"{name}:{line}: got {len(row)} columns, expected {len(header)}: {', '.join(header)}")
        yield line, [row[place] for place in places]


# -- traces of requests ----------------------------------------------------------------------------------------------


def _azure(name: str, header: list[str], rows: Iterable[tuple[int, list[str]]]) -> Iterator[Arrival]:
    for line, (time, inputs, outputs) in _cells(name, header, rows, _AZURE):
        where = f"{name}:{line}: column"
        yield Arrival(
            _time(f"{where} {_AZURE[0]}", time),
            _number(f"{where} {_AZURE[1]}", inputs),
            _number(f"{where} {_AZURE[2]}", outputs),
        )


def _mooncake(name: str, lines: Iterable[tuple[int, str]]) -> Iterator[Arrival]:
    for line, text in lines:
        if not text.strip():
            continue
        try:
            item = json.loads(text)
        except json.JSONDecodeError as error:
            raise TraceError(f"{name}:{line}: column {error.colno}: is not JSON: {error.msg}") from error
        if not isinstance(item, dict) or any(key not in item for key in _MOONCAKE):
            raise TraceError(f"{name}:{line}: expected an object with {', '.join(_MOONCAKE)}")
        time, inputs, outputs = (_number(f"{name}:{line}: field {key}", item[key]) for key in _MOONCAKE)
        yield Arrival(time / 1000, inputs, outputs)


def _from_arrivals(kind: str, name: str, found: Iterator[Arrival]) -> Trace:
    arrivals = sorted(found)
    if not arrivals:
        raise TraceError(f"{name}: has no request")
    start = arrivals[0].time
    shifted = tuple(arrival._replace(time=arrival.time - start) for arrival in arrivals)
    return Trace(kind, tuple(_windows(shifted)), shifted)


def _windows(arrivals: tuple[Arrival, ...]) -> Iterator[Window]:
    end = max(1.0, math.ceil(arrivals[-1].time + 1e-9))
    place = 0
    tokens = (max(1.0, arrivals[0].input_tokens), max(1.0, arrivals[0].output_tokens))
    for number in range(math.ceil(end / WINDOW)):
        start = number * WINDOW
        seconds = min(WINDOW, end - start)
        first = place
        while place < len(arrivals) and arrivals[place].time < start + WINDOW:
            place += 1
        inside = arrivals[first:place]
        spread = 0.0
        if inside:
            inputs = [max(1.0, arrival.input_tokens) for arrival in inside]
            mean = sum(inputs) / len(inputs)
            spread = math.sqrt(sum((value - mean) ** 2 for value in inputs) / len(inputs)) / mean
            tokens = (mean, sum(max(1.0, arrival.output_tokens) for arrival in inside) / len(inside))
        yield Window(start, seconds, len(inside) / seconds, _dispersion(inside, start, seconds), *tokens, spread)


def _dispersion(inside: tuple[Arrival, ...], start: float, seconds: float) -> float:
    blocks = int(seconds / BLOCK)
    counts = [0] * blocks
    for arrival in inside:
        block = int((arrival.time - start) / BLOCK)
        if block < blocks:
            counts[block] += 1
    mean = sum(counts) / blocks if blocks else 0.0
    if blocks < 2 or not mean:  # noqa: PLR2004 (a variance needs two)
        return 1.0
    return max(1.0, sum((count - mean) ** 2 for count in counts) / (blocks - 1) / mean)


# -- traces of rates -------------------------------------------------------------------------------------------------


def _rates(
    name: str, header: list[str], rows: Iterable[tuple[int, list[str]]], tokens: tuple[float, float]
) -> tuple[Window, ...]:
    optional = tuple(column for column in (_DISPERSION, *_RATE_TOKENS) if column in header)
    found: list[Window] = []
    origin = None
    for line, cells in _cells(name, header, rows, (*_RATE, *optional)):
        where = f"{name}:{line}: column"
        value: Callable[[str], str] = dict(zip((*_RATE, *optional), cells, strict=True)).__getitem__
        start = _number(f"{where} {_RATE[0]}", value(_RATE[0]), -math.inf)
        origin = start if origin is None else origin
        if found and start - origin <= found[-1].start:
            raise TraceError(f"{where} {_RATE[0]}: got {start:g}, expected more than in the line before")
        given = [
            _number(f"{where} {column}", value(column)) if column in optional else default
            for column, default in zip((_DISPERSION, *_RATE_TOKENS), (1.0, *tokens), strict=True)
        ]
        rate = _number(f"{where} {_RATE[1]}", value(_RATE[1]))
        found.append(Window(start - origin, 0.0, rate, max(1.0, given[0]), max(1.0, given[1]), max(1.0, given[2]), 0.0))
    if len(found) < 2:  # noqa: PLR2004 (the length of a window is the distance to the next)
        raise TraceError(f"{name}: has {len(found)} windows, expected at least 2")
    lengths = [later.start - earlier.start for earlier, later in itertools.pairwise(found)]
    return tuple(window._replace(seconds=length) for window, length in zip(found, [*lengths, lengths[-1]], strict=True))

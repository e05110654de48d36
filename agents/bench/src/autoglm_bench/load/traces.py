"""Public traces of LLM traffic, read into arrivals. Pure: text in, arrivals out.

- Azure (Azure/AzurePublicDataset, CC-BY-4.0): CSV with `TIMESTAMP`, `ContextTokens`, `GeneratedTokens`.
- Mooncake (kvcache-ai/Mooncake, Apache-2.0): JSON lines with `timestamp` in milliseconds, `input_length`,
  `output_length` and `hash_ids`, one for each block of 512 tokens; requests with the same leading ids share that part
  of their prompts.
"""

import csv
import json
import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from itertools import takewhile
from typing import Any, Final

from autoglm_bench.load.arrivals import Arrival, Shape

PHASE: Final = "trace"
#: Tokens in one block of a Mooncake trace.
MOONCAKE_BLOCK: Final = 512
# Seven digits of a second are one more than datetime takes.
_FRACTION_DIGITS: Final = 6


class TraceError(ValueError):
    """A line of a trace cannot be read."""


def read(name: str, lines: Iterable[str], speed: float = 1.0, seconds: float = float("inf")) -> list[Arrival]:
    """Return the arrivals of a trace, the first at second 0.

    Args:
        name: of the file, for messages; `.jsonl` is Mooncake's form, anything else Azure's.
        lines: its content.
        speed: 2 plays it twice as fast.
        seconds: arrivals after this are left out.

    Raises:
        TraceError: a line is not of the form, or there is none.
    """
    rows = _mooncake(name, lines) if name.endswith((".jsonl", ".json")) else _azure(name, lines)
    found = sorted(rows, key=lambda row: row[0])
    if not found:
        raise TraceError(f"{name} holds no request")
    start = found[0][0]
    seen: set[int] = set()
    arrivals = (Arrival((at - start) / speed, PHASE, _shared(shape, seen)) for at, shape in found)
    return [arrival for arrival in arrivals if arrival.at < seconds]


def _shared(shape: Shape, seen: set[int]) -> Shape:
    """Tell how much of the prompt was seen before, and add it to what was."""
    if not shape.blocks:
        return shape
    known = len(list(takewhile(seen.__contains__, shape.blocks)))
    seen.update(shape.blocks)
    return replace(shape, shared_tokens=min(shape.prompt_tokens, known * MOONCAKE_BLOCK))


def _azure(name: str, lines: Iterable[str]) -> list[tuple[float, Shape]]:
    reader = csv.DictReader(lines)
    wanted = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
    if missing := [column for column in wanted if column not in (reader.fieldnames or ())]:
        raise TraceError(
            f"{name} has the columns {', '.join(reader.fieldnames or ()) or 'none'}; expected {', '.join(wanted)} "
            f"(Azure), or a file that ends in .jsonl (Mooncake); {', '.join(missing)} is missing"
        )
    return [_row(name, number, row, _azure_row) for number, row in enumerate(reader, 2)]


def _azure_row(row: dict[str, str]) -> tuple[float, Shape]:
    head, dot, fraction = row["TIMESTAMP"].strip().partition(".")
    time = datetime.fromisoformat(head + dot + fraction[:_FRACTION_DIGITS])
    return time.timestamp(), Shape(int(row["ContextTokens"]), max(1, int(row["GeneratedTokens"])))


def _mooncake(name: str, lines: Iterable[str]) -> list[tuple[float, Shape]]:
    return [_row(name, number, line, _mooncake_row) for number, line in enumerate(lines, 1) if line.strip()]


def _mooncake_row(line: str) -> tuple[float, Shape]:
    row = json.loads(line)
    blocks = tuple(int(block) for block in row.get("hash_ids") or ())
    return float(row["timestamp"]) / 1000, Shape(int(row["input_length"]), max(1, int(row["output_length"])), blocks)


def _row(name: str, number: int, row: Any, read_row: Callable[[Any], tuple[float, Shape]]) -> tuple[float, Shape]:
    try:
        at, shape = read_row(row)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TraceError(f"{name} line {number}: {error!r} in {str(row)[:120]}") from error
    if shape.prompt_tokens < 0 or not math.isfinite(at):
        raise TraceError(f"{name} line {number}: a length below 0, or no time, in {str(row)[:120]}")
    return at, shape

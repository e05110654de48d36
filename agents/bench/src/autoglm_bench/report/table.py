"""The result on a terminal. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from autoglm_bench.report.facts import facts
from autoglm_bench.words import at

_HEAD = ("PHASE", "SENT", "OK", "LATE", "REQ/S", "TOK/S", "TTFT P50", "P99", "ITL P50", "P99", "E2E P50", "P99")


def table(document: Mapping[str, Any]) -> str:
    """Return the result for people: a table of the phases, and what else there is to know."""
    phases = document["phases"] if len(document["phases"]) > 1 else []
    rows = [_HEAD, *(_row(phase["name"], phase) for phase in phases), _row("total", document)]
    lines = [*columns(rows), "", document["verdict"]]
    lines += [f"{name}: {text}" for name, text in facts(document)]
    lines += _failures(document)
    lines += [f"note: {note}" for note in document["notes"]]
    if document["partial"]:
        lines.append(f"partial: {document['partialReason']}")
    return "\n".join(lines).rstrip() + "\n"


def columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield rows as lines: the first column to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def _row(name: str, figures: Mapping[str, Any]) -> Sequence[str]:
    counts = [str(figures[key]) for key in ("requests", "succeeded", "late")]
    rates = [f"{figures['requestsPerSecond']:.1f}", f"{figures['outputTokensPerSecond']:.0f}"]
    latencies = [at(figures[key], percentile) for key in ("ttft", "itl", "duration") for percentile in (50, 99)]
    return [name, *counts, *rates, *latencies]


def _failures(document: Mapping[str, Any]) -> Iterator[str]:
    for cause, count in document["failures"].items():
        details = document["failureDetails"].get(cause, [])
        yield f"failed: {count} with cause {cause}" + (f", such as: {details[0]}" if details else "")

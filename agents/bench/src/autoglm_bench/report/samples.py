"""Single requests in the result: what plots and comparisons are made of. Pure."""

from typing import Any, Final

from autoglm_bench.figures.records import CAUSES, Records

#: Above this number of requests every second, third … is kept, so that the file stays readable and small.
MOST: Final = 20_000
_DIGITS: Final = 6


def samples(records: Records) -> dict[str, Any]:
    """Return single requests in columns; times are seconds."""
    every = -(-len(records) // MOST) or 1
    rows = sorted(range(len(records)), key=records.due.__getitem__)[::every]
    return {
        "every": every,
        "due": [round(records.due[row], _DIGITS) for row in rows],
        "sent": [round(records.sent[row], _DIGITS) for row in rows],
        "ttft": [_number(records.ttft[row]) for row in rows],
        "itl": [_number(records.itl[row]) for row in rows],
        "duration": [_number(records.duration[row]) for row in rows],
        "promptTokens": [tokens if (tokens := records.prompt_tokens[row]) >= 0 else None for row in rows],
        "outputTokens": [records.output_tokens[row] for row in rows],
        "phase": [records.phases[records.phase[row]] for row in rows],
        "cause": [None if records.succeeded(row) else CAUSES[records.cause[row]].value for row in rows],
    }


def _number(value: float) -> float | None:
    return round(value, _DIGITS) if value == value else None  # noqa: PLR0124  not a number

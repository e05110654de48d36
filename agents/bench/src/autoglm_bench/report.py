"""The results in the forms that people and programs read. Pure."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from autoglm_bench.profiles import Phase
from autoglm_bench.run import Load, Outcome
from autoglm_bench.stats import PERCENTILES, Distribution, Summary, summarise, total

#: Version of the JSON document; fields may be added within one version.
SCHEMA_VERSION: Final = 1


def document(load: Load, outcome: Outcome) -> dict[str, Any]:
    """Return the JSON document of a load: figures of the whole, then of each phase; times are seconds."""
    return {
        "schemaVersion": SCHEMA_VERSION,
        "partial": outcome.partial,
        "startedAt": outcome.started,
        "load": {
            "url": load.target.url,
            "model": load.target.model,
            "promptTokens": load.prompt_tokens,
            "outputTokens": load.target.output_tokens,
            "seed": load.seed,
            "phases": [_phase(phase) for phase in load.phases],
        },
        **_figures(total(load.phases, outcome.results)),
        "phases": [{"name": phase.name, **_figures(phase)} for phase in summarise(load.phases, outcome.results)],
    }


def _phase(phase: Phase) -> dict[str, Any]:
    return asdict(phase) | {"arrivals": phase.arrivals.value}


def _figures(summary: Summary) -> dict[str, Any]:
    return {
        "seconds": summary.seconds,
        "requests": summary.requests,
        "succeeded": summary.succeeded,
        "failed": summary.requests - summary.succeeded,
        "late": summary.late,
        "failures": dict(summary.failures),
        "outputTokens": summary.output_tokens,
        "ttft": _distribution(summary.ttft),
        "itl": _distribution(summary.itl),
        "duration": _distribution(summary.duration),
    }


def _distribution(found: Distribution | None) -> dict[str, Any] | None:
    if found is None:
        return None
    percentiles = {f"p{percent}": value for percent, value in found.percentiles.items()}
    return {"count": found.count, "mean": found.mean, **percentiles, "max": found.maximum}


def table(load: Load, outcome: Outcome) -> str:
    """Return the results for people; latencies in milliseconds."""
    head = ["PHASE", "SENT", "OK", "LATE", *(f"TTFT P{p}" for p in PERCENTILES), *(f"ITL P{p}" for p in PERCENTILES)]
    summaries = [*summarise(load.phases, outcome.results), total(load.phases, outcome.results)]
    rows = [head, *(_row(summary) for summary in summaries)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = [
        "  ".join(cell.ljust(width) if column == 0 else cell.rjust(width) for column, (cell, width) in enumerate(cells))
        for cells in (list(zip(row, widths, strict=True)) for row in rows)
    ]
    lines += [""] + [f"failed: {count} with cause {cause}" for cause, count in summaries[-1].failures.items()]
    if outcome.partial:
        lines.append("partial: the load was stopped before its end")
    return "\n".join(lines).rstrip() + "\n"


def _row(summary: Summary) -> list[str]:
    counts = [str(number) for number in (summary.requests, summary.succeeded, summary.late)]
    return [summary.name, *counts, *_milliseconds(summary.ttft), *_milliseconds(summary.itl)]


def _milliseconds(found: Distribution | None) -> Sequence[str]:
    if found is None:
        return ["-"] * len(PERCENTILES)
    return [f"{1000 * value:.0f} ms" for value in found.percentiles.values()]

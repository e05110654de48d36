"""What a run that is a Kubernetes Job leaves behind: a last word, and a folder of reports.

The Job has no rights in the cluster: its controller reads the last word from the pod's status.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from autoglm_bench.compare.verdict import Comparison
from autoglm_bench.files import FileError, write
from autoglm_bench.report.html import html
from autoglm_bench.report.markdown import comparison_markdown, markdown

#: The kubelet keeps so much of a last word.
LAST_WORD_BYTES: Final = 4096
RESULT_FILE: Final = "result.json"
_SENTENCE: Final = 600
_MILLI: Final = 1000
_LATENCIES: Final = (("ttft", "ttft"), ("itl", "itl"), ("duration", "e2e"))
_PERCENTILES: Final = (50, 99)


def last_word(found: Mapping[str, Any], comparison: Comparison | None, unwritten: str) -> str:
    """Return what is left of a result in the pod's status, at most as long as the kubelet keeps. Pure.

    Args:
        found: document of the run.
        comparison: with the baseline; `None` without one.
        unwritten: why there is no report; empty if there is one, or none was asked for.
    """
    held = [objective["held"] for objective in found["objectives"]]
    said: dict[str, Any] = {
        "verdict": found["verdict"][:_SENTENCE] + (f"; no report: {unwritten}" if unwritten else ""),
        "partial": found["partial"],
        "objectiveMet": all(held) if held and None not in held else None,
        "sequence": found["sequenceHash"],
        "report": not unwritten,
        "results": list(_rows(found)),
    }
    if comparison is not None:
        said |= {"comparison": comparison.sentence[:_SENTENCE], "regression": comparison.worse}
    while len(text := json.dumps(said)) > LAST_WORD_BYTES:
        said["results"].pop()
    return text


def _rows(found: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield name, value and unit of each figure, the most asked for first."""
    for quantity, name in _LATENCIES:
        if (distribution := found[quantity]) is not None:
            for percent in _PERCENTILES:
                yield f"{name}_p{percent}", f"{distribution[f'p{percent}'] * _MILLI:.4g}", "ms"
    if found["search"] is not None and found["search"]["limit"] is not None:
        yield "limit", f"{found['search']['limit']:.4g}", "requests/s"
    yield "requests", str(found["requests"]), ""
    yield "failed", str(found["failed"]), ""
    yield "late", str(found["late"]), ""
    yield "throughput", f"{found['requestsPerSecond']:.4g}", "requests/s"
    yield "output_tokens", f"{found['outputTokensPerSecond']:.4g}", "tokens/s"
    plain: tuple[tuple[str, Callable[[], Any], str], ...] = (
        ("goodput", lambda: found["goodput"] and found["goodput"]["perSecond"], "requests/s"),
        ("consistency", lambda: found["overallConsistency"], ""),
        ("score", lambda: found["score"]["value"], ""),
        ("energy_per_token", lambda: found["gpu"] and found["gpu"]["joulesPerOutputToken"], "J"),
    )
    for name, value, unit in plain:
        if (figure := value()) is not None:
            yield name, f"{figure:.4g}", unit


def write_reports(folder: Path, found: Mapping[str, Any], comparison: Comparison | None) -> None:
    """Write the result, and the same for people, into a folder that is made for it.

    Raises:
        FileError: it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"--report-dir {folder}: it cannot be made: {error.strerror or error}") from error
    write(folder / RESULT_FILE, json.dumps(found) + "\n")
    write(folder / "report.html", html(found))
    text = markdown(found)
    write(folder / "report.md", text if comparison is None else f"{text}\n{comparison_markdown(comparison)}")

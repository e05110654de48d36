"""What a run that is a Kubernetes Job leaves behind: a last word, and a place with its reports.

The Job has no rights in the cluster: its controller reads the last word from the pod's status.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from autoglm_bench.compare.verdict import Comparison
from autoglm_bench.files import parse_result
from autoglm_bench.places import Place
from autoglm_bench.report.facts import objective_met
from autoglm_bench.report.html import html
from autoglm_bench.report.markdown import comparison_markdown, markdown

#: The kubelet keeps so much of a last word.
LAST_WORD_BYTES: Final = 4096
RESULT_FILE: Final = "result.json"
_SENTENCE: Final = 600
_MILLI: Final = 1000
_LATENCIES: Final = (("ttft", "ttft"), ("itl", "itl"), ("duration", "e2e"))
_PERCENTILES: Final = (50, 99)


def last_word(found: Mapping[str, Any], comparison: Comparison | None, unwritten: str | None) -> str:
    """Return what is left of a result in the pod's status, at most as long as the kubelet keeps. Pure.

    Args:
        found: document of the run.
        comparison: with the baseline; `None` without one.
        unwritten: why there is no report; empty if there is one. `None` if none was asked for.
    """
    said: dict[str, Any] = {
        "verdict": found["verdict"][:_SENTENCE],
        "partial": found["partial"],
        "objectiveMet": objective_met(found),
        "sequence": found["sequenceHash"],
        "report": unwritten == "",
        "unwritten": (unwritten or "")[:_SENTENCE],
        "results": list(_rows(found)),
    }
    if comparison is not None:
        worse = comparison.worse if comparison.conclusive else None
        said |= {"comparison": comparison.sentence[:_SENTENCE], "regression": worse}
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


def write_reports(place: Place, found: Mapping[str, Any], comparison: Comparison | None) -> None:
    """Write the result, and the same for people.

    Raises:
        FileError: it cannot be written.
    """
    text = markdown(found)
    place.write(
        {
            RESULT_FILE: json.dumps(found) + "\n",
            "report.html": html(found, comparison),
            "report.md": text if comparison is None else f"{text}\n{comparison_markdown(comparison)}",
        }
    )


def read_baseline(where: str, place: Place) -> dict[str, Any]:
    """Return the result of an earlier run.

    Args:
        where: its place as it was named, for errors.
        place: that it was written to.

    Raises:
        FileError: there is none.
    """
    return parse_result(f"{where}/{RESULT_FILE}", place.read(RESULT_FILE))

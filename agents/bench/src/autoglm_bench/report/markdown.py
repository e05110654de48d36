"""The result as Markdown for a pull request. Pure."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from autoglm_bench.compare.verdict import FAILURES, LIMIT, Change, Comparison
from autoglm_bench.report.facts import facts
from autoglm_bench.words import at, milliseconds, number, share

#: Of the columns of `change_cells`.
CHANGE_HEAD: Final = ("", "A", "B", "B / A", "interval", "difference", "told by")
#: Names of figures that are no latencies, and how they are shown.
_SHOWN: Final[Mapping[str, Callable[[float], str]]] = {
    FAILURES: share,
    LIMIT: lambda rate: number(rate, "requests/s"),
}


def markdown(document: Mapping[str, Any]) -> str:
    """Return the result of one run."""
    target = document["target"]
    lines = [f"### Load test of {_text(target['model'])}", "", f"**{_text(document['verdict'])}**", ""]
    phases = document["phases"] if len(document["phases"]) > 1 else []
    lines += _table(
        ["phase", "sent", "ok", "late", "req/s", "tok/s", "TTFT P50 / P99", "ITL P50 / P99", "E2E P50 / P99"],
        [_row(phase["name"], phase) for phase in (*phases, {**document, "name": "total"})],
    )
    lines += ["", *(f"- {name}: {_text(text)}" for name, text in facts(document))]
    lines += [f"- failed: {count} with cause {cause}" for cause, count in document["failures"].items()]
    lines += [f"- note: {_text(note)}" for note in document["notes"]]
    started = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(document["startedAt"]))
    plan = document["plan"]
    version, hashes = document["versions"]["autoglm-bench"], (document["specHash"][:19], document["sequenceHash"][:19])
    origin = f"{plan['profile']}, seed {plan['seed']}, {started}, autoglm-bench {version}"
    lines += ["", f"<sub>{origin}, spec {hashes[0]}, sequence {hashes[1]}</sub>"]
    return "\n".join(lines) + "\n"


def comparison_markdown(found: Comparison) -> str:
    """Return the comparison of two runs."""
    lines = [f"**{found.sentence}**", ""]
    lines += _table(CHANGE_HEAD, [change_cells(one) for one in found.changes])
    lines += ["", *(f"- warning: {_text(text)}" for text in found.warnings)]
    return "\n".join(lines).rstrip() + "\n"


def change_cells(change: Change) -> Sequence[str]:
    """Return one figure of a comparison as it is shown everywhere."""
    show = _SHOWN.get(change.name, milliseconds)
    interval = "-" if change.low is None or change.high is None else f"{change.low:.3f} to {change.high:.3f}"
    seen = {True: "worse" if change.worse else "better", False: "none seen", None: "cannot tell"}[change.seen]
    return [change.name, show(change.a), show(change.b), f"{change.ratio:.3f}", interval, seen, change.note]


def _row(name: str, figures: Mapping[str, Any]) -> Sequence[str]:
    latencies = [f"{at(figures[key], 50)} / {at(figures[key], 99)}" for key in ("ttft", "itl", "duration")]
    rates = [f"{figures['requestsPerSecond']:.1f}", f"{figures['outputTokensPerSecond']:.0f}"]
    return [name, *(str(figures[key]) for key in ("requests", "succeeded", "late")), *rates, *latencies]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(_text(cell) for cell in row)} |"


def _text(text: str) -> str:
    """Return text that Markdown shows as it is: an engine's message must not become markup."""
    for special in "\\|<>`*_[]":
        text = text.replace(special, f"\\{special}")
    return text.replace("\n", " ")

"""The result as one HTML file: plots, light and dark, printable; nothing is loaded from elsewhere. Pure."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final

from autoglm_bench.compare.verdict import Comparison
from autoglm_bench.report.facts import facts, objective_met
from autoglm_bench.report.markdown import CHANGE_HEAD, change_cells
from autoglm_bench.report.plots import plots
from autoglm_bench.words import at

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1c2430; --dim: #5b6675; --page: #fff; --line: #d8dee6;
  --a: #1f6feb; --b: #c2410c; --c: #15803d; --bad: #b42318; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --dim: #9aa6b5; --page: #12161c; --line: #2c3440;
  --a: #6ea8fe; --b: #fb923c; --c: #4ade80; --bad: #f97066; } }
@media print { :root { --ink: #000; --dim: #444; --page: #fff; --line: #bbb;
  --a: #1f6feb; --b: #c2410c; --c: #15803d; }
  figure, table { break-inside: avoid; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page); max-width: 68rem;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.05rem; margin-top: 2rem; }
.verdict { font-size: 1.1rem; border-left: 4px solid var(--a); padding: .4rem .8rem; }
.bad { border-color: var(--bad); } .good { border-color: var(--c); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .25rem .5rem; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; }
dt { color: var(--dim); } dd { margin: 0; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(26rem, 1fr)); gap: 1rem; }
figure { margin: 0; } figcaption { color: var(--dim); }
svg { width: 100%; height: auto; }
.grid { stroke: var(--line); } .tick, .name { fill: var(--dim); font-size: 11px; }
polyline { fill: none; stroke-width: 1.6; } polyline.a, .dots.a { stroke: var(--a); }
polyline.b, .dots.b { stroke: var(--b); } polyline.c, .dots.c { stroke: var(--c); }
.dots { stroke-width: 3; stroke-linecap: round; opacity: .55; }
.limit { stroke: var(--bad); stroke-dasharray: 5 4; }
.key { margin-right: 1rem; } .key.a { color: var(--a); } .key.b { color: var(--b); } .key.c { color: var(--c); }
code { overflow-wrap: anywhere; }
"""
_HEAD: Final = (
    "phase",
    "sent",
    "ok",
    "late",
    "req/s",
    "tok/s",
    "TTFT P50",
    "P90",
    "P95",
    "P99",
    "ITL P50",
    "P99",
    "E2E P50",
    "P99",
)


def html(document: Mapping[str, Any], comparison: Comparison | None = None) -> str:
    """Return the page.

    Args:
        document: of the run.
        comparison: with a baseline; `None` without one.
    """
    target = document["target"]
    title = f"Load test of {target['model']}"
    started = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(document["startedAt"]))
    lines = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1><p>{escape(target['url'])}, {started}</p>",
        f'<p class="verdict {_kind(document)}">{escape(document["verdict"])}</p>',
        *_comparison(comparison),
        *_phases(document),
        "<h2>Over the run</h2>",
        f'<div class="plots">{"".join(plots(document))}</div>',
        "<h2>Further figures</h2>",
        *_list([*facts(document), *_failures(document), *(("note", note) for note in document["notes"])]),
        *_search(document),
        "<h2>What was done</h2>",
        *_list(_origin(document)),
        "</body></html>",
    ]
    return "\n".join(lines) + "\n"


def _kind(document: Mapping[str, Any]) -> str:
    met = objective_met(document)
    if document["partial"] or not document["succeeded"] or met is False:
        return "bad"
    return "good" if met else ""


def _comparison(comparison: Comparison | None) -> Iterator[str]:
    if comparison is not None:
        yield "<h2>Beside the baseline (A)</h2>"
        kind = "bad" if comparison.worse else "good"
        yield f'<p class="verdict {kind}">{escape(comparison.sentence)}</p>'
        yield from _table(CHANGE_HEAD, [change_cells(change) for change in comparison.changes])
        yield from _list([("warning", text) for text in comparison.warnings])


def _phases(document: Mapping[str, Any]) -> Iterator[str]:
    phases = document["phases"] if len(document["phases"]) > 1 else []
    yield from _table(_HEAD, [_row(phase) for phase in (*phases, {**document, "name": "total"})])


def _row(figures: Mapping[str, Any]) -> Sequence[str]:
    return [
        figures["name"],
        *(str(figures[key]) for key in ("requests", "succeeded", "late")),
        f"{figures['requestsPerSecond']:.1f}",
        f"{figures['outputTokensPerSecond']:.0f}",
        *(at(figures["ttft"], percentile) for percentile in (50, 90, 95, 99)),
        *(at(figures[key], percentile) for key in ("itl", "duration") for percentile in (50, 99)),
    ]


def _search(document: Mapping[str, Any]) -> Iterator[str]:
    if document["search"]:
        yield "<h2>Search for the limit</h2>"
        rows = [
            [f"{one['rate']:.4g}", "held" if one["held"] else "not held", one["reason"]]
            for one in document["search"]["trials"]
        ]
        yield from _table(("requests/s", "objective", "why"), rows)


def _failures(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for cause, count in document["failures"].items():
        yield f"failed: {cause}", f"{count}; {'; '.join(document['failureDetails'].get(cause, []))}"


def _origin(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "plan", json.dumps(document["plan"])
    yield "versions", ", ".join(f"{name} {version}" for name, version in document["versions"].items())
    yield "environment", ", ".join(f"{name} {value}" for name, value in document["environment"].items())
    yield "spec", document["specHash"]
    yield "sequence", document["sequenceHash"]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield "<table><thead><tr>" + "".join(f"<th>{escape(cell)}</th>" for cell in head) + "</tr></thead><tbody>"
    for row in rows:
        yield "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
    yield "</tbody></table>"


def _list(entries: Sequence[tuple[str, str]] | Iterator[tuple[str, str]]) -> Iterator[str]:
    yield "<dl>"
    for name, text in entries:
        yield f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>"
    yield "</dl>"

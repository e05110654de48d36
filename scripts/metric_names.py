"""Finds queries that ask for a metric which no catalogue has: such a panel is empty, and such an alert never fires."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any, Final, Protocol

import promql_parser
import yaml

from autoglm_agent import metrics as agent
from autoglm_dashboards import foreign
from autoglm_operator import metrics as operator
from autoglm_operator.autoscaler import metrics as autoscaler
from autoglm_simulator import catalogue as simulator

_SUFFIXES: Final = ("_bucket", "_count", "_sum")
#: Characters of a query that a message shows.
_SHOWN: Final = 160
_TITLES: Final = ("title", "alert", "record", "name", "uid")
#: What Grafana puts around the query of a variable.
_VARIABLE: Final = re.compile(r"^(?:label_values|query_result|metrics)\((?P<query>.*?)(?:,\s*\w+)?\)$", re.DOTALL)
_WINDOW: Final = re.compile(r"(?<=[\[:])\s*\$\{?\w+\}?|(?<=offset )\s*\$\{?\w+\}?")
_VALUE: Final = re.compile(r"\$\{[^}]*\}|\$\w+|\[\[\w+\]\]")


class Named(Protocol):
    """What the catalogues have in common."""

    @property
    def name(self) -> str:
        """Name, without the suffixes of a histogram."""

    @property
    def type(self) -> str:
        """Type of the metric."""


@dataclass(frozen=True, slots=True)
class Query:
    """A query and where it stands.

    Attributes:
        place: file and titles from the outside in.
        text: as in the file.
    """

    place: str
    text: str


def series(metrics: tuple[Named, ...]) -> frozenset[str]:
    """Return the names that queries may use for metrics."""
    return frozenset(
        f"{metric.name}{suffix}"
        for metric in metrics
        for suffix in (_SUFFIXES if metric.type == "histogram" else ("",))
    )


def known() -> frozenset[str]:
    """Return the name of every series that a catalogue has."""
    return series(
        (*operator.CATALOGUE, *autoscaler.CATALOGUE, *agent.CATALOGUE, *simulator.CATALOGUE, *foreign.CATALOGUE)
    )


def queries(outputs: Mapping[Path, str]) -> list[Query]:
    """Return every query in dashboards (JSON) and rules (YAML)."""
    return [
        query
        for path, text in outputs.items()
        for document in _parsed(path, text)
        for query in _walk(document, str(path))
    ]


def problems(outputs: Mapping[Path, str], names: frozenset[str]) -> list[str]:
    """Return a sentence for each query that cannot be read, or asks for what is neither in `names` nor recorded."""
    found = queries(outputs)
    recorded = {
        name for path, text in outputs.items() for document in _parsed(path, text) for name in _records(document)
    }
    return [problem for query in found for problem in _problems(query, names | recorded)]


def _parsed(path: Path, text: str) -> list[Any]:
    if path.suffix == ".json":
        return [json.loads(text)]
    return list(yaml.safe_load_all(text)) if path.suffix in {".yaml", ".yml"} else []


def _walk(node: Any, place: str) -> Iterator[Query]:
    if isinstance(node, list):
        for item in node:
            yield from _walk(item, place)
    if isinstance(node, dict):
        title = next((node[key] for key in _TITLES if isinstance(node.get(key), str) and node[key]), None)
        here = f"{place}: {title}" if title else place
        for key, value in node.items():
            if isinstance(value, str) and (text := _query(key, value)):
                yield Query(here, text)
            else:
                yield from _walk(value, here)


def _query(key: str, value: str) -> str | None:
    if key == "expr":
        return value
    variable = _VARIABLE.match(value.strip()) if key in {"definition", "query"} else None
    return variable["query"] if variable else None


def _records(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for item in node:
            yield from _records(item)
    if isinstance(node, dict):
        if isinstance(node.get("record"), str):
            yield node["record"]
        for value in node.values():
            yield from _records(value)


def _problems(query: Query, names: frozenset[str] | set[str]) -> Iterator[str]:
    text = _VALUE.sub("1", _WINDOW.sub("5m", query.text))
    try:
        tree = promql_parser.parse(text)
    except ValueError as error:
        yield f"{query.place}: the query {shorten(query.text, _SHOWN)!r} cannot be read: {error}"
        return
    wanted = {name for selector in _selectors(tree) for name in _names(selector)}
    for name in sorted(name for name in wanted if not any(re.fullmatch(name, each) for each in names)):
        yield (
            f"{query.place}: the query {shorten(query.text, _SHOWN)!r} asks for {name}, which no catalogue has and no "
            "rule records: take names from a catalogue (those of others: dashboards/src/autoglm_dashboards/foreign.py)"
        )


def _names(selector: Any) -> list[str]:
    """Return the names that a selector asks for, each a regular expression; nothing stands for all series."""
    if selector.name:
        return [selector.name]
    by_label = [matcher.value for matcher in selector.matchers.matchers if matcher.name == "__name__"]
    return [name for value in by_label for name in value.split("|")] or ["(no name)"]


def _selectors(node: Any) -> Iterator[Any]:
    """Yield the vector selectors of a query."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    for attribute in ("expr", "lhs", "rhs", "vector_selector", "param"):
        child = getattr(node, attribute, None)
        if child is not None and not isinstance(child, str | int | float):
            yield from _selectors(child)
    for child in getattr(node, "args", None) or ():
        yield from _selectors(child)

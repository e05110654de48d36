"""The table of values in the chart's README.md, made from values.yaml: run it to write, with `--check` to compare."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

CHART = Path(__file__).resolve().parents[2] / "charts/autoglm-operator"
BEGIN, END = "<!-- values: written by tests/chart/values_table.py -->\n", "<!-- end of values -->"


class Value(NamedTuple):
    """One key of values.yaml.

    Attributes:
        key: its path, joined by dots.
        default: as JSON.
        meaning: the comment above it.
    """

    key: str
    default: str
    meaning: str


def values(text: str) -> Iterator[Value]:
    """Yield the keys of a values.yaml that have no keys of their own described below them, in order.

    Raises:
        ValueError: a key has no comment above it.
    """
    lines = text.splitlines()
    document = yaml.safe_load(text)
    path: list[str] = []
    comment: list[str] = []
    for number, line in enumerate(lines):
        stripped = line.strip()
        if stripped.startswith("#"):
            comment.append(stripped.lstrip("# "))
            continue
        if not stripped:
            comment = []
            continue
        depth = (len(line) - len(line.lstrip())) // 2
        path = [*path[:depth], stripped.partition(":")[0]]
        if _describes_keys(lines, number, depth):
            comment = []
            continue
        key = ".".join(path)
        if _inside_value(document, path):
            continue
        if not comment:
            raise ValueError(f"values.yaml, key {key}: no comment above it says what it means")
        yield Value(key, json.dumps(_at(document, path)), " ".join(comment))
        comment = []


def _describes_keys(lines: list[str], number: int, depth: int) -> bool:
    """Whether the lines below hold keys with comments, which get rows of their own."""
    for line in lines[number + 1 :]:
        if line.strip() and (len(line) - len(line.lstrip())) // 2 <= depth:
            return False
        if line.strip().startswith("#"):
            return True
    return False


def _inside_value(document: object, path: list[str]) -> bool:
    """Whether the path leads into a value that has a row already, such as a resource request."""
    return any(step in {"requests", "limits"} for step in path) or _at(document, path) is _MISSING


_MISSING = object()


def _at(document: object, path: list[str]) -> object:
    for step in path:
        if not isinstance(document, dict) or step not in document:
            return _MISSING
        document = document[step]
    return document


def table(text: str) -> str:
    """Return the Markdown table of a values.yaml."""
    rows = [f"| `{value.key}` | `{value.default}` | {value.meaning} |" for value in values(text)]
    return "\n".join(["| value | default | meaning |", "|---|---|---|", *rows]) + "\n"


def readme(text: str, rows: str) -> str:
    """Return the README with the table between its marks."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{rows}\n{END}{after}"


def main(arguments: list[str]) -> int:
    """Write README.md, or with `--check` return 1 if it is out of date."""
    file = CHART / "README.md"
    old = file.read_text()
    new = readme(old, table((CHART / "values.yaml").read_text()))
    if new == old:
        return 0
    if arguments == ["--check"]:
        sys.stderr.write(f"out of date: {file.name}; run `python tests/chart/values_table.py`\n")
        return 1
    file.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

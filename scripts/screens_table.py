"""Rows and columns of a dashboard's table, as Grafana's transformations make them of the answers to its queries."""

from collections.abc import Sequence
from typing import Any

from autoglm_demo.grafana import Query
from autoglm_demo.promapi import Series

Json = dict[str, Any]


def json_number(value: float | None) -> float | str | None:
    """Return a value for the page; what JSON has no word for goes as text."""
    if value is None or value - value == 0:
        return value
    return "NaN" if value != value else ("Infinity" if value > 0 else "-Infinity")  # noqa: PLR0124  # NaN


def table(answers: Sequence[tuple[Query, list[Series]]], transformations: Sequence[Json]) -> Json:
    """Return columns and rows: rows with the same labels become one, and columns are named, ordered and left out.

    Raises:
        ValueError: a transformation is not known here.
    """
    several = len(answers) > 1
    labels = [[_plain_labels(series) for series in found] for _, found in answers]
    # As Grafana's merge: rows of two queries are one where the labels agree that every answer has.
    sets = [{key for row in rows for key in row} for rows in labels if rows]
    shared = sorted(set.intersection(*sets)) if sets else []
    merged: dict[tuple[str, ...], list[Json]] = {}
    columns: list[str] = []
    for (query, found), own in zip(answers, labels, strict=True):
        column = f"Value #{query.reference}" if several else "Value"
        for series, names in zip(found, own, strict=True):
            columns += [name for name in (*names, column) if name not in columns]
            group = merged.setdefault(tuple(names.get(key, "") for key in shared), [])
            _merge(group, {**names, column: series.points[-1][1]})
    rows = [row for group in merged.values() for row in group]
    columns = [name for name in columns if not name.startswith("Value")] + sorted(
        name for name in columns if name.startswith("Value")
    )
    for transformation in transformations:
        columns, rows = _transformed(transformation, columns, rows)
    cells = [
        [json_number(cell) if isinstance(cell := row.get(name), float) else cell for name in columns] for row in rows
    ]
    return {"columns": columns, "rows": cells}


def _plain_labels(series: Series) -> dict[str, str]:
    return {key: value for key, value in series.labels.items() if key != "__name__"}


def _merge(group: list[Json], row: Json) -> None:
    """Add a row to the first of the group that says nothing else in the same column, or to the end."""
    fitting = (
        other for other in group if all(name not in other or other[name] == value for name, value in row.items())
    )
    if (found := next(fitting, None)) is None:
        group.append(row)
    else:
        found.update(row)


def _transformed(transformation: Json, columns: list[str], rows: list[Json]) -> tuple[list[str], list[Json]]:
    options = transformation.get("options", {})
    match transformation["id"]:
        case "merge" | "labelsToFields":
            return columns, rows  # done already: the rows of all queries are one table here
        case "joinByField":
            return _joined(options["byField"], columns, rows)
        case "organize":
            return _organized(options, columns, rows)
        case "sortBy":
            (order,) = options["sort"]
            present = [row for row in rows if row.get(order["field"]) is not None]
            absent = [row for row in rows if row.get(order["field"]) is None]
            return columns, sorted(
                present, key=lambda row: row[order["field"]], reverse=order.get("desc", False)
            ) + absent
        case "limit":
            return columns, rows[: int(options.get("limitField", 10))]
        case "filterFieldsByName":
            kept = options["include"]["names"]
            return [name for name in columns if name in kept], rows
        case other:
            raise ValueError(f"transformation {other} is not known to scripts/screens.py")


def _joined(field: str, columns: list[str], rows: list[Json]) -> tuple[list[str], list[Json]]:
    joined: dict[str, Json] = {}
    for row in rows:
        joined.setdefault(str(row.get(field)), {}).update(row)
    return [field, *(name for name in columns if name != field)], list(joined.values())


def _organized(options: Json, columns: list[str], rows: list[Json]) -> tuple[list[str], list[Json]]:
    excluded, renamed, order = (options.get(key, {}) for key in ("excludeByName", "renameByName", "indexByName"))
    kept = [name for name in columns if not excluded.get(name)]
    kept.sort(key=lambda name: order.get(name, len(columns)))
    names = {name: renamed.get(name) or name for name in kept}
    return list(names.values()), [{names[name]: row[name] for name in kept if name in row} for row in rows]

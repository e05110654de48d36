"""Panels as Grafana's JSON: every panel states its unit, its meaning and whether it judges."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Json = dict[str, Any]

#: A fact has this colour; green, orange and red are kept for judgements.
NEUTRAL: Final = "blue"
GREEN: Final = "green"
ORANGE: Final = "orange"
RED: Final = "red"
PURPLE: Final = "purple"
GREY: Final = "gray"

DATASOURCE: Final[Json] = {"type": "prometheus", "uid": "${datasource}"}
GRAFANA_VERSION: Final = "11.6.0"


@dataclass(frozen=True, slots=True)
class Target:
    """One query of a panel.

    Attributes:
        expression: PromQL.
        legend: name of each series, Grafana's `{{label}}` in it.
        exemplars: ask for the traces behind a histogram's buckets.
    """

    expression: str
    legend: str
    exemplars: bool = False

    def json(self, index: int, *, kind: str) -> Json:
        """Return the query at its place in a panel of the kind: tiles and tables ask for one moment."""
        instant = kind in {"stat", "table"}
        return {
            "format": "table" if kind == "table" else "time_series",
            "refId": chr(ord("A") + index),
            "datasource": DATASOURCE,
            "editorMode": "code",
            "expr": self.expression,
            "legendFormat": self.legend,
            "instant": instant,
            "range": not instant,
            "exemplar": self.exemplars,
        }


@dataclass(frozen=True, slots=True)
class Judgement:
    """Where a value stops being good.

    Attributes:
        warning: orange from here on, or red if there is nothing between.
        critical: red from here on.
        good: `low`: values below `warning` are good. `high`: values from `warning` on are good, and red ones lie below
            `critical`, or below `warning` if there is nothing between.
    """

    warning: float | None = None
    critical: float | None = None
    good: Literal["low", "high"] = "low"

    def steps(self) -> list[Json]:
        """Return Grafana's threshold steps."""
        if self.good == "high":
            between = [] if self.critical is None else [{"color": ORANGE, "value": self.critical}]
            return [{"color": RED, "value": None}, *between, {"color": GREEN, "value": self.warning}]
        bounds = [(ORANGE, self.warning), (RED, self.critical)]
        return [{"color": GREEN, "value": None}] + [
            {"color": color, "value": value} for color, value in bounds if value is not None
        ]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    Attributes:
        name: its heading.
        source: label, or letter of the query whose value it shows.
        unit: Grafana's unit id.
        judgement: colours of its text by value.
        link: where a click on a cell leads.
        decimals: digits shown; `None` lets Grafana choose.
        words: text and colour for a value.
    """

    name: str
    source: str
    unit: str = "short"
    judgement: Judgement | None = None
    link: str = ""
    decimals: int | None = None
    words: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def field(self, queries: int) -> str:
        """Return the name of the field in the table that Grafana makes of several queries."""
        letter = len(self.source) == 1 and self.source.isupper()
        return (f"Value #{self.source}" if queries > 1 else "Value") if letter else self.source

    def override(self) -> Json:
        """Return what the column has of its own."""
        properties: list[Json] = [{"id": "unit", "value": self.unit}]
        if self.decimals is not None:
            properties.append({"id": "decimals", "value": self.decimals})
        if self.judgement is not None:
            properties.append({"id": "thresholds", "value": {"mode": "absolute", "steps": self.judgement.steps()}})
        if self.words:
            options = {
                value: {"text": text, "color": color, "index": index}
                for index, (value, (text, color)) in enumerate(self.words.items(), 1)
            }
            properties.append({"id": "mappings", "value": [{"type": "value", "options": options}, _NO_TRAFFIC]})
        if self.judgement is not None or self.words:
            properties.append({"id": "custom.cellOptions", "value": {"type": "color-text"}})
        if self.link:
            properties.append({"id": "links", "value": [{"title": "Look closer", "url": self.link}]})
        return {"matcher": {"id": "byName", "options": self.name}, "properties": properties}


_NO_TRAFFIC: Final[Json] = {
    "type": "special",
    "options": {"match": "nan", "result": {"index": 0, "text": "No traffic"}},
}


@dataclass(frozen=True, slots=True)
class Text:
    """A panel that says something, without a query.

    Attributes:
        title: what it is about.
        description: for whoever hovers over it.
        content: Markdown.
        width: columns of 24.
        height: rows of 30 pixels.
    """

    title: str
    description: str
    content: str
    width: int = 24
    height: int = 3

    def json(self, identifier: int, x: int, y: int) -> Json:
        """Return the panel at its place."""
        return {
            "id": identifier,
            "type": "text",
            "title": self.title,
            "description": self.description,
            "pluginVersion": GRAFANA_VERSION,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "options": {"mode": "markdown", "content": self.content},
        }


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel, without its place.

    Attributes:
        title: what is shown.
        description: what it means, what it leaves out, and where it comes from.
        kind: Grafana's panel type.
        unit: Grafana's unit id.
        targets: queries.
        judgement: colours by value; `None` shows a fact.
        width: columns of 24.
        height: rows of 30 pixels.
        maximum: end of the axis; `None` lets Grafana choose.
        stacked: whether the series are parts of a sum.
        decimals: digits shown; `None` lets Grafana choose.
        colors: fixed colour of a series by its legend; a pattern between slashes holds for all that match.
        columns: of a table, from left to right.
        dashed: series by pattern that are drawn dashed: bounds and forecasts, no measurements.
        shows: of a tile: its value, or the name of its series.
        points: most steps of the range that are asked for; `None` for as many as the panel has pixels.
    """

    title: str
    description: str
    kind: Literal["stat", "timeseries", "table"]
    unit: str
    targets: Sequence[Target]
    judgement: Judgement | None = None
    width: int = 12
    height: int = 8
    maximum: float | None = None
    stacked: bool = False
    decimals: int | None = None
    colors: Mapping[str, str] = field(default_factory=dict)
    columns: Sequence[Column] = ()
    dashed: Sequence[str] = ()
    shows: Literal["auto", "name"] = "auto"
    points: int | None = None

    def json(self, identifier: int, x: int, y: int) -> Json:
        """Return the panel at its place."""
        made: Json = {
            "id": identifier,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "pluginVersion": GRAFANA_VERSION,
            "datasource": DATASOURCE,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "targets": [target.json(index, kind=self.kind) for index, target in enumerate(self.targets)],
            "fieldConfig": {"defaults": self._defaults(), "overrides": self._overrides()},
            "options": _OPTIONS[self.kind] | ({"textMode": self.shows} if self.kind == "stat" else {}),
        }
        if self.points:
            made["maxDataPoints"] = self.points
        return made | ({"transformations": self._transformations()} if self.kind == "table" else {})

    def _transformations(self) -> list[Json]:
        fields = [column.field(len(self.targets)) for column in self.columns]
        organized = {
            "indexByName": {name: index for index, name in enumerate(fields)},
            "renameByName": {name: column.name for name, column in zip(fields, self.columns, strict=True)},
        }
        return [
            {"id": "merge", "options": {}},
            {"id": "filterFieldsByName", "options": {"include": {"names": fields}}},
            {"id": "organize", "options": {"excludeByName": {}, **organized}},
        ]

    def _defaults(self) -> Json:
        judged = self.judgement is not None
        steps = self.judgement.steps() if self.judgement else [{"color": NEUTRAL, "value": None}]
        defaults: Json = {
            "unit": self.unit,
            "min": 0,
            "noValue": "No data",
            "mappings": [_NO_TRAFFIC],
            "thresholds": {"mode": "absolute", "steps": steps},
            "color": {"mode": "thresholds" if judged or self.kind == "stat" else "palette-classic"},
        }
        if self.maximum is not None:
            defaults["max"] = self.maximum
        if self.decimals is not None:
            defaults["decimals"] = self.decimals
        if self.kind == "timeseries":
            defaults["color"] = {"mode": "palette-classic"}
            defaults["custom"] = _draw(stacked=self.stacked, judged=judged)
        return defaults

    def _overrides(self) -> list[Json]:
        fixed = [
            (name, {"id": "color", "value": {"mode": "fixed", "fixedColor": color}})
            for name, color in self.colors.items()
        ]
        dashed = [(name, {"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [6, 4]}}) for name in self.dashed]
        series = [
            {
                "matcher": {"id": "byRegexp" if name.startswith("/") else "byName", "options": name},
                "properties": [value],
            }
            for name, value in (*fixed, *dashed)
        ]
        return series + [column.override() for column in self.columns]


_STAT_OPTIONS: Final[Json] = {
    "colorMode": "value",
    "graphMode": "none",
    "justifyMode": "auto",
    "orientation": "auto",
    "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    "textMode": "auto",
    "wideLayout": True,
}
_TIMESERIES_OPTIONS: Final[Json] = {
    "legend": {"calcs": ["lastNotNull", "max"], "displayMode": "table", "placement": "bottom", "showLegend": True},
    "tooltip": {"mode": "multi", "sort": "desc"},
}
_OPTIONS: Final[Json] = {
    "stat": _STAT_OPTIONS,
    "timeseries": _TIMESERIES_OPTIONS,
    "table": {"showHeader": True, "cellHeight": "sm", "footer": {"show": False, "reducer": [], "fields": ""}},
}


def _draw(*, stacked: bool, judged: bool) -> Json:
    return {
        "drawStyle": "line",
        "lineInterpolation": "linear",
        "lineWidth": 1,
        "fillOpacity": 20 if stacked else 0,
        "showPoints": "never",
        # A gap means that nothing was measured: do not draw a line across it.
        "spanNulls": False,
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if judged else "off"},
    }

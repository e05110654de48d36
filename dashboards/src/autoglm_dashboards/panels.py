"""Panels as Grafana's JSON: every panel states its unit, its meaning and whether it judges."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Json = dict[str, Any]

#: A fact has this colour; green, orange and red are kept for judgements.
NEUTRAL: Final = "blue"
GREEN: Final = "green"
ORANGE: Final = "orange"
RED: Final = "red"

DATASOURCE: Final[Json] = {"type": "prometheus", "uid": "${datasource}"}
_GRAFANA_VERSION: Final = "11.6.0"


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

    def json(self, index: int, *, instant: bool) -> Json:
        """Return the query at its place in the panel."""
        return {
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
        good: whether values below `warning` are good (`low`) or bad (`high`, and then from `warning` on they are good).
    """

    warning: float | None = None
    critical: float | None = None
    good: Literal["low", "high"] = "low"

    def steps(self) -> list[Json]:
        """Return Grafana's threshold steps."""
        if self.good == "high":
            return [{"color": RED, "value": None}, {"color": GREEN, "value": self.warning}]
        bounds = [(ORANGE, self.warning), (RED, self.critical)]
        return [{"color": GREEN, "value": None}] + [
            {"color": color, "value": value} for color, value in bounds if value is not None
        ]


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
        colors: fixed colour of a series by its legend.
    """

    title: str
    description: str
    kind: Literal["stat", "timeseries"]
    unit: str
    targets: Sequence[Target]
    judgement: Judgement | None = None
    width: int = 12
    height: int = 8
    maximum: float | None = None
    stacked: bool = False
    decimals: int | None = None
    colors: dict[str, str] = field(default_factory=dict)

    def json(self, identifier: int, x: int, y: int) -> Json:
        """Return the panel at its place."""
        return {
            "id": identifier,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "pluginVersion": _GRAFANA_VERSION,
            "datasource": DATASOURCE,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "targets": [target.json(index, instant=self.kind == "stat") for index, target in enumerate(self.targets)],
            "fieldConfig": {"defaults": self._defaults(), "overrides": self._overrides()},
            "options": _STAT_OPTIONS if self.kind == "stat" else _TIMESERIES_OPTIONS,
        }

    def _defaults(self) -> Json:
        judged = self.judgement is not None
        steps = self.judgement.steps() if self.judgement else [{"color": NEUTRAL, "value": None}]
        defaults: Json = {
            "unit": self.unit,
            "min": 0,
            "noValue": "No data",
            "mappings": [
                {"type": "special", "options": {"match": "nan", "result": {"index": 0, "text": "No traffic"}}}
            ],
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
        return [
            {
                "matcher": {"id": "byName", "options": name},
                "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": color}}],
            }
            for name, color in self.colors.items()
        ]


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

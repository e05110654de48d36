"""Places panels on Grafana's grid and makes the dashboard around them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from autoglm_dashboards.panels import DATASOURCE, GRAFANA_VERSION, Json, Panel, Text

COLUMNS: Final = 24
TAG: Final = "autoglm"
HOME: Final = "autoglm-overview"
_SCHEMA_VERSION: Final = 41


@dataclass(frozen=True, slots=True)
class Section:
    """A row of the dashboard: a title that asks a question, and the panels that answer it.

    Attributes:
        title: the question, or what has to be there for the panels to have data.
        panels: from left to right.
        collapsed: whether it is folded: its queries are asked once somebody opens it.
    """

    title: str
    panels: Sequence[Panel | Text]
    collapsed: bool = False


@dataclass(frozen=True, slots=True)
class Variable:
    """A choice at the top of the dashboard, filled from Prometheus and, unless it is a single one, offering "All".

    Attributes:
        name: used in queries as `$name`.
        label: shown to the user.
        query: `label_values(...)`.
        description: shown beside the label.
        everything: pattern of "All"; `.*` where series without the label belong to it.
        hidden: only links set it.
        single: exactly one is looked at, at first the first.
    """

    name: str
    label: str
    query: str
    description: str
    everything: str = ".+"
    hidden: bool = False
    single: bool = False

    def json(self) -> Json:
        """Return the variable for Grafana."""
        return {
            "type": "query",
            "name": self.name,
            "label": self.label,
            "description": self.description,
            "datasource": DATASOURCE,
            "definition": self.query,
            "query": {"query": self.query, "refId": f"variable-{self.name}"},
            # On each change of the time range: deployments come and go.
            "refresh": 2,
            "sort": 1,
            "hide": 2 if self.hidden else 0,
            **self._range(),
            "options": [],
        }

    def _range(self) -> Json:
        if self.single:
            return {"multi": False, "includeAll": False, "current": {}}
        everything = {"text": ["All"], "value": ["$__all"]}
        return {"multi": True, "includeAll": True, "allValue": self.everything, "current": everything}


@dataclass(frozen=True, slots=True)
class Number:
    """A number that the user types in.

    Attributes:
        name: used in queries as `$name`.
        label: shown to the user.
        value: until another one is typed in.
        description: shown beside the label.
    """

    name: str
    label: str
    value: str
    description: str

    def json(self) -> Json:
        """Return the variable for Grafana."""
        choice = {"text": self.value, "value": self.value}
        return {
            "type": "textbox",
            "name": self.name,
            "label": self.label,
            "description": self.description,
            "query": self.value,
            "current": choice,
            "options": [{**choice, "selected": True}],
            "hide": 0,
        }


@dataclass(frozen=True, slots=True)
class Annotation:
    """Moments that are marked on every graph.

    Attributes:
        name: of the switch at the top.
        expression: PromQL; a moment is marked where it has a series.
        title: of the mark, with `{{label}}` in it.
        color: of the mark.
    """

    name: str
    expression: str
    title: str
    color: str

    def json(self) -> Json:
        """Return the annotation for Grafana."""
        return {
            "name": self.name,
            "datasource": DATASOURCE,
            "enable": True,
            "hide": False,
            "iconColor": self.color,
            "expr": self.expression,
            "step": "30s",
            "titleFormat": self.title,
            "textFormat": "",
            "tagKeys": "",
            "useValueForTime": False,
        }


def place(sections: Sequence[Section]) -> list[Json]:
    """Return rows and panels with their ids and places: left to right, wrapped at 24 columns."""
    placed: list[Json] = []
    identifier = y = 0
    for section in sections:
        identifier += 1
        row = _row(section, identifier, y)
        placed.append(row)
        inside: list[Json] = row["panels"] if section.collapsed else placed
        y += 1
        x = height = 0
        for panel in section.panels:
            identifier += 1
            if x + panel.width > COLUMNS:
                x, y, height = 0, y + height, 0
            inside.append(panel.json(identifier, x, y))
            x, height = x + panel.width, max(height, panel.height)
        y = row["gridPos"]["y"] + 1 if section.collapsed else y + height
    return placed


def _row(section: Section, identifier: int, y: int) -> Json:
    return {
        "id": identifier,
        "type": "row",
        "title": section.title,
        "collapsed": section.collapsed,
        "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1},
        "panels": [],
    }


def _links(uid: str) -> list[Json]:
    follow = {"includeVars": True, "keepTime": True, "targetBlank": False, "tooltip": ""}
    back = {"type": "link", "title": "Overview", "icon": "dashboard", "url": f"/d/{HOME}", "tags": [], **follow}
    boards = {"type": "dashboards", "title": "AutoGLM", "icon": "external link", "url": "", "tags": [TAG], **follow}
    return [*([back] if uid != HOME else []), boards | {"asDropdown": True}]


def _requires(panels: Sequence[Json]) -> list[Json]:
    """Return what grafana.com shows as needed; a data source is no input, because a variable chooses it."""
    every = [inner for panel in panels for inner in (panel, *panel.get("panels", []))]
    kinds = sorted({panel["type"] for panel in every} - {"row"})
    return [
        {"type": "grafana", "id": "grafana", "name": "Grafana", "version": GRAFANA_VERSION},
        {"type": "datasource", "id": "prometheus", "name": "Prometheus", "version": "1.0.0"},
        *({"type": "panel", "id": kind, "name": kind, "version": ""} for kind in kinds),
    ]


def dashboard(
    uid: str,
    title: str,
    description: str,
    variables: Sequence[Variable | Number],
    sections: Sequence[Section],
    *,
    annotations: Sequence[Annotation] = (),
) -> Json:
    """Return the dashboard as Grafana 11 and later import it."""
    source: dict[str, Any] = {
        "type": "datasource",
        "name": "datasource",
        "label": "Data source",
        "query": "prometheus",
        "current": {},
        "options": [],
        "refresh": 1,
    }
    panels = place(sections)
    return {
        "__inputs": [],
        "__requires": _requires(panels),
        "uid": uid,
        "title": title,
        "description": description,
        "tags": [TAG],
        "schemaVersion": _SCHEMA_VERSION,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "timezone": "browser",
        "time": {"from": "now-1h", "to": "now"},
        "refresh": "30s",
        "fiscalYearStartMonth": 0,
        "annotations": {"list": [annotation.json() for annotation in annotations]},
        "links": _links(uid),
        "templating": {"list": [source, *(variable.json() for variable in variables)]},
        "panels": panels,
    }

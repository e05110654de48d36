"""Places panels on Grafana's grid and makes the dashboard around them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from autoglm_dashboards.panels import DATASOURCE, Json, Panel

COLUMNS: Final = 24
_SCHEMA_VERSION: Final = 41


@dataclass(frozen=True, slots=True)
class Section:
    """A row of the dashboard: a title that asks a question, and the panels that answer it."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True)
class Variable:
    """A choice at the top of the dashboard, filled from Prometheus and offering "All".

    Attributes:
        name: used in queries as `$name`.
        label: shown to the user.
        query: `label_values(...)`.
        description: shown beside the label.
    """

    name: str
    label: str
    query: str
    description: str

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
            "multi": True,
            "includeAll": True,
            "allValue": ".+",
            "current": {"text": ["All"], "value": ["$__all"]},
            "options": [],
        }


def place(sections: Sequence[Section]) -> list[Json]:
    """Return rows and panels with their ids and places: left to right, wrapped at 24 columns."""
    placed: list[Json] = []
    y = 0
    for section in sections:
        placed.append(_row(section.title, len(placed) + 1, y))
        y += 1
        x = height = 0
        for panel in section.panels:
            if x + panel.width > COLUMNS:
                x, y, height = 0, y + height, 0
            placed.append(panel.json(len(placed) + 1, x, y))
            x, height = x + panel.width, max(height, panel.height)
        y += height
    return placed


def _row(title: str, identifier: int, y: int) -> Json:
    return {
        "id": identifier,
        "type": "row",
        "title": title,
        "collapsed": False,
        "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1},
        "panels": [],
    }


def dashboard(
    uid: str, title: str, description: str, variables: Sequence[Variable], sections: Sequence[Section]
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
    return {
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["autoglm"],
        "schemaVersion": _SCHEMA_VERSION,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "timezone": "browser",
        "time": {"from": "now-1h", "to": "now"},
        "refresh": "30s",
        "fiscalYearStartMonth": 0,
        "annotations": {"list": []},
        "links": [],
        "templating": {"list": [source, *(variable.json() for variable in variables)]},
        "panels": place(sections),
    }

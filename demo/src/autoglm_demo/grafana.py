"""What Grafana sends to Prometheus for a dashboard: variables, intervals and steps, without Grafana.

The rules are Grafana's: `$__interval` is the range divided by the panel's pixels, rounded to a readable step and never
below the scrape interval; `$__rate_interval` is the larger of four scrape intervals and one step more than a scrape; a
variable with several values becomes an alternation, and "All" its `allValue`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

Json = dict[str, Any]

#: (largest raw interval, rounded interval) in seconds: Grafana's `roundInterval`, as far as a dashboard goes.
_ROUNDED: Final = (
    (1.5, 1), (3.5, 2), (7.5, 5), (12.5, 10), (17.5, 15), (25, 20), (45, 30), (90, 60), (210, 120), (450, 300),
    (750, 600), (1050, 900), (1500, 1200), (2700, 1800), (5400, 3600), (9000, 7200), (16200, 10800), (32400, 21600),
    (86400, 43200), (604800, 86400),
)  # fmt: skip
_WEEK: Final = 604800
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_LABEL_VALUES: Final = re.compile(r"label_values\(\s*(?:(?P<selector>.+)\s*,\s*)?(?P<label>\w+)\s*\)", re.DOTALL)
_VARIABLE: Final = re.compile(r"\$\{(\w+)(?::(\w+))?\}|\$(\w+)")
#: What a regular expression inside a PromQL string needs: Grafana escapes it twice.
_SPECIAL: Final = re.compile(r"[\\^$.*+?()\[\]{}|]")


class Source(Protocol):
    """Where the values of variables come from."""

    def label_values(self, label: str, selectors: Sequence[str], start: float, end: float) -> list[str]:
        """Return the values of a label in the series that match."""


@dataclass(frozen=True, slots=True)
class View:
    """What a person looks at: a time range, on a panel of some width.

    Attributes:
        start: Unix time in seconds.
        end: Unix time in seconds.
        pixels: points that a panel draws at most.
        scrape_seconds: scrape interval that the data source is set to.
    """

    start: float
    end: float
    pixels: int = 1000
    scrape_seconds: float = 15.0

    @property
    def interval(self) -> float:
        """`$__interval`, in seconds."""
        raw = (self.end - self.start) / self.pixels
        rounded = next((step for most, step in _ROUNDED if raw < most), _WEEK)
        return max(float(rounded), self.scrape_seconds)

    @property
    def rate_interval(self) -> float:
        """`$__rate_interval`, in seconds."""
        return max(self.interval + self.scrape_seconds, 4 * self.scrape_seconds)

    def builtins(self) -> dict[str, str]:
        """Return the variables that Grafana itself defines."""
        span = round(self.end - self.start)
        return {
            "__interval": f"{self.interval:g}s",
            "__interval_ms": f"{self.interval * 1000:.0f}",
            "__rate_interval": f"{self.rate_interval:g}s",
            "__range": f"{span}s",
            "__range_s": f"{span}",
            "__range_ms": f"{span * 1000}",
            "__from": f"{self.start * 1000:.0f}",
            "__to": f"{self.end * 1000:.0f}",
        }


@dataclass(frozen=True, slots=True)
class Query:
    """One query of one panel, ready to be sent.

    Attributes:
        dashboard: title of the dashboard.
        panel: title of the panel.
        reference: letter of the query within the panel.
        expression: PromQL.
        instant: whether one moment is asked for; else the range.
        view: the range, where the panel has one of its own.
        legend: name of a series, with `{{label}}` in it.
    """

    dashboard: str
    panel: str
    reference: str
    expression: str
    instant: bool
    view: View
    legend: str = ""

    @property
    def name(self) -> str:
        """What the query is called in reports."""
        return f"{self.dashboard} > {self.panel} > {self.reference}"


def panels(dashboard: Json) -> Iterator[Json]:
    """Yield every panel that is not a row, those inside collapsed rows too."""
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            yield from panel.get("panels", [])
        else:
            yield panel


def queries(dashboard: Json, values: Mapping[str, str], view: View) -> Iterator[Query]:
    """Yield every query of a dashboard.

    Args:
        dashboard: its JSON.
        values: of its variables, from `variables`.
        view: what the person looks at.
    """
    for panel in panels(dashboard):
        yield from panel_queries(dashboard["title"], panel, values, view)


def panel_queries(title: str, panel: Json, values: Mapping[str, str], view: View) -> Iterator[Query]:
    """Yield the queries of one panel; what is hidden is sent by nobody."""
    own = _own_view(panel, view)
    for target in panel.get("targets", []):
        if not target.get("hide") and target.get("expr"):
            expression = expand(target["expr"], {**own.builtins(), **values})
            yield Query(
                title,
                panel["title"],
                target["refId"],
                expression,
                bool(target.get("instant")) and not target.get("range"),
                own,
                target.get("legendFormat", ""),
            )


def annotations(dashboard: Json, values: Mapping[str, str], view: View) -> Iterator[tuple[Query, str]]:
    """Yield the query of each annotation that is shown, with the colour of its marks."""
    for annotation in dashboard.get("annotations", {}).get("list", []):
        if annotation.get("enable", True) and annotation.get("expr"):
            expression = expand(annotation["expr"], {**view.builtins(), **values})
            query = Query(dashboard["title"], "annotation", annotation["name"], expression, instant=False, view=view)
            yield query, annotation.get("iconColor", "purple")


def _own_view(panel: Json, view: View) -> View:
    start = view.end - duration_seconds(panel["timeFrom"]) if panel.get("timeFrom") else view.start
    scrape = max(view.scrape_seconds, duration_seconds(panel["interval"])) if panel.get("interval") else None
    return View(start, view.end, panel.get("maxDataPoints") or view.pixels, scrape or view.scrape_seconds)


def variables(dashboard: Json, source: Source, view: View, chosen: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the value of each variable as it goes into a query, in the order in which they build on each other.

    Args:
        dashboard: its JSON.
        source: the Prometheus that is asked.
        view: whose range it is asked for.
        chosen: values that the person chose; for the others the dashboard's own, or the first there is.
    """
    chosen = chosen or {}
    values: dict[str, str] = {}
    for variable in dashboard["templating"]["list"]:
        name = variable["name"]
        if name in chosen:
            values[name] = _escaped(chosen[name])
        elif variable["type"] == "query":
            values[name] = _query_variable(variable, source, view, values)
        else:
            values[name] = _plain(variable)
    return values


def _query_variable(variable: Json, source: Source, view: View, values: Mapping[str, str]) -> str:
    current = _current(variable)
    if current == ["$__all"] and variable.get("allValue"):
        return str(variable["allValue"])
    if current and current != ["$__all"]:
        return _alternation(current)
    options = _options(variable, source, view, values)
    return _alternation(options if current == ["$__all"] else options[:1])


def _options(variable: Json, source: Source, view: View, values: Mapping[str, str]) -> list[str]:
    query = variable["query"]["query"] if isinstance(variable["query"], dict) else variable["query"]
    found = _LABEL_VALUES.fullmatch(query.strip())
    if found is None:
        raise ValueError(f"variable {variable['name']}: query {query!r} is not understood; expected label_values(…)")
    selector = expand(found["selector"], {**view.builtins(), **values}) if found["selector"] else ""
    options = source.label_values(found["label"], [selector] if selector else [], view.start, view.end)
    wanted = str(variable.get("regex") or "").strip("/")
    return [option for option in options if re.search(wanted, option)]


def _plain(variable: Json) -> str:
    if current := _current(variable):
        return str(variable["allValue"]) if current == ["$__all"] and variable.get("allValue") else current[0]
    return str(variable.get("query", "")).partition(",")[0]


def _current(variable: Json) -> list[str]:
    value = (variable.get("current") or {}).get("value")
    if value is None or value in ("", []):
        return []
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


def _alternation(options: Sequence[str]) -> str:
    if len(options) == 1:
        return _escaped(options[0])
    return f"({'|'.join(map(_escaped, options))})" if options else ""


def _escaped(value: str) -> str:
    return _SPECIAL.sub(lambda found: "\\\\" + found[0], value)


def expand(expression: str, values: Mapping[str, str]) -> str:
    """Return the expression with its variables replaced; one that nobody knows stays, as in Grafana."""
    return _VARIABLE.sub(lambda found: values.get(found[1] or found[3], found[0]), expression)


def duration_seconds(text: str) -> float:
    """Return Grafana's `15s`, `1h` or `>30s` in seconds.

    Raises:
        ValueError: it is none of that.
    """
    found = re.fullmatch(r">?\s*(\d+(?:\.\d+)?)(ms|[smhdw])", text)
    if found is None:
        raise ValueError(f"{text!r} is no duration; expected such as 15s or 1h")
    return float(found[1]) * _UNITS[found[2]]

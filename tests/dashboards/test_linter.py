"""No dashboard breaks a rule of Grafana's dashboard linter, by its name there, and one that does is found."""

import copy
import re
from collections.abc import Iterator
from typing import Any

import promql_parser
import pytest

from autoglm_dashboards import cli

Json = dict[str, Any]
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_VARIABLES = "cluster|job|instance|namespace|deployment"
_WINDOW = "4m11s"  # nobody writes this window: where it stands, it was $__rate_interval
_UNITS = {
    "none",
    "short",
    "percent",
    "percentunit",
    "s",
    "bytes",
    "decbytes",
    "Bps",
    "reqps",
    "ops",
    "wps",
    "watt",
    "celsius",
    "hertz",
    "currencyUSD",
    "joule",
}


def panels(board: Json) -> Iterator[Json]:
    """Yield the panels, those in folded rows too, without the rows."""
    for panel in board["panels"]:
        yield from panel.get("panels", ()) if panel["type"] == "row" else (panel,)


def plain(expression: str) -> str:
    """Return a query as Prometheus gets it; a variable that no dashboard has stays, and does not parse."""
    expression = expression.replace("$__rate_interval", _WINDOW).replace("$__range_s", "3600")
    expression = expression.replace("$__range", "1h").replace("$gpu_hour", "2.5")
    return re.sub(rf"\$({_VARIABLES})\b", r"<\1>", expression)


def selectors(expression: str) -> list[tuple[Any, tuple[Any, ...]]]:
    """Return the vector selectors of a query, each with the nodes above it."""

    def walk(node: Any, above: tuple[Any, ...]) -> Iterator[tuple[Any, tuple[Any, ...]]]:
        if isinstance(node, promql_parser.VectorSelector):
            yield node, above
        for name in ("expr", "lhs", "rhs", "vector_selector", "param"):
            child = getattr(node, name, None)
            if child is not None and not isinstance(child, str | int | float):
                yield from walk(child, (*above, node))
        for child in getattr(node, "args", None) or ():
            yield from walk(child, (*above, node))

    found = list(walk(promql_parser.parse(plain(expression)), ()))
    assert len(found) == expression.count("{"), f"the walk over the tree missed a selector of {expression}"
    return found


def findings(board: Json) -> set[str]:
    """Return the names of the rules that a dashboard breaks, each with where."""
    found = {f"{rule}: {board['title']}" for rule in _board(board)}
    for panel in panels(board):
        found |= {f"{rule}: {panel['title']}" for rule in _panel(panel)}
        for target in panel.get("targets", ()):
            found |= {f"{rule}: {panel['title']}: {target['expr']}" for rule in _target(target)}
    return found


def _board(board: Json) -> Iterator[str]:
    variables = {variable["name"]: variable for variable in board["templating"]["list"]}
    source = variables.get("datasource", {})
    if (source.get("type"), source.get("query"), source.get("label")) != ("datasource", "prometheus", "Data source"):
        yield "template-datasource-rule"
    for name in ("job", "instance"):
        variable = variables.get(name, {"datasource": {}})
        wanted = {"type": "query", "label": name.title(), "multi": True, "allValue": ".+", "datasource": SOURCE}
        if any(variable.get(key) != value for key, value in wanted.items()):
            yield f"template-{name}-rule"
    queries = [variable for variable in variables.values() if variable["type"] == "query"]
    if not all(_label_values(variable["query"]["query"]) for variable in queries):
        yield "template-label-promql-rule"
    if any(variable["refresh"] != 2 for variable in queries):
        yield "template-on-time-change-reload-rule"
    if board["editable"] is not False:
        yield "uneditable-dashboard"


def _label_values(query: str) -> bool:
    parts = re.fullmatch(r"label_values\((.+), (\w+)\)", query)
    return parts is not None and _parses(parts[1])


def _parses(query: str) -> bool:
    try:
        promql_parser.parse(plain(query))
    except ValueError:
        return False
    return "$" not in plain(query)


def _panel(panel: Json) -> Iterator[str]:
    if not panel["title"].strip() or not panel["description"].strip():
        yield "panel-title-description-rule"
    if panel["type"] == "text":
        return
    if panel["datasource"] != SOURCE:
        yield "panel-datasource-rule"
    if panel["fieldConfig"]["defaults"]["unit"] not in _UNITS:
        yield "panel-units-rule"
    if not panel["targets"]:
        yield "panel-no-targets-rule"


def _target(target: Json) -> Iterator[str]:
    if not _parses(target["expr"]):
        yield "target-promql-rule"
        return
    for selector, above in selectors(target["expr"]):
        matchers = {(matcher.name, str(matcher.op), matcher.value) for matcher in selector.matchers.matchers}
        for name in ("job", "instance"):
            if not any(label == name and value == f"<{name}>" and "Re" in op for label, op, value in matchers):
                yield f"target-{name}-rule"
        call = next((node for node in reversed(above) if isinstance(node, promql_parser.Call)), None)
        function = call.func.name if call is not None else ""
        window = next((node.range for node in above if isinstance(node, promql_parser.MatrixSelector)), None)
        if function in {"rate", "irate"} and window is not None and window.total_seconds() != 251:
            yield "target-rate-interval-rule"
        if selector.name.endswith("_total") and function not in {"rate", "irate", "increase"}:
            yield "target-counter-agg-rule"


GOOD = 'sum(rate(a_total{job=~"$job", instance=~"$instance"}[$__rate_interval]))'


def test_no_rule_is_broken(board):
    assert findings(board) == set()


def _query(expression):
    def change(board):
        next(panel for panel in panels(board) if panel.get("targets"))["targets"][0]["expr"] = expression

    return change


def _variable(name, **changes):
    def change(board):
        next(each for each in board["templating"]["list"] if each["name"] == name).update(changes)

    return change


def _change(**changes):
    def change(board):
        next(panel for panel in panels(board) if panel.get("targets")).update(changes)

    return change


def _unit(board):
    next(panel for panel in panels(board) if panel.get("targets"))["fieldConfig"]["defaults"]["unit"] = "furlongs"


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("template-datasource-rule", _variable("datasource", query="loki")),
        ("template-job-rule", _variable("job", allValue=".*")),
        ("template-instance-rule", _variable("instance", multi=False)),
        ("template-label-promql-rule", _variable("namespace", query={"query": "label_values(up{, namespace)"})),
        ("template-on-time-change-reload-rule", _variable("deployment", refresh=1)),
        ("uneditable-dashboard", lambda board: board.update(editable=True)),
        ("panel-datasource-rule", _change(datasource={"type": "prometheus", "uid": "prom"})),
        ("panel-title-description-rule", _change(description=" ")),
        ("panel-units-rule", _unit),
        ("panel-no-targets-rule", _change(targets=[])),
        ("target-promql-rule", _query("sum(")),
        ("target-promql-rule", _query(GOOD.replace("$job", "$jobs"))),
        ("target-rate-interval-rule", _query(GOOD.replace("$__rate_interval", "5m"))),
        ("target-job-rule", _query(GOOD.replace('job=~"$job", ', ""))),
        ("target-job-rule", _query(GOOD.replace('job=~"$job"', 'job="$job"'))),
        ("target-instance-rule", _query(GOOD.replace(', instance=~"$instance"', ""))),
        ("target-counter-agg-rule", _query('sum(a_total{job=~"$job", instance=~"$instance"})')),
    ],
)
def test_a_broken_rule_is_found(rule, change):
    board = copy.deepcopy(cli.dashboards()["overview.json"])
    change(board)
    assert {found.partition(":")[0] for found in findings(board)} == {rule}


def test_a_query_that_keeps_the_rules_is_not_found():
    board = copy.deepcopy(cli.dashboards()["overview.json"])
    _query(GOOD)(board)
    assert findings(board) == set()

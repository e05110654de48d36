"""Every panel query and every rule against a real Prometheus that has scraped the demo: it runs, and it has data."""

import json
import sys
import time
from collections import Counter
from pathlib import Path

import promql_parser
import pytest
import yaml

from autoglm_dashboards.queries import needs
from autoglm_demo import grafana
from autoglm_demo.promapi import QueryError

sys.path.append(str(Path(__file__).parent))  # tests are not a package
import events

pytestmark = [pytest.mark.prometheus, pytest.mark.timeout(1200)]

ROOT = Path(__file__).resolve().parents[2]
BOARDS = sorted((ROOT / "dashboards").glob("*.json"))
RULES = ROOT / "dashboards/alerts/autoglm.rules.yaml"
#: Ends of the names of what is recorded about the same hour of other days.
HISTORY = (":usual", ":spread")


def _queries(path, monitored, *, once=False):
    """Yield the queries of a dashboard with its own choices, and for the recorded engine where one is chosen."""
    board = json.loads(path.read_text())
    for chosen in ({}, {"deployment": "recorded"})[: 1 if once else 2]:
        values = grafana.variables(board, monitored.client, monitored.view, chosen)
        yield from grafana.queries(board, values, monitored.view)
        yield from (query for query, _ in grafana.annotations(board, values, monitored.view))


def _answers(monitored, query) -> bool:
    """Whether the query has data: now, in the middle of the spike, or in the range."""
    client, view = monitored.client, query.view
    if query.instant:
        return any(client.instant(query.expression, moment) for moment in (view.end, monitored.busy))
    step = view.interval
    return bool(client.range(query.expression, view.start // step * step, view.end // step * step, step))


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_every_query_of_the_dashboard_runs_and_has_data(monitored, path):
    answered: dict[str, bool] = {}
    refused = []
    for query in _queries(path, monitored):
        try:
            answered[query.name] = answered.get(query.name, False) or _answers(monitored, query)
        except QueryError as error:
            refused.append(f"{query.name}: {error}")
    assert refused == []
    assert answered, "a dashboard without queries"
    without = sorted(name for name, has in answered.items() if not has)
    fed = Counter(needs(query.expression) for query in _queries(path, monitored, once=True))
    print(f"\n{path.stem}: {len(answered) - len(without)} of {len(answered)} queries have data; needs: {dict(fed)}")  # noqa: T201  # the figure asked for
    assert without == []


def _names(expression: str) -> set[str]:
    """Return the metrics that an expression reads."""
    found, open_nodes = set(), [promql_parser.parse(expression)]
    while open_nodes:
        node = open_nodes.pop()
        if isinstance(node, promql_parser.VectorSelector):
            found.add(node.name)
        children = [getattr(node, name, None) for name in ("expr", "lhs", "rhs", "vector_selector", "param")]
        children += list(getattr(node, "args", None) or ())
        open_nodes += [child for child in children if child is not None and not isinstance(child, str | int | float)]
    return found


def _known(monitored) -> set[str]:
    view = monitored.view
    return set(monitored.client.label_values("__name__", [], view.start, time.time()))


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_every_metric_of_the_dashboard_was_scraped(monitored, path):
    known = _known(monitored)
    missing = {
        f"{name} ({query.name})"
        for query in _queries(path, monitored)
        for name in _names(query.expression)
        if name not in known | events.RENAMED
    }
    assert missing == set()


def _rules() -> list[dict]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def test_every_metric_of_the_rules_was_scraped(monitored):
    known = _known(monitored) | {rule["record"] for rule in _rules() if "record" in rule}
    missing = {
        f"{name} ({rule.get('alert') or rule['record']})"
        for rule in _rules()
        for name in _names(rule["expr"])
        if name not in known
    }
    assert missing == set()


@pytest.mark.parametrize("rule", [rule for rule in _rules() if "record" in rule], ids=lambda rule: rule["record"])
def test_what_is_recorded_has_data(monitored, rule):
    if rule["record"].endswith(HISTORY):
        pytest.skip("needs days of history; tests/alerts feeds it")
    assert any(monitored.client.instant(rule["expr"], moment) for moment in (monitored.view.end, monitored.busy))


@pytest.mark.parametrize("rule", _rules(), ids=lambda rule: rule.get("alert") or rule["record"])
def test_the_rule_runs(monitored, rule):
    monitored.client.instant(rule["expr"], monitored.view.end)


def test_every_rule_in_the_cluster_is_evaluated_without_an_error(monitored):
    evaluated = monitored.client.rules()
    assert {rule["name"] for rule in evaluated} >= {rule.get("alert") or rule["record"] for rule in _rules()}
    # A group of ten minutes may not have had its first turn.
    assert {
        f"{rule['name']}: {rule['lastError']}" for rule in evaluated if rule["health"] not in {"ok", "unknown"}
    } == set()


def test_every_target_of_the_monitors_is_up(monitored):
    targets = monitored.client.targets()
    jobs = {target["labels"]["job"] for target in targets}
    assert {"autoglm-system/autoglm-control-plane", "autoglm-demo/autoglm-phone"} <= jobs
    assert [target["labels"] for target in targets if target["health"] != "up"] == []

"""Every expression asks for metrics and labels that somebody defines."""

import promql_parser
import pytest
from tests.alerts.conftest import RUNBOOKS

from autoglm_agent import metrics as agent
from autoglm_dashboards import cli
from autoglm_dashboards.alerts.groups import GROUPS, rules_file
from autoglm_dashboards.alerts.rule import Board, Severity
from autoglm_operator import metrics as operator
from autoglm_operator.autoscaler import metrics as autoscaler
from autoglm_operator.decide.reasons import Reason
from autoglm_operator.render import alerts

CATALOGUE = {metric.name: metric for metric in (*operator.CATALOGUE, *autoscaler.CATALOGUE, *agent.CATALOGUE)}
RULES = [rule for group in rules_file(RUNBOOKS, with_objectives=True)["groups"] for rule in group["rules"]]
RECORDED = {rule["record"] for rule in RULES if "record" in rule}
COUNTING = {"rate", "increase"}


def _nodes(node, above=()):
    """Yield a node of a parsed expression and all below it, each with those above it."""
    yield node, above
    for attribute in ("expr", "lhs", "rhs", "vector_selector", "param"):
        child = getattr(node, attribute, None)
        if child is not None and not isinstance(child, str | int | float):
            yield from _nodes(child, (*above, node))
    for child in getattr(node, "args", None) or ():
        yield from _nodes(child, (*above, node))


def _selectors(expression):
    found = _nodes(promql_parser.parse(expression))
    return [(node, above) for node, above in found if isinstance(node, promql_parser.VectorSelector)]


def _problems(expression):
    """Yield what is wrong with an expression."""
    for selector, above in _selectors(expression):
        metric = CATALOGUE.get(selector.name)
        labels = {matcher.name for matcher in selector.matchers.matchers}
        calls = {node.func.name for node in above if isinstance(node, promql_parser.Call)}
        if metric is None and selector.name not in RECORDED:
            yield f"nobody defines {selector.name}"
        elif metric is not None and (metric.type == "counter") != bool(calls & COUNTING):
            yield f"{selector.name} is a {metric.type}; functions around it: {sorted(calls)}"
        elif metric is not None and (unknown := labels - set(metric.label_names)):
            yield f"{selector.name} has no label {sorted(unknown)}"
        elif metric is not None:
            yield from _values(selector, metric)


def _values(selector, metric):
    """Yield values of labels that a metric cannot have."""
    bounds = {label.name: label.bound for label in metric.labels if isinstance(label.bound, tuple)}
    for matcher in selector.matchers.matchers:
        wrong = set(matcher.value.split("|")) - set(bounds.get(matcher.name, matcher.value.split("|")))
        if wrong:
            yield f"{selector.name}: label {matcher.name} never is {sorted(wrong)}"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule["record"])
def test_it_asks_for_what_there_is(rule):
    assert _selectors(rule["expr"])
    assert list(_problems(rule["expr"])) == []


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("autoglm_engine_hunger{}", "nobody defines"),
        ("sum(autoglm_operator_reconcile_total{})", "functions around it: []"),
        ('autoglm_operator_leader{pod="a"}', "has no label ['pod']"),
        ('autoglm_operator_deployment_replicas{state="redy"}', "never is ['redy']"),
    ],
)
def test_what_is_wrong_is_found(expression, problem):
    assert any(problem in found for found in _problems(expression))


def test_reasons_of_blocked_replicas_are_reasons():
    (expression,) = [rule["expr"] for rule in RULES if rule.get("alert") == "AutoGLMScalingBlocked"]
    selector = next(node for node, _ in _selectors(expression) if node.name == operator.TROUBLE.name)
    assert {Reason(value) for matcher in selector.matchers.matchers for value in matcher.value.split("|")}


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
def test_every_alert_can_be_understood(group):
    for alert in group.alerts:
        assert alert.summary.endswith("."), alert.name
        assert "{{" not in alert.summary, alert.name
        assert "$value" in alert.description or "$labels.code" in alert.description, f"{alert.name} tells no number"
        assert alert.hold.reason, alert.name


def test_severities_are_those_that_alertmanagers_know():
    assert {rule["labels"]["severity"] for rule in RULES if "alert" in rule} == {item.value for item in Severity}


def test_dashboards_that_alerts_lead_to_exist():
    boards = {board["uid"] for board in cli.dashboards().values()}
    assert {board.value for board in Board} | {alerts.DASHBOARD} <= boards

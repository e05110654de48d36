"""Alerts for Grafana to evaluate itself, where no Prometheus takes rules: a provisioning file.

Grafana has no series that rules of a Prometheus recorded: their expressions stand in their place, as subqueries where a
range of them is asked for.
"""

import re
from typing import Any, Final

from autoglm_dashboards.alerts.groups import BURN_GROUP, GROUPS, PROMISES, annotate
from autoglm_dashboards.alerts.rule import Group, Rule
from autoglm_operator.render import burn_rate

#: uid of the data source that kube-prometheus-stack makes.
DATASOURCE: Final = "prometheus"
FOLDER: Final = "AutoGLM"
#: Grafana takes at most so many characters.
LONGEST_UID: Final = 40
#: Data source of Grafana's own expressions.
_EXPRESSIONS: Final = "__expr__"
#: Steps of a subquery in place of a range: as far apart as rules would have recorded.
_STEP: Final = "1m"
_LONG_STEP: Final = "5m"


def provisioning(runbooks: str, datasource: str) -> dict[str, Any]:
    """Return the content of the provisioning file.

    Args:
        runbooks: URL of the folder of the runbooks.
        datasource: uid of the Prometheus in Grafana.
    """
    burning = [
        rule
        for objective in burn_rate.OBJECTIVES
        for rule in burn_rate.alerts(
            {objective.name: PROMISES[objective.name]}, "", annotate(runbooks), burn_rate.inline(objective)
        )
    ]
    groups = [_group(BURN_GROUP, burn_rate.INTERVAL, burning, datasource)]
    for group in GROUPS:
        rules = [alert.rule(runbooks) for alert in group.alerts]
        whole = [rule | {"expr": expand(rule["expr"], group)} for rule in rules]
        groups.append(_group(group.name, _at_least_a_minute(group), whole, datasource))
    return {"apiVersion": 1, "groups": groups}


def expand(expression: str, group: Group) -> str:
    """Return the expression with the recorded series of its group replaced by what they record."""
    step = _LONG_STEP if group.interval.removesuffix("m") == "5" else _STEP
    # The longest first: one name may begin another.
    for name in sorted(group.records, key=len, reverse=True):
        inner = expand(group.records[name], group) if name in expression else ""
        pattern = re.compile(re.escape(name) + r"(?![\w:])(?:\[(\w+)\])?")

        def replacement(found: re.Match[str], inner: str = inner) -> str:
            return f"({inner})" + (f"[{found[1]}:{step}]" if found[1] else "")

        expression = pattern.sub(replacement, expression)
    return expression


def _at_least_a_minute(group: Group) -> str:
    """Return the interval: expressions without recorded series cost more, and once a minute is often enough."""
    return group.interval if group.interval.endswith("m") else "1m"


def _group(name: str, interval: str, rules: list[Rule], datasource: str) -> dict[str, Any]:
    return {
        "orgId": 1,
        "name": name,
        "folder": FOLDER,
        "interval": interval,
        "rules": [_rule(rule, datasource) for rule in rules],
    }


def _rule(rule: Rule, datasource: str) -> dict[str, Any]:
    severity = rule["labels"]["severity"]
    annotations = {key: _template(text) for key, text in rule["annotations"].items()}
    return {
        "uid": f"{rule['alert'].removeprefix('AutoGLM').lower()}-{severity}",
        "title": f"{rule['alert']} ({severity})",
        "condition": "B",
        "data": [_query(rule["expr"], datasource), _fires()],
        # The expression has a series only where there is something to tell of.
        "noDataState": "OK",
        # Whoever watches Prometheus tells that it is down; thirty alerts at once would not help.
        "execErrState": "KeepLast",
        "for": rule["for"],
        "annotations": annotations,
        "labels": rule["labels"],
    }


def _query(expression: str, datasource: str) -> dict[str, Any]:
    return {
        "refId": "A",
        "relativeTimeRange": {"from": 600, "to": 0},
        "datasourceUid": datasource,
        "model": {"refId": "A", "expr": expression, "instant": True, "range": False},
    }


def _fires() -> dict[str, Any]:
    """Return the condition: whatever has a value fires, 0 too."""
    return {
        "refId": "B",
        "relativeTimeRange": {"from": 600, "to": 0},
        "datasourceUid": _EXPRESSIONS,
        "model": {"refId": "B", "type": "math", "expression": "is_number($A)"},
    }


def _template(text: str) -> str:
    """Return a template of Prometheus as Grafana takes it: there, `$value` is the text of all values."""
    return text.replace("$value", "$values.A.Value")

"""The alerts that Grafana evaluates are the same alerts."""

import re

import promql_parser
import pytest
import yaml
from tests.alerts.conftest import RUNBOOKS
from tests.alerts.test_rules import BASELINE, SITUATIONS, SLOW, as_test

from autoglm_dashboards.alerts import grafana
from autoglm_dashboards.alerts.groups import GROUPS, alert_names, rules_file

#: The first of them may have to build promtool.
pytestmark = [pytest.mark.alerts, pytest.mark.timeout(1800)]
PROVISIONED = grafana.provisioning(RUNBOOKS, "mimir")
RULES = [rule for group in PROVISIONED["groups"] for rule in group["rules"]]
#: Shares over windows depend on the step of the rates; eight days of subqueries in subqueries take minutes.
EXACT = [
    item
    for item in SITUATIONS
    if item not in (SLOW, *BASELINE) and "over:" not in item.title and "fast" not in item.title
]


def _key(rule):
    return re.fullmatch(r"(\w+) \((\w+)\)", rule["title"]).groups()


def _query(rule):
    return rule["data"][0]["model"]["expr"]


def test_it_has_every_rule_of_prometheus_and_no_other():
    wanted = [
        (rule["alert"], rule["labels"]["severity"])
        for group in rules_file(RUNBOOKS, with_objectives=True)["groups"]
        for rule in group["rules"]
        if "alert" in rule
    ]
    assert sorted(_key(rule) for rule in RULES) == sorted(wanted)


def test_identities_are_unique_and_short_enough():
    uids = [rule["uid"] for rule in RULES]
    assert len(set(uids)) == len({rule["title"] for rule in RULES}) == len(RULES)
    assert max(map(len, uids)) <= grafana.LONGEST_UID
    assert all(re.fullmatch(r"[a-z0-9-]+", uid) for uid in uids)


def test_a_rule_asks_the_data_source_and_fires_on_any_value():
    for rule in RULES:
        query, condition = rule["data"]
        assert query["datasourceUid"] == "mimir"
        assert query["model"]["instant"] is True
        assert condition["datasourceUid"] == "__expr__"
        assert rule["condition"] == condition["refId"]
        assert condition["model"]["expression"] == f"is_number(${query['refId']})"
        assert rule["noDataState"] == "OK"


def test_no_query_needs_a_recording_rule():
    for rule in RULES:
        promql_parser.parse(_query(rule))
        assert not re.search(r"\bautoglm:", _query(rule)), rule["title"]


def test_templates_take_the_value_as_grafana_names_it():
    texts = [text for rule in RULES for text in rule["annotations"].values()]
    assert any("$values.A.Value" in text for text in texts)
    assert not any(re.search(r"\$value\b(?!s)", text) for text in texts)


@pytest.mark.parametrize("alert", [name for name in alert_names() if "Unusual" not in name])
def test_it_fires_where_prometheus_does(alert, check_rules, tmp_path):
    """Prometheus evaluates what Grafana would ask it."""
    rules = [
        {
            "alert": alert,
            "expr": _query(rule),
            "for": rule["for"],
            "labels": rule["labels"],
            "annotations": {
                key: text.replace("$values.A.Value", "$value") for key, text in rule["annotations"].items()
            },
        }
        for rule in RULES
        if _key(rule)[0] == alert
    ]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": alert, "rules": rules}]}))
    tests = [as_test(situation) for situation in EXACT if situation.alert == alert]
    assert any(situation.fires for situation in EXACT if situation.alert == alert)
    assert check_rules(file, tests) == ""


def test_a_record_stands_in_its_own_name_alone():
    baseline = GROUPS[-1]
    name, longer = "autoglm:requests:rate1h", "autoglm:requests:rate1h:usual"
    assert {name, longer} <= set(baseline.records)
    assert grafana.expand(f"{name}[1h]", baseline) == f"({baseline.records[name]})[1h:5m]"
    assert baseline.records[name] in grafana.expand(longer, baseline)

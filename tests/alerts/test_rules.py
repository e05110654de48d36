"""Each alert is held silent and firing, with its exact annotations, by Prometheus' own test tool."""

from dataclasses import replace

import pytest
import yaml
from tests.alerts.conftest import RUNBOOKS
from tests.alerts.history import BASELINE
from tests.alerts.objectives import OBJECTIVES, SLOW, fires, steady
from tests.alerts.situations import FAULTS, MACHINERY, SCALING, SERVING, Situation

from autoglm_dashboards.alerts.groups import GROUPS, alert_names
from autoglm_operator.decide.plan import make_plan
from autoglm_operator.observe.world import Deployment, Observed
from autoglm_operator.render import burn_rate
from autoglm_operator.render.alerts import prometheus_rule, promises
from autoglm_operator.settings import Alerts, Images

#: The first of them may have to build promtool.
pytestmark = [pytest.mark.alerts, pytest.mark.timeout(1800)]
SITUATIONS = (*OBJECTIVES, SLOW, *SERVING, *FAULTS, *SCALING, *MACHINERY, *BASELINE)
ALERTS = {(alert.name, alert.severity.value): alert for group in GROUPS for alert in group.alerts}
#: Summary and dashboard of each rule.
CONSTANT = {key: (alert.summary, alert.board.value) for key, alert in ALERTS.items()} | {
    (objective.alert, level.severity): (objective.summary, "autoglm-deployment")
    for objective in burn_rate.OBJECTIVES
    for level in burn_rate.LEVELS
}


def expected(alert, one):
    summary, board = CONSTANT[(alert, one.severity)]
    about = "" if board == "autoglm-operator" else "?var-namespace={namespace}&var-deployment={name}"
    return {
        "exp_labels": one.labels | {"severity": one.severity},
        "exp_annotations": {
            "summary": summary,
            "description": one.description,
            "runbook_url": f"{RUNBOOKS}/{alert}.md",
            "dashboard": f"/d/{board}{about.format(**one.labels)}",
        },
    }


def step(alert):
    """Return the time between samples and between evaluations: that of the group where it is long, for speed."""
    return "5m" if alert in {situation.alert for situation in BASELINE} else "1m"


def as_test(situation):
    """Return a situation as promtool's unit tests have it."""
    return {
        "name": f"{situation.alert}: {situation.title}",
        "interval": step(situation.alert),
        "input_series": [{"series": name, "values": values} for name, values in situation.series.items()],
        "alert_rule_test": [
            {
                "eval_time": f"{situation.at}m",
                "alertname": situation.alert,
                "exp_alerts": [expected(situation.alert, one) for one in situation.fires],
            }
        ],
    }


@pytest.mark.parametrize("alert", alert_names())
def test_an_alert_fires_where_it_must_and_nowhere_else(alert, check_rules, rule_files):
    tests = [as_test(situation) for situation in SITUATIONS if situation.alert == alert]
    assert check_rules(rule_files[alert], tests, step(alert)) == ""


def test_every_rule_is_held_firing_and_its_alert_silent():
    firing = {(situation.alert, one.severity) for situation in SITUATIONS for one in situation.fires}
    silent = {situation.alert for situation in SITUATIONS if situation.series and not situation.fires}
    assert firing == set(CONSTANT)
    assert silent == set(alert_names())


def test_a_wrong_expectation_is_noticed(check_rules, rule_files):
    """Otherwise nothing above could fail."""
    situation = next(item for item in SERVING if item.fires)
    test = as_test(situation)
    test["alert_rule_test"][0]["exp_alerts"][0]["exp_annotations"]["description"] += "!"
    assert "FAILED" in check_rules(rule_files[situation.alert], [test])


def test_the_rule_of_one_deployment_fires_for_it_with_its_own_numbers(check_rules, tmp_path, deployment_document):
    """What the operator makes where a Prometheus Operator is."""
    deployment = Deployment.parse(
        deployment_document(autoscaling={"maxReplicas": 2, "objective": {"ttftP99": "750ms"}})
    )
    images = Images(alerts=Alerts(runbooks=RUNBOOKS))
    plan = make_plan(Observed(deployment, {}, (), frozenset({"PrometheusRule"}), 0.0), images)
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump(prometheus_rule(deployment, plan, images.alerts)["spec"]))
    ttft, *_ = burn_rate.OBJECTIVES
    promise = promises(deployment.spec)["ttft"]
    assert promise.endswith("of 750ms")
    own = tuple(
        replace(item, description=item.description.replace(ttft.promise, promise))
        for item in (fires(ttft, level.severity, "20%") for level in burn_rate.LEVELS)
    )
    other = {"namespace": "team-a", "name": "phone-2"}
    situations = (
        Situation(ttft.alert, "its own trouble", 70, steady(ttft.name, 0.2, 80), own),
        Situation(
            ttft.alert,
            "another's",
            70,
            steady(ttft.name, 0.2, 80, deployment=other),
        ),
    )
    assert check_rules(file, [as_test(situation) for situation in situations]) == ""

"""The PrometheusRule of one deployment."""

import re

import pytest

from autoglm_operator.api import names
from autoglm_operator.decide.plan import make_plan
from autoglm_operator.observe.world import Deployment, Observed
from autoglm_operator.render import burn_rate
from autoglm_operator.render.alerts import promises
from autoglm_operator.render.bundle import bundle
from autoglm_operator.settings import DEFAULT_RUNBOOKS, Alerts, Images, Settings

ANY = frozenset({"PrometheusRule"})


@pytest.fixture
def rule(deployment_document):
    """Return the PrometheusRule of a deployment, or `None`."""

    def make(name="phone", kinds=ANY, images=None, **spec):
        deployment = Deployment.parse(deployment_document(name, **spec))
        assert deployment.spec_error == ""
        images = images or Images()
        plan = make_plan(Observed(deployment, {}, (), kinds, 0.0), images)
        found = [child for child in bundle(deployment, plan, images) if child["kind"] == "PrometheusRule"]
        return found[0] if found else None

    return make


def alerts(document):
    (group,) = document["spec"]["groups"]
    return [item for item in group["rules"] if "alert" in item]


def texts(document):
    return {item["alert"]: item["annotations"]["description"] for item in alerts(document)}


def test_none_where_the_kind_is_not_served_or_not_wanted(rule):
    assert rule(kinds=frozenset({"PodMonitor"})) is None
    assert rule(images=Images(alerts=None)) is None


def test_it_is_named_after_its_owner_and_removed_with_it(rule):
    meta = rule()["metadata"]
    assert (meta["name"], meta["namespace"]) == ("phone", "team-a")
    (owner,) = meta["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == (names.KIND, "uid-of-phone", True)
    assert meta["labels"].items() >= names.pod_selector("phone").items()


def test_labels_select_it_and_take_none_of_ours_away(rule):
    given = {"release": "prometheus", names.LABEL_MANAGED_BY: "somebody"}
    labels = rule(images=Images(alerts=Alerts(given)))["metadata"]["labels"]
    assert labels["release"] == "prometheus"
    assert labels[names.LABEL_MANAGED_BY] == names.MANAGED_BY


def test_every_rule_is_about_the_deployment_alone(rule):
    for item in rule(autoscaling={"maxReplicas": 2})["spec"]["groups"][0]["rules"]:
        selectors = re.findall(r"\{([^}]*)\}", item["expr"])
        assert selectors
        assert all('namespace="team-a", name="phone"' in selector for selector in selectors)


def test_the_text_has_what_the_spec_promises(rule):
    found = texts(rule(autoscaling={"maxReplicas": 2, "objective": {"ttftP99": "750ms", "itlP99": "45ms"}}))
    assert len(found) == len(burn_rate.OBJECTIVES)
    assert "(P99 of the time to first token of 750ms)" in found["AutoGLMFirstTokenBudgetBurn"]
    assert "(P99 of the inter-token latency of 45ms)" in found["AutoGLMTokenPaceBudgetBurn"]


def test_without_autoscaling_there_is_no_objective_but_that_requests_succeed(rule):
    assert set(texts(rule())) == {"AutoGLMAvailabilityBudgetBurn"}


def test_an_objective_that_is_not_set_is_not_judged(deployment_document):
    spec = Deployment.parse(deployment_document(autoscaling={"maxReplicas": 2})).spec
    objective = spec.autoscaling.objective.model_copy(update={"itl_p99": None})
    autoscaling = spec.autoscaling.model_copy(update={"objective": objective})
    said = promises(spec.model_copy(update={"autoscaling": autoscaling}))
    assert set(said) == {"availability", "ttft"}


def test_scaled_to_zero_keeps_its_rules(rule):
    """They are silent without requests, and are there again with the first one."""
    assert rule(replicas=0) is not None


def test_the_longest_name_fits(rule):
    name = "a" * names.MAX_NAME_LENGTH
    document = rule(name)
    assert document["metadata"]["name"] == name
    (group,) = document["spec"]["groups"]
    # Prometheus writes the name of the file and that of the group into the label rule_group of its own series.
    assert len(group["name"]) < 190


def test_runbooks_are_where_the_setting_says(rule):
    for base in (DEFAULT_RUNBOOKS, "https://wiki.example.com/runbooks/"):
        urls = {item["annotations"]["runbook_url"] for item in alerts(rule(images=Images(alerts=Alerts({}, base))))}
        assert urls == {f"{base.rstrip('/')}/AutoGLMAvailabilityBudgetBurn.md"}


@pytest.mark.parametrize("level", burn_rate.LEVELS, ids=lambda level: level.severity)
def test_windows_are_pairs_of_a_long_and_a_twelfth_of_it(level):
    seconds = {"m": 60, "h": 3600, "d": 86_400}
    for burn in level.burns:
        long, short = (int(window[:-1]) * seconds[window[-1]] for window in (burn.long, burn.short))
        assert long == 12 * short


@pytest.mark.parametrize(
    ("burn", "share"),
    [(burn, share) for level, shares in zip(burn_rate.LEVELS, ((0.02, 0.05), (0.1, 0.1)), strict=True)
     for burn, share in zip(level.burns, shares, strict=True)],
)  # fmt: skip
def test_factors_use_up_the_share_of_the_budget_that_they_are_known_for(burn, share):
    """2% in one hour, 5% in six, 10% in one day and in three: the table of the SRE workbook."""
    hours = {"1h": 1, "6h": 6, "1d": 24, "3d": 72}[burn.long]
    assert burn.factor * hours / (burn_rate.PERIOD_DAYS * 24) == pytest.approx(share)


def test_the_setting_is_read_from_the_environment():
    images = Settings.from_environ(
        {
            "ALERT_RULE_LABELS": "release=prometheus, team=a",
            "RUNBOOK_BASE_URL": "https://wiki",
            "POD_MONITOR_LABELS": "release=p",
        }
    ).images
    assert images.alerts == Alerts({"release": "prometheus", "team": "a"}, "https://wiki")
    assert images.pod_monitor_labels == {"release": "p"}
    assert Settings.from_environ({"ALERT_RULES": "false"}).images.alerts is None
    assert Settings.from_environ({}).images.alerts == Alerts({}, DEFAULT_RUNBOOKS)


@pytest.mark.parametrize("text", ["release", "=a", "a=b,c"])
def test_labels_that_are_none_are_refused(text):
    with pytest.raises(ValueError, match=f"environment variable ALERT_RULE_LABELS={text!r}: expected labels such as"):
        Settings.from_environ({"ALERT_RULE_LABELS": text})


def test_pod_monitors_carry_the_labels_too(deployment_document):
    deployment = Deployment.parse(deployment_document())
    images = Images(pod_monitor_labels={"release": "prometheus"})
    plan = make_plan(Observed(deployment, {}, (), frozenset({"PodMonitor"}), 0.0), images)
    (monitor,) = [child for child in bundle(deployment, plan, images) if child["kind"] == "PodMonitor"]
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert monitor["metadata"]["labels"].items() >= names.pod_selector("phone").items()

"""Who writes the replicas: each path, with its words, its children and its condition."""

from dataclasses import replace

import pytest

from autoglm_operator.decide.health import assess
from autoglm_operator.decide.judgement import judge
from autoglm_operator.decide.plan import make_plan
from autoglm_operator.decide.scaling.actuation import Path
from autoglm_operator.decide.scaling.limited import SCALING_LIMITED
from autoglm_operator.observe.autoscalers import Backend, Scaler
from autoglm_operator.observe.cluster import UNKNOWN_CLUSTER
from autoglm_operator.render.bundle import bundle
from autoglm_operator.report.status import status_document
from autoglm_operator.settings import Images, Scaling

OURS = "autoglm-system/autoglm-autoscaler"
SCALING = Scaling(metrics_service=OURS, prometheus="http://prometheus:9090")
BACKEND = Backend("v1beta2", 200, OURS)
ADAPTER = Backend("v1beta1", 100, "monitoring/prometheus-adapter")
DECIDED = {"autoscaling": {"desiredReplicas": 2}}
OUR_HPA = Scaler(
    "HorizontalPodAutoscaler",
    "team-a",
    "phone",
    "autoglm.io",
    "AutoGLMDeployment",
    "phone",
    ("AutoGLMDeployment", "phone"),
)
THEIRS = replace(OUR_HPA, name="mine", maker=("", ""))


@pytest.fixture
def look(observe):
    """Return picture and plan of a deployment that is autoscaled, in a cluster with these backends and autoscalers."""

    def make(*scalers, backends=(BACKEND,), kinds=(), scaling=SCALING, hpas=None, status=None, **changes):
        off, replicas = changes.pop("off", False), changes.pop("replicas", 2)
        spec = {} if off else {"autoscaling": {"maxReplicas": 8} | changes}
        observed, _ = observe(status=status, replicas=replicas, **spec)
        observed = replace(
            observed,
            scalers=scalers,
            hpas=hpas,
            kinds=frozenset(kinds),
            cluster=replace(UNKNOWN_CLUSTER, backends=backends),
        )
        return observed, make_plan(observed, Images(scaling=scaling))

    return make


def made(observed, plan):
    """Return the kinds that write replicas, of the children that are wanted."""
    kinds = {child["kind"] for child in bundle(observed.deployment, plan, Images(scaling=SCALING))}
    return kinds & {"HorizontalPodAutoscaler", "ScaledObject"}


def active(observed, plan):
    found = {item.type: item for item in assess(observed, plan).verdicts}["ScalingActive"]
    return found.status, found.reason, found.message


def test_off(look):
    seen = look(off=True)
    assert seen[1].actuation.path is Path.NONE
    assert active(*seen) == ("False", "AutoscalingOff", "spec.autoscaling is not set: replicas stay at 2")
    assert made(*seen) == set()


def test_advice_leaves_the_replicas_alone(look):
    seen = look(prediction={"mode": "Advisory"}, actuator="Direct")
    assert seen[1].actuation.path is Path.NONE
    status, reason, message = active(*seen)
    assert (status, reason) == ("False", "AdvisoryMode")
    assert message.endswith("status.autoscaling says what would be done: replicas stay at 2")
    assert made(*seen) == set()


@pytest.mark.parametrize("mode", ["Auto", "Reactive"])
def test_an_hpa_that_reads_our_metrics(look, mode):
    seen = look(OUR_HPA, prediction={"mode": mode})
    assert seen[1].actuation.path is Path.HPA
    assert made(*seen) == {"HorizontalPodAutoscaler"}
    assert active(*seen)[:2] == ("Unknown", "WaitingForHPA")


@pytest.mark.parametrize(
    ("scaler", "words"),
    [
        (
            THEIRS,
            "HorizontalPodAutoscaler mine scales AutoGLMDeployment phone, and two autoscalers would fight: delete it "
            "to have the operator's, or remove spec.autoscaling to keep it",
        ),
        (
            replace(THEIRS, group="apps", target_kind="Deployment"),
            "HorizontalPodAutoscaler mine scales Deployment phone, whose replicas the operator sets to spec.replicas: "
            "delete it, or let it scale AutoGLMDeployment phone and remove spec.autoscaling",
        ),
        (replace(THEIRS, kind="ScaledObject"), "ScaledObject mine scales AutoGLMDeployment phone"),
        (replace(THEIRS, maker=("Rollout", "mine")), "HorizontalPodAutoscaler mine scales AutoGLMDeployment phone"),
    ],
)
@pytest.mark.parametrize("actuator", ["HPA", "Direct", "KEDA"])
def test_an_autoscaler_of_others_is_left_alone_and_named(look, scaler, words, actuator):
    seen = look(OUR_HPA, scaler, actuator=actuator, kinds=["ScaledObject"])
    assert seen[1].actuation.path is Path.FOREIGN
    status, reason, message = active(*seen)
    assert (status, reason) == ("False", "ForeignAutoscaler")
    assert message.startswith(words)
    assert made(*seen) == set()


OF_KEDA = replace(THEIRS, name="keda-hpa-x", maker=("ScaledObject", "x"))
OUR_SCALED_OBJECT = replace(OUR_HPA, kind="ScaledObject")


def test_what_keda_makes_is_judged_by_what_it_makes_it_of(look):
    options = {"actuator": "KEDA", "kinds": ["ScaledObject"]}
    assert look(OF_KEDA, OUR_SCALED_OBJECT, **options)[1].actuation.path is Path.KEDA
    _, plan = look(OF_KEDA, replace(THEIRS, kind="ScaledObject"), **options)
    assert plan.actuation.message.startswith("ScaledObject mine scales")
    assert look(OF_KEDA, actuator="HPA", kinds=["ScaledObject"])[1].actuation.path is Path.HPA, "ours has just gone"


def test_where_scaled_objects_cannot_be_seen_what_keda_makes_is_of_others(look):
    assert look(OF_KEDA)[1].actuation.path is Path.FOREIGN


@pytest.mark.parametrize("rest", [{"off": True}, {"prediction": {"mode": "Advisory"}}])
def test_while_nothing_of_ours_writes_one_of_others_is_told_and_not_blamed(look, rest):
    observed, plan = look(THEIRS, **rest)
    assert plan.actuation.path is Path.FOREIGN
    _, reason, message = active(observed, plan)
    assert reason in {"AutoscalingOff", "AdvisoryMode"}
    assert message.endswith("; HorizontalPodAutoscaler mine scales AutoGLMDeployment phone")


@pytest.mark.parametrize(
    ("options", "reason", "words"),
    [
        ({"actuator": "Direct"}, "DirectActuator", "spec.autoscaling.actuator is Direct"),
        (
            {"backends": ()},
            "NoMetricsAPI",
            "APIService v1beta2.custom.metrics.k8s.io is absent, so that an HPA could read nothing",
        ),
        (
            {"backends": (ADAPTER,)},
            "MetricsAPIOfOthers",
            "APIService v1beta1.custom.metrics.k8s.io belongs to Service monitoring/prometheus-adapter, and not to "
            f"{OURS}, so that an HPA could not read our metrics",
        ),
        (
            {"backends": (BACKEND, replace(ADAPTER, priority=300))},
            "MetricsAPIOfOthers",
            "APIService v1beta1.custom.metrics.k8s.io belongs to Service monitoring/prometheus-adapter",
        ),
        (
            {"backends": (Backend("v1beta2", 1, ""),)},
            "MetricsAPIOfOthers",
            "APIService v1beta2.custom.metrics.k8s.io belongs to the API server itself",
        ),
        (
            {"backends": None, "scaling": replace(SCALING, metrics_registered=False)},
            "NoMetricsAPI",
            "the chart did not register the metrics API (metricsAPI.enabled)",
        ),
        (
            {"actuator": "KEDA"},
            "NoKEDA",
            "spec.autoscaling.actuator is KEDA, and the cluster does not serve ScaledObject (keda.sh/v1alpha1)",
        ),
        (
            {"actuator": "KEDA", "kinds": ["ScaledObject"], "scaling": replace(SCALING, prometheus="")},
            "NoPrometheusAddress",
            "spec.autoscaling.actuator is KEDA, and it is not known which Prometheus to ask; until the chart's value "
            "prometheus.address is set",
        ),
    ],
)
def test_without_a_reader_of_our_metrics_the_autoscaler_writes(look, options, reason, words):
    observed, plan = look(status=DECIDED, **options)
    assert plan.actuation.path is Path.DIRECT
    status, found, message = active(observed, plan)
    assert (status, found) == ("True", reason)
    assert message.startswith(words)
    assert message.endswith("the autoscaler writes replicas itself")
    assert made(observed, plan) == set()


@pytest.mark.parametrize(
    "options",
    [
        {"backends": None},
        {"backends": (BACKEND, ADAPTER)},
        {"backends": (ADAPTER,), "scaling": replace(SCALING, metrics_service=ADAPTER.service)},
        {"backends": (), "scaling": Scaling()},
    ],
)
def test_an_hpa_is_made_where_it_can_read_or_where_nothing_else_is_known(look, options):
    assert look(**options)[1].actuation.path is Path.HPA


def test_the_autoscaler_that_has_not_decided_yet_and_the_one_that_rests(look):
    assert active(*look(actuator="Direct"))[:2] == ("Unknown", "WaitingForAutoscaler")
    assert active(*look(actuator="Direct", status=DECIDED, replicas=0))[:2] == ("False", "ScaledToZero")


def told(kind, status, reason="Because", message="m"):
    return {"type": kind, "status": status, "reason": reason, "message": message}


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ((), ("Unknown", "WaitingForKEDA")),
        ((told("Ready", "True", "ScaledObjectReady"), told("Fallback", "False")), ("True", "ScaledObjectReady")),
        ((told("Ready", "False", "ScaledObjectCheckFailed"),), ("False", "ScaledObjectCheckFailed")),
        ((told("Ready", "True"), told("Fallback", "True", "FallbackExists")), ("False", "FallbackExists")),
        ((told("Ready", "True", ""),), ("True", "WaitingForKEDA")),
    ],
)
def test_scaling_active_follows_keda(look, conditions, expected):
    observed, plan = look(actuator="KEDA", kinds=["ScaledObject"])
    assert made(observed, plan) == {"ScaledObject"}
    child = {"kind": "ScaledObject", "metadata": {"name": "phone"}, "status": {"conditions": list(conditions)}}
    observed = replace(observed, children={("keda.sh/v1alpha1", "ScaledObject", "phone"): child})
    assert active(observed, plan)[:2] == expected


def test_the_status_says_who_writes(look):
    observed, plan = look(THEIRS)
    written = status_document(observed.deployment, judge(observed, plan, None), observed.now)["status"]
    assert written["actuation"] == {"path": "Foreign", "message": plan.actuation.message}


def limited(observed, plan):
    found = {item.type: item for item in judge(observed, plan, None).verdicts}.get(SCALING_LIMITED)
    return found and (found.status, found.reason, found.message)


LIMITS = [{"reason": "QuotaReached", "message": "a quota"}, {"reason": "ScheduleIgnored", "message": "a schedule"}]


def test_the_limits_of_the_autoscaler_become_a_condition_and_an_event(look):
    observed, plan = look(status={"autoscaling": {"limits": LIMITS}})
    assert limited(observed, plan) == ("True", "QuotaReached", "a quota; a schedule")
    assert [(item.kind, item.reason) for item in judge(observed, plan, None).notices] == [("Warning", "QuotaReached")]
    assert limited(*look())[:2] == ("False", "NotLimited")
    assert limited(*look(off=True)) is None


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"hpas": 300}, "NotLimited"),
        ({"hpas": None}, "NotLimited"),
        ({"hpas": 301}, "HPASlow"),
        ({"hpas": 1000, "actuator": "Direct"}, "NotLimited"),
    ],
)
def test_many_hpas_are_visited_late(look, options, reason):
    status, found, _ = limited(*look(**options))
    assert (status, found) == ("False", reason)


def test_another_hpa_somewhere_is_no_news(look):
    first, second = limited(*look(hpas=1012)), limited(*look(hpas=1013))
    assert first == second
    assert "the cluster has 1000 HPAs or more" in first[2]
    assert "each every 50 s, not 15 s" in first[2]

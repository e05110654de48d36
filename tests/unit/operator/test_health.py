"""How a deployment is judged: one case for each state a person can meet."""

import pytest

from autoglm_operator.decide.health import assess, refused
from autoglm_operator.decide.reasons import Reason
from autoglm_operator.observe.world import Pod


def pod(name="a", template="new", *, ready=True, terminating=False, trouble=None, unschedulable=None):
    return Pod(name, template, ready, terminating, trouble, unschedulable)


def verdict(health, kind):
    return next(item for item in health.verdicts if item.type == kind)


IMAGE = ("ImageUnavailable", "container engine: image x:1 cannot be pulled")
CRASH = ("EngineCrashing", "container engine keeps exiting: exit code 1")

#: name → (pods, replicas wanted, Ready, Reconciling, Stalled), each condition as (status, reason)
CASES = {
    "no pod yet": ((), 1, ("False", "Starting"), ("True", "Scaling"), ("False", "NothingWrong")),
    "loading": ((pod(ready=False),), 1, ("False", "Starting"), ("True", "Scaling"), ("False", "NothingWrong")),
    "ready": ((pod(),), 1, ("True", "ReplicasReady"), ("False", "UpToDate"), ("False", "NothingWrong")),
    "growing": (
        (pod(), pod("b", ready=False)),
        2,
        ("True", "ReplicasReady"),
        ("True", "Scaling"),
        ("False", "NothingWrong"),
    ),
    "shrinking": ((pod(), pod("b")), 1, ("True", "ReplicasReady"), ("True", "Scaling"), ("False", "NothingWrong")),
    "a pod that is being removed does not count": (
        (pod(), pod("b", terminating=True)),
        1,
        ("True", "ReplicasReady"),
        ("False", "UpToDate"),
        ("False", "NothingWrong"),
    ),
    "rolling out": (
        (pod("a", "old"), pod("b", ready=False)),
        1,
        ("False", "RollingOut"),
        ("True", "RollingOut"),
        ("False", "NothingWrong"),
    ),
    "rolled out before the old pod is gone": (
        (pod("a", "old"), pod("b")),
        1,
        ("False", "RollingOut"),
        ("True", "RollingOut"),
        ("False", "NothingWrong"),
    ),
    "image missing while old pods serve": (
        (pod("a", "old"), pod("b", ready=False, trouble=IMAGE)),
        1,
        ("False", "ImageUnavailable"),
        ("True", "RollingOut"),
        ("True", "ImageUnavailable"),
    ),
    "trouble of an old pod ends with it": (
        (pod("a", "old", ready=False, trouble=CRASH), pod("b", ready=False)),
        1,
        ("False", "Starting"),
        ("True", "RollingOut"),
        ("False", "NothingWrong"),
    ),
    "crash loop": (
        (pod(ready=False, trouble=CRASH),),
        1,
        ("False", "EngineCrashing"),
        ("True", "Scaling"),
        ("True", "EngineCrashing"),
    ),
    "one of two crashes": (
        (pod(), pod("b", ready=False, trouble=CRASH)),
        2,
        ("True", "ReplicasReady"),
        ("True", "Scaling"),
        ("True", "EngineCrashing"),
    ),
    "no node takes it": (
        (pod(ready=False, unschedulable="0/3 nodes are available: 3 Insufficient nvidia.com/gpu."),),
        1,
        ("False", "Unschedulable"),
        ("True", "Scaling"),
        ("True", "Unschedulable"),
    ),
    "scaled to zero": ((), 0, ("False", "ScaledToZero"), ("False", "UpToDate"), ("False", "NothingWrong")),
}


@pytest.mark.parametrize("name", CASES)
def test_state(name, observe, workload):
    pods, replicas, *expected = CASES[name]
    health = assess(*observe(*pods, workload=workload(), replicas=replicas))
    found = [(item.status, item.reason) for item in health.verdicts[:3]]
    assert found == expected
    assert [item.type for item in health.verdicts[:3]] == ["Ready", "Reconciling", "Stalled"]


def test_figures_count_pods_of_every_spec(observe, workload):
    pods = (pod("a", "old"), pod("b"), pod("c", ready=False), pod("d", terminating=True))
    health = assess(*observe(*pods, workload=workload(), replicas=4))
    assert (health.wanted, health.replicas, health.ready) == (4, 3, 2)


def test_before_the_workload_is_known_no_pod_runs_the_new_spec(observe):
    health = assess(*observe(pod()))
    assert verdict(health, "Ready").reason == Reason.ROLLING_OUT


def test_messages_carry_their_numbers(observe, workload):
    health = assess(*observe(pod("a", "old"), pod("b", ready=False, trouble=IMAGE), workload=workload(), replicas=3))
    assert verdict(health, "Ready").message == (
        "0 of 3 replicas run the new spec, 1 of the old one answer; pod b: container engine: image x:1 cannot be pulled"
    )


@pytest.mark.parametrize(
    ("condition", "value", "reason", "expected"),
    [
        ("ReplicaFailure", "True", "FailedCreate", Reason.PODS_REJECTED),
        ("Progressing", "False", "ProgressDeadlineExceeded", Reason.PROGRESS_DEADLINE_EXCEEDED),
        ("ReplicaFailure", "False", "", Reason.NOTHING_WRONG),
        ("Progressing", "True", "NewReplicaSetAvailable", Reason.NOTHING_WRONG),
    ],
)
def test_trouble_of_the_workload(observe, workload, condition, value, reason, expected):
    live = workload(**{condition: (value, reason, 'pods "phone-x" is forbidden: exceeded quota: gpus')})
    stalled = verdict(assess(*observe(workload=live)), "Stalled")
    assert stalled.reason == expected
    if expected is Reason.PODS_REJECTED:
        assert "exceeded quota: gpus" in stalled.message


AUTOSCALING = {"autoscaling": {"maxReplicas": 4}}


def hpa(**condition):
    return {"metadata": {"name": "phone"}, "status": {"conditions": [condition]} if condition else {}}


@pytest.mark.parametrize(
    ("spec", "live", "status", "reason"),
    [
        ({}, None, "False", "AutoscalingOff"),
        (AUTOSCALING, None, "Unknown", "WaitingForHPA"),
        (AUTOSCALING, hpa(), "Unknown", "WaitingForHPA"),
        (
            AUTOSCALING,
            hpa(type="ScalingActive", status="True", reason="ValidMetricFound", message="m"),
            "True",
            "ValidMetricFound",
        ),
        (
            AUTOSCALING,
            hpa(type="ScalingActive", status="False", reason="FailedGetObjectMetric"),
            "False",
            "FailedGetObjectMetric",
        ),
        (AUTOSCALING, hpa(type="ScalingActive", status="False"), "False", "WaitingForHPA"),
        (AUTOSCALING, hpa(type="AbleToScale", status="True", reason="Ready"), "Unknown", "WaitingForHPA"),
    ],
)
def test_scaling_active_follows_the_hpa(observe, workload, spec, live, status, reason):
    found = verdict(assess(*observe(pod(), workload=workload(), hpa=live, **spec)), "ScalingActive")
    assert (found.status, found.reason) == (status, reason)


def test_refused_says_why_and_what_still_answers(observe):
    observed, _ = observe(pod("a", "old"), pod("b", "old", ready=False), replicas=2)
    health = refused(observed, "NameTaken", "Service team-a/phone exists")
    assert (health.wanted, health.replicas, health.ready) == (2, 2, 1)
    assert [(item.status, item.reason) for item in health.verdicts] == [
        ("False", "NameTaken"),
        ("False", "NameTaken"),
        ("True", "NameTaken"),
        ("Unknown", "NameTaken"),
    ]
    assert verdict(health, "Ready").message == "Service team-a/phone exists; still answering requests: 1 replica"


def test_every_reason_is_fit_for_a_condition():
    for reason in Reason:
        assert reason.isalnum()
        assert reason[0].isupper()
        assert len(reason) <= 128

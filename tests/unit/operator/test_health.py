"""How a deployment is judged: one case for each state a person can meet."""

from dataclasses import replace

import pytest

from autoglm_operator.api.status import Condition
from autoglm_operator.decide.health import assess, refused
from autoglm_operator.decide.reasons import Reason
from autoglm_operator.decide.start.warmstart import Pods, WarmStart
from autoglm_operator.observe.pod import Container, Exit, Pod


def pod(name="a", template="new", *, ready=True, terminating=False, engine=None, **facts):
    return Pod(name, template, ready, terminating, containers=(engine,) if engine else (), **facts)


def verdict(health, kind):
    return next(item for item in health.verdicts if item.type == kind)


IMAGE = Container("engine", "x:1", waiting="ImagePullBackOff")


def crash(message="", code=1, **facts):
    return Container(
        "engine", "x:1", restarts=2, waiting="CrashLoopBackOff", last_exit=Exit(code, "Error", message, 40.0), **facts
    )


CRASH = crash()
LIMITED = crash("429 Client Error: Too Many Requests for url: https://huggingface.co/a/b")
NO_MODEL = crash("Repository Not Found for url: https://huggingface.co/api/models/a/b.")

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
        (pod("a", "old"), pod("b", ready=False, engine=IMAGE)),
        1,
        ("False", "ImageUnavailable"),
        ("True", "RollingOut"),
        ("True", "ImageUnavailable"),
    ),
    "trouble of an old pod ends with it": (
        (pod("a", "old", ready=False, engine=CRASH), pod("b", ready=False)),
        1,
        ("False", "Starting"),
        ("True", "RollingOut"),
        ("False", "NothingWrong"),
    ),
    "crash loop": (
        (pod(ready=False, engine=CRASH),),
        1,
        ("False", "EngineCrashing"),
        ("True", "Scaling"),
        ("True", "EngineCrashing"),
    ),
    "one of two crashes": (
        (pod(), pod("b", ready=False, engine=CRASH)),
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
    "a hub that limits the rate waits for nobody": (
        (pod(ready=False, engine=LIMITED),),
        1,
        ("False", "HubRateLimited"),
        ("True", "Scaling"),
        ("False", "HubRateLimited"),
    ),
    "what cannot pass is told before what may": (
        (pod(ready=False, engine=LIMITED), pod("b", ready=False, engine=NO_MODEL)),
        2,
        ("False", "ModelNotFound"),
        ("True", "Scaling"),
        ("True", "ModelNotFound"),
    ),
    "workers of a group are no replicas": (
        (pod(), pod("a-1", ready=False, worker=1)),
        1,
        ("True", "ReplicasReady"),
        ("False", "UpToDate"),
        ("False", "NothingWrong"),
    ),
    "a worker's trouble is the replica's": (
        (pod(ready=False), pod("a-1", ready=False, worker=1, engine=CRASH)),
        1,
        ("False", "EngineCrashing"),
        ("True", "Scaling"),
        ("True", "EngineCrashing"),
    ),
    "an evicted pod that was replaced is forgotten": (
        (pod(ready=False, phase="Failed", reason="Evicted"), pod("b")),
        1,
        ("True", "ReplicasReady"),
        ("False", "UpToDate"),
        ("False", "NothingWrong"),
    ),
    "an evicted pod whose successor starts": (
        (pod(ready=False, phase="Failed", reason="Evicted"), pod("b", ready=False)),
        1,
        ("False", "PodEvicted"),
        ("True", "Scaling"),
        ("True", "PodEvicted"),
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
    health = assess(*observe(pod("a", "old"), pod("b", ready=False, engine=IMAGE), workload=workload(), replicas=3))
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
        ("Unknown", "NameTaken"),
        ("Unknown", "NameTaken"),
    ]
    assert verdict(health, "Ready").message == "Service team-a/phone exists; still answering requests: 1 replica"


@pytest.mark.parametrize(
    ("reason", "aspect"), [(Reason.DOES_NOT_FIT, "Fits"), (Reason.NO_MATCHING_GPU, "GPUAllocation")]
)
def test_a_refusal_is_said_by_the_condition_it_is_about(observe, reason, aspect):
    health = refused(observe()[0], reason, "because")
    assert [item.type for item in health.verdicts[3:] if item.status == "False"] == [aspect]


def test_a_failure_that_cannot_pass_says_so(observe, workload):
    health = assess(*observe(pod("p", ready=False, engine=NO_MODEL), workload=workload()))
    message = verdict(health, "Stalled").message
    assert message.startswith("pod p: container engine keeps exiting: the hub has no model zai-org/AutoGLM-Phone-9B")
    assert "correct spec.model.source" in message
    assert message.endswith("it will not pass by itself")
    assert message in verdict(health, "Ready").message


def test_a_scheduler_without_gpus(observe, workload):
    words = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu. preemption: not helpful."
    pods = (pod(ready=False, unschedulable=words), pod("b", ready=False, unschedulable=words))
    message = verdict(assess(*observe(*pods, workload=workload(), replicas=2)), "Stalled").message
    assert message == (
        f"no node takes 2 replicas: {words} "
        "(nvidia.com/gpu: free one, add a node, or lower spec.replicas or spec.resources.gpu.count)"
    )


class Fit:
    def __init__(self, fits, sentence):
        self.fits, self.sentence = fits, sentence


@pytest.mark.parametrize(
    ("fit", "status", "reason", "message"),
    [
        (None, "Unknown", "FitUnknown", "the memory that the model needs was not judged"),
        (Fit(None, "no config.json"), "Unknown", "FitUnknown", "no config.json"),
        (Fit(True, "needs 61.2 GiB"), "True", "Fits", "needs 61.2 GiB"),
        (Fit(False, "lacks 3.1 GiB"), "False", "DoesNotFit", "lacks 3.1 GiB"),
    ],
)
def test_fit(observe, workload, fit, status, reason, message):
    found = verdict(assess(*observe(pod(), workload=workload()), fit=fit), "Fits")
    assert (found.status, found.reason, found.message) == (status, reason, message)


def test_allocation_is_as_planned(observe, workload):
    observed, plan = observe(pod(), workload=workload())
    found = verdict(assess(observed, plan), "GPUAllocation")
    planned = plan.allocation
    assert (found.status, found.reason, found.message) == (planned.status, planned.reason, planned.message)


def test_released_gpus(observe, workload):
    why = "the hub has no model a/b; correct spec.model.source"
    observed, plan = observe(workload=workload())
    plan = replace(plan, decided=replace(plan.decided, released=("ModelNotFound", why)))
    health = assess(observed, plan)
    ready, stalled = verdict(health, "Ready"), verdict(health, "Stalled")
    assert (ready.status, ready.reason) == ("False", "ModelNotFound")
    assert (stalled.status, stalled.reason) == ("True", "ModelNotFound")
    assert stalled.message == f"{why}; the GPUs are released until the spec changes"
    assert ready.message == f"no replica runs; {stalled.message}"


@pytest.mark.parametrize(
    ("pods", "reason", "hopeless", "ready", "stalled"),
    [
        (Pods.NONE, Reason.DOWNLOADING_WEIGHTS, False, "DownloadingWeights", ("False", "NothingWrong")),
        (Pods.NONE, Reason.HUB_RATE_LIMITED, False, "HubRateLimited", ("False", "HubRateLimited")),
        (Pods.NONE, Reason.MODEL_NOT_FOUND, True, "ModelNotFound", ("True", "ModelNotFound")),
        (Pods.RUN, Reason.DOWNLOADING_WEIGHTS, False, "Starting", ("False", "NothingWrong")),
    ],
)
def test_pods_that_wait_for_the_weights(observe, workload, pods, reason, hopeless, ready, stalled):
    observed, plan = observe(workload=workload())
    warm = WarmStart(pods=pods, status="False", reason=reason, message="Job a downloads", hopeless=hopeless)
    health = assess(observed, replace(plan, warm=warm))
    assert verdict(health, "Ready").reason == ready
    assert (verdict(health, "Stalled").status, verdict(health, "Stalled").reason) == stalled
    cached = verdict(health, "WeightsCached")
    assert (cached.status, cached.reason, cached.message) == ("False", reason, "Job a downloads")


def test_without_a_warm_start_nothing_is_said_of_it(observe, workload):
    health = assess(*observe(pod(), workload=workload()))
    assert "WeightsCached" not in {item.type for item in health.verdicts}


@pytest.fixture
def group(observe, workload):
    """Make the picture of a deployment whose replicas are groups, without the plan's demand for the API."""

    def make(*pods, stalled=None, generation=1):
        observed, plan = observe(*pods, workload=workload())
        child = workload() | {"kind": "LeaderWorkerSet"}
        child["spec"] = {"leaderWorkerTemplate": {"leaderTemplate": child["spec"]["template"]}}
        conditions = {}
        if stalled is not None:
            conditions["Stalled"] = Condition(
                type="Stalled",
                status=stalled.status,
                observed_generation=generation,
                last_transition_time="2026-01-01T00:00:00Z",
                reason=stalled.reason,
                message=stalled.message,
            )
        deployment = replace(observed.deployment, conditions=conditions)
        observed = replace(observed, deployment=deployment, children={("l", "LeaderWorkerSet", "phone"): child})
        nodes = plan.spec.resources.parallelism.model_copy(update={"nodes": 2})
        resources = plan.spec.resources.model_copy(update={"parallelism": nodes})
        return observed, replace(plan, spec=plan.spec.model_copy(update={"resources": resources}))

    return make


ONE_CRASH = Container(
    "engine", restarts=1, running_since=1.0, last_exit=Exit(1, "Error", "No available memory for the cache blocks")
)


def test_of_a_group_the_pods_on_their_way_out_tell(group):
    health = assess(*group(pod("p-0", ready=False, terminating=True, engine=ONE_CRASH)))
    stalled = verdict(health, "Stalled")
    assert (stalled.status, stalled.reason) == ("True", "KVCacheTooSmall")
    assert health.replicas == 0


def test_the_trouble_of_a_group_outlives_its_pods(group):
    told = verdict(assess(*group(pod("p-0", ready=False, terminating=True, engine=ONE_CRASH))), "Stalled")
    anew = assess(*group(pod("p-0", ready=False), stalled=told))
    assert verdict(anew, "Stalled") == told
    assert verdict(assess(*group(pod("p-0"), stalled=told)), "Stalled").reason == "NothingWrong"
    changed = assess(*group(pod("p-0", ready=False), stalled=told, generation=0))
    assert verdict(changed, "Stalled").reason == "NothingWrong"
    other = replace(told, reason="Unschedulable")
    assert verdict(assess(*group(pod("p-0", ready=False), stalled=other)), "Stalled").reason == "NothingWrong"


def test_quota_names_the_cure(observe, workload):
    live = workload(ReplicaFailure=("True", "FailedCreate", 'pods "phone-x" is forbidden: exceeded quota: gpus'))
    message = verdict(assess(*observe(workload=live)), "Stalled").message
    assert "raise the ResourceQuota of the namespace" in message


def test_every_reason_is_fit_for_a_condition():
    for reason in Reason:
        assert reason.isalnum()
        assert reason[0].isupper()
        assert len(reason) <= 128

"""What is read from a live pod, and whose it is."""

from datetime import UTC, datetime

import pytest

from autoglm_operator.api import names
from autoglm_operator.observe.pod import Container, Exit, Pod, deployment_of, seconds

GROUP = "leaderworkerset.sigs.k8s.io"
T0 = 1_800_000_000


def at(offset):
    return datetime.fromtimestamp(T0 + offset, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def document(**status):
    return {
        "metadata": {"name": "phone-5d-x", "annotations": {names.ANNOTATION_TEMPLATE: "abc"}},
        "status": status,
    }


def test_plain_pod():
    pod = Pod.parse(document(conditions=[{"type": "Ready", "status": "True", "lastTransitionTime": at(9)}]))
    assert pod == Pod("phone-5d-x", "abc", ready=True, terminating=False, ready_since=T0 + 9.0)


def test_pod_without_status_labels_or_annotations():
    assert Pod.parse({"metadata": {"name": "p"}}) == Pod("p", "", ready=False, terminating=False)


def test_terminating():
    dying = document()
    dying["metadata"]["deletionTimestamp"] = at(0)
    assert Pod.parse(dying).terminating


def test_unschedulable_keeps_the_schedulers_words():
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}
    assert Pod.parse(document(conditions=[condition])).unschedulable == "0/3 nodes"
    assert Pod.parse(document(conditions=[condition | {"reason": "SchedulerError"}])).unschedulable is None


def test_times_of_a_start():
    pod = document(
        conditions=[
            {"type": "PodScheduled", "status": "True", "lastTransitionTime": at(1)},
            {"type": "Ready", "status": "True", "lastTransitionTime": at(90)},
        ],
        containerStatuses=[
            {
                "name": "engine",
                "image": "x:1",
                "ready": True,
                "restartCount": 0,
                "state": {"running": {"startedAt": at(30)}},
            }
        ],
    )
    pod["metadata"]["creationTimestamp"] = at(0)
    pod["spec"] = {"nodeName": "gpu-1"}
    parsed = Pod.parse(pod)
    assert (parsed.created, parsed.scheduled, parsed.ready_since) == (T0, T0 + 1, T0 + 90)
    assert parsed.node == "gpu-1"
    assert parsed.engine == Container("engine", "x:1", ready=True, running_since=T0 + 30.0)


def test_a_pod_that_is_not_ready_is_ready_since_never():
    pod = Pod.parse(document(conditions=[{"type": "Ready", "status": "False", "lastTransitionTime": at(90)}]))
    assert (pod.ready, pod.ready_since) == (False, None)


def test_pod_that_failed_as_a_whole():
    pod = Pod.parse(document(phase="Failed", reason="Evicted", message="The node was low on resource: memory."))
    assert (pod.ended, pod.reason) == (True, "Evicted")
    assert not Pod.parse(document(phase="Running")).ended


def test_a_disruption_counts_only_while_it_is_true():
    target = {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager"}
    assert Pod.parse(document(conditions=[target])).disruption == "DeletionByTaintManager"
    assert Pod.parse(document(conditions=[target | {"status": "False"}])).disruption == ""


def test_container_that_waits_after_a_crash():
    status = {
        "name": "engine",
        "image": "x:1",
        "restartCount": 3,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}},
        "lastState": {
            "terminated": {
                "exitCode": 1,
                "reason": "Error",
                "message": "ValueError",
                "startedAt": at(0),
                "finishedAt": at(70),
            }
        },
    }
    assert Container.parse(status) == Container(
        "engine",
        "x:1",
        restarts=3,
        waiting="CrashLoopBackOff",
        waiting_message="back-off 40s",
        last_exit=Exit(1, "Error", "ValueError", 70.0),
    )


def test_container_that_has_just_ended():
    ended = Container.parse({"name": "engine", "state": {"terminated": {"exitCode": 2}}, "lastState": {}})
    assert (ended.ended, ended.last_exit) == (True, Exit(2))


def test_sidecars_come_first():
    pod = Pod.parse(document(containerStatuses=[{"name": "engine"}], initContainerStatuses=[{"name": "agent"}]))
    assert [item.name for item in pod.containers] == ["agent", "engine"]


def owned(name, kind, controller, *, deployment="phone", group=None, index=None):
    labels = {names.LABEL_DEPLOYMENT: deployment}
    if group is not None:
        labels[f"{GROUP}/name"] = group
    if index is not None:
        labels[f"{GROUP}/worker-index"] = index
    owners = [{"kind": kind, "name": controller, "controller": True}]
    return {"metadata": {"name": name, "labels": labels, "ownerReferences": owners}}


@pytest.mark.parametrize(
    "pod",
    [
        owned("phone-5d-x", "ReplicaSet", "phone-5d"),
        owned("phone-0", "StatefulSet", "phone", group="phone", index="0"),
        owned("phone-12", "StatefulSet", "phone", group="phone", index="0"),
        owned("phone-0-1", "StatefulSet", "phone-0", group="phone", index="1"),
        owned("phone-12-3", "StatefulSet", "phone-12", group="phone", index="3"),
    ],
)
def test_pods_of_ours(pod):
    assert deployment_of(pod) == "phone"


@pytest.mark.parametrize(
    "pod",
    [
        owned("phone-5d-x", "ReplicaSet", "other-5d"),
        owned("phone-5d-x", "Job", "phone-5d"),
        owned("phone-5d-x", "ReplicaSet", "phone-5d", deployment=""),
        # A StatefulSet of somebody, with our label copied.
        owned("phone-0", "StatefulSet", "phone"),
        owned("db-0", "StatefulSet", "db", group="phone"),
        owned("phone-0", "StatefulSet", "phone", group="db"),
        owned("phone-x", "StatefulSet", "phone", group="phone"),
        owned("other-0", "StatefulSet", "phone", group="phone"),
        owned("phone-x-0", "StatefulSet", "phone-x", group="phone"),
        owned("phone-0-0-1", "StatefulSet", "phone-0-0", group="phone"),
        {"metadata": {"name": "phone-0", "labels": {names.LABEL_DEPLOYMENT: "phone"}}},
        {"metadata": {"name": "phone-0"}},
    ],
)
def test_pods_that_only_look_like_ours(pod):
    assert deployment_of(pod) is None


def test_a_deployment_whose_name_looks_like_a_leaders():
    """The workers of group 0 of `phone` and the leaders of `phone-0` have the same controller's name."""
    assert (
        deployment_of(owned("phone-0-1", "StatefulSet", "phone-0", deployment="phone-0", group="phone-0")) == "phone-0"
    )
    assert deployment_of(owned("phone-0-1", "StatefulSet", "phone-0", group="phone")) == "phone"
    assert deployment_of(owned("phone-0-1", "StatefulSet", "phone-0", group="phone-0")) is None


@pytest.mark.parametrize(("index", "place"), [(None, 0), ("0", 0), ("3", 3), ("x", 0), ("-1", 0)])
def test_place_in_the_group(index, place):
    assert Pod.parse(owned("phone-0-1", "StatefulSet", "phone-0", group="phone", index=index)).worker == place


def test_times():
    assert seconds("2027-01-15T08:00:00Z") == T0
    assert seconds("2027-01-15T08:00:00.5Z") == T0 + 0.5
    assert seconds(None) is None
    with pytest.raises(ValueError, match="yesterday"):
        seconds("yesterday")

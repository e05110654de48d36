"""What is read from live objects."""

import pytest

from autoglm_operator.api import names
from autoglm_operator.observe.world import Deployment, Observed, Pod


def pod_document(**status):
    return {
        "metadata": {"name": "phone-5d-x", "annotations": {names.ANNOTATION_TEMPLATE: "abc"}},
        "status": status,
    }


def container(name="engine", **fields):
    return {"name": name, "image": "x:1", "ready": False, "restartCount": 0, "state": {}} | fields


def test_plain_pod():
    pod = Pod.parse(pod_document(conditions=[{"type": "Ready", "status": "True"}]))
    assert pod == Pod("phone-5d-x", "abc", ready=True, terminating=False)


def test_pod_without_status_labels_or_annotations():
    assert Pod.parse({"metadata": {"name": "p"}}) == Pod("p", "", ready=False, terminating=False)


def test_terminating():
    document = pod_document()
    document["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert Pod.parse(document).terminating


def test_unschedulable_keeps_the_schedulers_words():
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}
    assert Pod.parse(pod_document(conditions=[condition])).unschedulable == "0/3 nodes"
    assert Pod.parse(pod_document(conditions=[condition | {"reason": "SchedulerError"}])).unschedulable is None


ENDED = {"exitCode": 1, "reason": "Error", "message": "Traceback\nValueError: no such model\n"}
OOM = {"exitCode": 137, "reason": "OOMKilled"}
CRASHING = {"waiting": {"reason": "CrashLoopBackOff"}}
WORDS = "container engine keeps exiting: exit code 1; last line of its log: ValueError: no such model"


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (container(state={"running": {}}), None),
        (container(state={"waiting": {"reason": "ContainerCreating"}}), None),
        (
            container(state={"waiting": {"reason": "ErrImagePull", "message": "not found"}}),
            ("ImageUnavailable", "container engine: image x:1 cannot be pulled"),
        ),
        (
            container(state={"waiting": {"reason": "ImagePullBackOff"}}),
            ("ImageUnavailable", "container engine: image x:1 cannot be pulled"),
        ),
        (
            container(state={"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "hf" not found'}}),
            ("ContainerNotCreated", 'container engine: secret "hf" not found'),
        ),
        (
            container(state={"waiting": {"reason": "CreateContainerError"}}),
            ("ContainerNotCreated", "container engine: CreateContainerError"),
        ),
        (container(state=CRASHING, lastState={"terminated": ENDED}, restartCount=1), ("EngineCrashing", WORDS)),
        (
            container(state=CRASHING, lastState={"terminated": OOM}, restartCount=1),
            (
                "EngineCrashing",
                "container engine keeps exiting: exit code 137, out of memory (raise resources.memory)",
            ),
        ),
        (container(state=CRASHING), ("EngineCrashing", "container engine keeps exiting: exit code unknown")),
        # The same trouble between two back-offs: no end and no return of it.
        (
            container(state={"running": {}}, lastState={"terminated": ENDED}, restartCount=2),
            ("EngineCrashing", WORDS),
        ),
        (container(state={"terminated": ENDED}, restartCount=2), ("EngineCrashing", WORDS)),
        # One exit can be chance; a clean exit is an order; a ready container is over it.
        (container(state={"running": {}}, lastState={"terminated": ENDED}, restartCount=1), None),
        (container(state={"running": {}}, lastState={"terminated": {"exitCode": 0}}, restartCount=5), None),
        (container(state={"running": {}}, lastState={"terminated": ENDED}, restartCount=5, ready=True), None),
    ],
)
def test_trouble_of_a_container(state, expected):
    assert Pod.parse(pod_document(containerStatuses=[state])).trouble == expected


def test_trouble_of_the_sidecar_comes_first():
    agent = container("agent", state={"waiting": {"reason": "ErrImagePull"}})
    engine = container(state=CRASHING)
    pod = Pod.parse(pod_document(initContainerStatuses=[agent], containerStatuses=[engine]))
    assert pod.trouble == ("ImageUnavailable", "container agent: image x:1 cannot be pulled")


def test_long_last_line_is_cut():
    last = {"terminated": {"exitCode": 1, "message": "x" * 2000}}
    pod = Pod.parse(pod_document(containerStatuses=[container(state=CRASHING, lastState=last)]))
    assert len(pod.trouble[1]) < 400


def test_a_spec_that_cannot_be_read_is_kept_as_a_sentence(deployment_document):
    document = deployment_document(engine={"type": "TensorRT"})
    deployment = Deployment.parse(document)
    assert deployment.spec is None
    assert deployment.spec_error.startswith("spec.engine.type: Input should be 'vLLM', 'SGLang' or 'Simulator'")
    assert "TensorRT" in deployment.spec_error


def test_no_spec_at_all(deployment_document):
    document = deployment_document()
    del document["spec"]
    assert Deployment.parse(document).spec_error.startswith("spec.model: Field required")


def test_fields_of_newer_versions_are_ignored(deployment_document):
    assert Deployment.parse(deployment_document(warmStart={"mode": "Hybrid"})).spec is not None


def test_child_by_kind_and_name(deployment_document):
    service = {"kind": "Service"}
    children = {("v1", "Service", "phone"): service, ("v1", "Service", "other"): {}}
    observed = Observed(Deployment.parse(deployment_document()), children, (), frozenset(), 0.0)
    assert observed.child("Service") is service
    assert observed.child("Deployment") is None

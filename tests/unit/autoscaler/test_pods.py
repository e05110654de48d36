import copy

import pytest

from autoglm_operator.autoscaler.pods import EnginePod, Target

POD = {
    "metadata": {
        "namespace": "prod",
        "name": "phone-7d4f-aaaaa",
        "uid": "u",
        "labels": {"autoglm.io/deployment": "phone"},
        "ownerReferences": [{"kind": "ReplicaSet", "name": "phone-7d4f", "controller": True, "uid": "r"}],
    },
    "status": {"phase": "Running", "podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]},
}


@pytest.fixture
def document():
    return copy.deepcopy(POD)


def test_what_is_kept_of_a_pod(document):
    assert EnginePod.keep(document) == EnginePod("prod", "phone-7d4f-aaaaa", "u", "phone", "10.0.0.1", True, False)


@pytest.mark.parametrize(
    "owner",
    [
        None,
        {"kind": "ReplicaSet", "name": "phone-7d4f"},
        {"kind": "Job", "name": "phone-7d4f", "controller": True},
        {"kind": "ReplicaSet", "name": "tablet-7d4f", "controller": True},
        {"kind": "ReplicaSet", "name": "phone-tv-7d4f", "controller": True},
        {"kind": "ReplicaSet", "name": "phone", "controller": True},
    ],
)
def test_a_pod_that_only_looks_like_ours_is_not_kept(document, owner):
    document["metadata"]["ownerReferences"] = [owner] if owner else None
    assert EnginePod.keep(document) is None


def test_a_pod_on_its_way_out_is_not_kept(document):
    document["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert EnginePod.keep(document) is None


@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
def test_a_pod_that_ended_is_not_kept(document, phase):
    document["status"]["phase"] = phase
    assert EnginePod.keep(document) is None


@pytest.mark.parametrize(("index", "kept"), [("0", True), ("1", False)])
def test_of_a_group_the_leader_alone_is_kept(document, index, kept):
    document["metadata"]["labels"]["leaderworkerset.sigs.k8s.io/worker-index"] = index
    assert (EnginePod.keep(document) is not None) is kept


def test_a_pod_without_a_node(document):
    document["status"] = {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]}
    found = EnginePod.keep(document)
    assert (found.ready, found.unschedulable, found.ip) == (False, True, "")


def test_what_is_kept_of_a_deployment():
    document = {
        "metadata": {"namespace": "prod", "name": "phone", "uid": "u", "labels": {"team": "a"}},
        "spec": {
            "model": {"source": {"huggingFace": "zai-org/AutoGLM-Phone-9B"}},
            "engine": {"batching": {"maxNumSeqs": 32}},
            "replicas": 3,
            "autoscaling": {"maxReplicas": 8},
        },
        "status": {"autoscaling": {"desiredReplicas": 3}},
    }
    found = Target.keep(document)
    assert (found.replicas, found.batch, found.autoscaling.max_replicas, found.labels) == (3, 32, 8, {"team": "a"})
    assert found.status.desired_replicas == 3
    document["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert Target.keep(document) is None


@pytest.mark.parametrize("spec", [None, {}, {"model": {"source": {}}, "replicas": -1}])
def test_a_deployment_that_cannot_be_read_is_not_kept(spec):
    document = {"metadata": {"namespace": "prod", "name": "phone", "uid": "u"}} | ({"spec": spec} if spec else {})
    assert Target.keep(document) is None


@pytest.mark.parametrize(
    ("label", "serving", "drained"),
    [(None, True, False), ("true", True, False), ("draining", False, False), ("drained", False, True)],
)
def test_how_far_a_pod_is_on_its_way_out(document, label, serving, drained):
    if label:
        document["metadata"]["labels"]["autoglm.io/serving"] = label
    found = EnginePod.keep(document)
    assert (found.serving, found.drained) == (serving, drained)


@pytest.mark.parametrize(
    ("since", "seconds"), [("2026-01-01T00:00:00.500+00:00", 1767225600.5), ("yesterday", 0.0), (None, 0.0)]
)
def test_what_is_remembered_of_a_drain(document, since, seconds):
    cost = {"controller.kubernetes.io/pod-deletion-cost": "-5", "autoglm.io/deletion-cost-before": "7"}
    document["metadata"]["annotations"] = cost | ({"autoglm.io/draining-since": since} if since else {})
    found = EnginePod.keep(document)
    assert (found.draining_since, found.deletion_cost, found.cost_before) == (seconds, "-5", "7")


def test_what_the_law_is_told_of_a_deployment():
    document = {
        "metadata": {"namespace": "prod", "name": "phone", "uid": "u"},
        "spec": {
            "model": {"source": {"huggingFace": "zai-org/AutoGLM-Phone-9B"}},
            "resources": {"gpu": {"product": "NVIDIA-H100-80GB-HBM3"}},
            "autoscaling": {"maxReplicas": 8},
        },
        "status": {
            "serving": {"kvCacheTokens": 1_000_000},
            "coldStart": {
                "observedAt": "2026-01-01T00:00:00Z",
                "samples": 3,
                "totalSeconds": 95,
                "totalP90Seconds": 130,
                "stages": [],
            },
        },
    }
    found = Target.keep(document)
    assert found.lead == 95.0
    assert found.spec_prior.kv_tokens == 1_000_000
    del document["spec"]["resources"], document["status"]
    found = Target.keep(document)
    assert (found.lead, found.spec_prior) == (None, None)

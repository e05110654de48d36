import pytest

from autoglm_operator.api.v1alpha1 import Spec
from autoglm_operator.decide.scaling.quota import Footprint, Quota, room_of

GPUS = "requests.nvidia.com/gpu"


def quota(name="gpu", hard=None, used=None):
    return Quota("x", name, hard or {GPUS: 16}, used or {})


def document(hard, used=None, **spec):
    return {"metadata": {"namespace": "x", "name": "gpu"}, "spec": spec, "status": {"hard": hard, "used": used or {}}}


def footprint(conditions=(), **resources):
    model = {"source": {"huggingFace": "zai-org/AutoGLM-Phone-9B"}}
    return Footprint.of(Spec.model_validate({"model": model, "resources": resources}), conditions)


def test_what_fits_is_what_is_there_and_what_is_left():
    # 3 replicas are there, 10 of 16 GPUs belong to others, none is left.
    full = room_of([quota(used={GPUS: 16})], Footprint(gpus=2), present=3)
    assert full.replicas == 3
    assert full.sentence == (
        "ResourceQuota gpu of namespace x allows 3 replicas of 2 GPUs (6 of 16 GPUs are left for them)"
    )
    # 5 are left, which is room for two more.
    assert room_of([quota(used={GPUS: 11})], Footprint(gpus=2), present=3).replicas == 5


def test_a_quota_never_takes_away_what_is_there():
    assert room_of([quota(hard={GPUS: 2}, used={GPUS: 8})], Footprint(gpus=2), present=4).replicas == 4


def test_the_tightest_quota_counts():
    pods = quota("pods", {"pods": 10}, {"pods": 9})
    found = room_of([quota(), pods, quota("other", {GPUS: 64})], Footprint(gpus=1), present=0)
    assert found.replicas == 1
    assert (
        found.sentence == "ResourceQuota pods of namespace x allows 1 replica of 1 pod (1 of 10 pods are left for them)"
    )


def test_quotas_that_count_nothing_of_a_replica_bound_nothing():
    assert room_of([], Footprint(gpus=1), 1) is None
    assert room_of([quota()], Footprint(gpus=0), 1) is None
    assert room_of([quota()], Footprint(gpus=1, resource="requests.nvidia.com/mig-1g.10gb"), 1) is None


def test_a_replica_of_several_nodes_takes_several_pods():
    found = room_of([quota(hard={"count/pods": 9})], Footprint(gpus=16, pods=2), present=0)
    assert found.replicas == 4


@pytest.mark.parametrize(
    ("resources", "conditions", "expected"),
    [
        ({"gpu": {"count": 4}}, (), Footprint(4, GPUS)),
        ({"gpu": {"count": 0}}, (), Footprint(0, GPUS)),
        ({"gpu": {"count": 1, "migProfile": "3g.40gb"}}, (), Footprint(1, "requests.nvidia.com/mig-3g.40gb")),
        (
            {"gpu": {"count": 16}, "parallelism": {"tensor": 8, "pipeline": 2, "nodes": 2}},
            (),
            Footprint(16, GPUS, pods=2),
        ),
        (
            {"gpu": {"count": 1, "allocation": "DynamicResourceAllocation"}},
            (),
            Footprint(1, "gpu.nvidia.com.deviceclass.resource.k8s.io/devices"),
        ),
        (
            {"gpu": {"count": 1}},
            ({"type": "GPUAllocation", "reason": "DynamicResourceAllocation"},),
            Footprint(1, "gpu.nvidia.com.deviceclass.resource.k8s.io/devices"),
        ),
        (
            {"gpu": {"count": 1, "migProfile": "3g.40gb", "allocation": "DynamicResourceAllocation"}},
            (),
            Footprint(1, "mig.nvidia.com.deviceclass.resource.k8s.io/devices"),
        ),
    ],
)
def test_what_a_replica_takes(resources, conditions, expected):
    assert footprint(conditions, **resources) == expected


@pytest.mark.parametrize("text", ["1000", "1k", "1e3", "1E3"])
def test_quantities_are_read_however_they_are_written(text):
    assert Quota.keep(document({"pods": text})).hard == {"pods": 1000}


def test_only_pods_and_devices_are_kept():
    hard = {"pods": "9", GPUS: "8", "requests.cpu": "500m", "requests.memory": "1Gi", "services": "3"}
    found = Quota.keep(document(hard, {"pods": "2", "requests.cpu": "250m"}))
    assert (found.hard, found.used) == ({"pods": 9, GPUS: 8}, {"pods": 2})
    assert Quota.keep(document({"requests.cpu": "8"})) is None


def test_a_quota_that_nobody_has_counted_yet_says_nothing():
    assert Quota.keep({"metadata": {"namespace": "x", "name": "new"}, "spec": {"hard": {"pods": "4"}}}) is None


@pytest.mark.parametrize(
    ("spec", "kept"),
    [
        ({"scopes": ["NotTerminating"]}, True),
        ({"scopes": ["NotBestEffort"]}, True),
        ({"scopes": ["Terminating"]}, False),
        ({"scopes": ["BestEffort"]}, False),
        ({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "Exists"}]}}, False),
    ],
)
def test_quotas_for_some_pods_only_are_left_to_the_api_server(spec, kept):
    assert (Quota.keep(document({"pods": "4"}, **spec)) is not None) == kept

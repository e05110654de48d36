"""What is kept of autoscalers and backends, and whose deployment they are about."""

import pytest

from autoglm_operator.observe.autoscalers import HPA, SCALED_OBJECT, Backend, Scaler, Scalers
from autoglm_operator.observe.caches import Caches

PHONE = {"apiVersion": "autoglm.io/v1alpha1", "kind": "AutoGLMDeployment", "name": "phone"}


def scaler(target, kind=HPA, name="mine", version=5, maker=None):
    api_version, kind = kind
    owners = [{"kind": "Other", "name": "x"}, *([{**maker, "controller": True}] if maker else [])]
    meta = {"name": name, "namespace": "team-a", "resourceVersion": str(version), "ownerReferences": owners}
    return {"apiVersion": api_version, "kind": kind, "metadata": meta, "spec": {"scaleTargetRef": target}}


def test_an_hpa_and_its_maker():
    made = Scaler.keep(scaler(PHONE, maker={"kind": "AutoGLMDeployment", "name": "phone"}))
    assert (made.group, made.target_kind, made.target) == ("autoglm.io", "AutoGLMDeployment", "phone")
    assert made.maker == ("AutoGLMDeployment", "phone")
    assert Scaler.keep(scaler(PHONE)).maker == ("", "")


def test_a_scaled_object_scales_deployments_unless_it_says_otherwise():
    made = Scaler.keep(scaler({"name": "phone"}, SCALED_OBJECT))
    assert (made.group, made.target_kind) == ("apps", "Deployment")
    assert made.place == ("team-a", "phone")


@pytest.mark.parametrize(
    ("version", "kind", "place"),
    [
        ("autoglm.io/v1", "AutoGLMDeployment", ("team-a", "phone")),
        ("apps/v1", "Deployment", ("team-a", "phone")),
        ("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet", ("team-a", "phone")),
        ("apps/v1", "StatefulSet", None),
        ("argoproj.io/v1alpha1", "Deployment", None),
    ],
)
def test_what_can_be_about_a_deployment_of_ours(version, kind, place):
    assert Scaler.keep(scaler({"apiVersion": version, "kind": kind, "name": "phone"})).place == place


@pytest.fixture
def changed():
    return []


def feed(scalers, document):
    next(item for item in scalers.reflectors if item.kind == document["kind"]).store(document)


async def test_a_change_is_told_to_whom_it_was_and_is_about(client, changed):
    scalers = Scalers(client, (), [SCALED_OBJECT], changed.append)
    feed(scalers, scaler(PHONE))
    feed(scalers, scaler({"name": "phone"}, SCALED_OBJECT, version=6))
    assert {item.kind for item in scalers.on(("team-a", "phone"))} == {"HorizontalPodAutoscaler", "ScaledObject"}
    feed(scalers, scaler(PHONE | {"name": "tablet"}, version=7))
    assert changed == [("team-a", name) for name in ("phone", "phone", "phone", "tablet")]
    assert [item.kind for item in scalers.on(("team-a", "phone"))] == ["ScaledObject"]
    scalers.reflectors[0]._store(("team-a", "mine"), 8, None)
    assert scalers.on(("team-a", "tablet")) == ()


async def test_a_status_is_no_change(client, changed):
    scalers = Scalers(client, (), [], changed.append)
    feed(scalers, scaler(PHONE))
    feed(scalers, scaler(PHONE, version=6) | {"status": {"currentReplicas": 3}})
    assert len(changed) == 1


async def test_scaled_objects_are_followed_where_there_are_any(client, changed):
    assert [item.kind for item in Scalers(client, (), [], changed.append).reflectors] == ["HorizontalPodAutoscaler"]


@pytest.mark.parametrize(("namespaces", "count"), [((), 2), (("team-a",), None)])
async def test_hpas_are_counted_where_all_of_them_can_be_seen(client, changed, namespaces, count):
    scalers = Scalers(client, namespaces, [], changed.append)
    assert scalers.hpas is None
    feed(scalers, scaler(PHONE))
    feed(scalers, scaler({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, name="web"))
    scalers.reflectors[0]._synced.set()
    assert scalers.hpas == count


async def test_the_picture_has_what_acts_on_it_and_others_wake_nobody(client, deployment_document):
    enqueued = []
    caches = Caches(client, (), (), enqueued.append)
    caches.store(deployment_document())
    followed = [item for item in caches.reflectors if item.kind == "HorizontalPodAutoscaler"][1]
    followed.store(scaler(PHONE))
    followed.store(scaler(PHONE | {"name": "unknown"}, name="other"))
    assert enqueued == [("team-a", "phone")]
    assert [item.name for item in caches.observe(("team-a", "phone")).scalers] == ["mine"]


def api_service(group="custom.metrics.k8s.io", **spec):
    return {"metadata": {"name": "x"}, "spec": {"group": group, "version": "v1beta2", "versionPriority": 200} | spec}


def test_backends_of_custom_metrics():
    assert Backend.keep(api_service("metrics.k8s.io")) is None
    assert Backend.keep(api_service(service={"namespace": "a", "name": "b"})) == Backend("v1beta2", 200, "a/b")
    assert Backend.keep(api_service(service=None)) == Backend("v1beta2", 200, "")
    assert Backend("v1beta2", 200, "").name == "v1beta2.custom.metrics.k8s.io"

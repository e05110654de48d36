"""From streams of objects to the picture of one deployment."""

import pytest

from autoglm_operator.api import names
from autoglm_operator.observe.caches import Caches

KEY = ("team-a", "phone")


@pytest.fixture
def enqueued():
    return []


@pytest.fixture
async def caches(client, enqueued, deployment_document):
    made = Caches(client, (), (), enqueued.append)
    made.store(deployment_document())
    return made


def child(kind="Service", name="phone", uid="uid-of-phone", version=5, **fields):
    owner = {"kind": names.KIND, "name": name, "uid": uid, "controller": True}
    meta = {"name": name, "namespace": "team-a", "uid": "c", "resourceVersion": str(version)}
    api_version = {"Service": "v1", "Deployment": "apps/v1", "HorizontalPodAutoscaler": "autoscaling/v2"}[kind]
    return {"apiVersion": api_version, "kind": kind, "metadata": meta | {"ownerReferences": [owner]}, **fields}


def pod(name="phone-5d-x", deployment="phone", version=5, controller="phone-5d", **labels):
    owners = [{"kind": "ReplicaSet", "name": controller, "uid": "r", "controller": True}] if controller else []
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "team-a",
            "resourceVersion": str(version),
            "labels": {names.LABEL_DEPLOYMENT: deployment} | labels,
            "ownerReferences": owners,
        },
    }


def reflector(caches, kind):
    return next(item for item in caches.reflectors if item.kind == kind)


def feed(caches, document):
    reflector(caches, document["kind"]).store(document)


def remove(caches, kind, name, version=1000):
    reflector(caches, kind)._store(("team-a", name), version, None)


def test_children_by_owner(caches, enqueued):
    feed(caches, child())
    feed(caches, child(name="other", uid="another"))
    observed = caches.observe(KEY)
    assert list(observed.children) == [("v1", "Service", "phone")]
    assert enqueued == [KEY, ("team-a", "other")]
    remove(caches, "Service", "phone")
    assert caches.observe(KEY).children == {}
    assert enqueued[-1] == KEY


def test_children_of_a_predecessor_of_the_same_name_are_not_adopted(caches):
    feed(caches, child(uid="uid-of-the-one-before"))
    assert caches.observe(KEY).children == {}


def test_an_owner_that_is_no_controller_does_not_count(caches):
    document = child()
    del document["metadata"]["ownerReferences"][0]["controller"]
    feed(caches, document)
    assert caches.observe(KEY).children == {}


def test_a_child_that_loses_its_owner_is_lost(caches):
    feed(caches, child())
    orphan = child(version=6)
    orphan["metadata"]["ownerReferences"] = []
    feed(caches, orphan)
    assert caches.observe(KEY).children == {}


def test_own_writes_are_seen_at_once_and_survive_older_events(caches):
    caches.put([child(version=10, spec={"x": "new"})])
    feed(caches, child(version=8, spec={"x": "old"}))
    assert caches.observe(KEY).children[("v1", "Service", "phone")]["spec"] == {"x": "new"}


def test_own_writes_go_when_a_list_does_not_have_them(caches):
    caches.put([child(version=10)])
    remove(caches, "Service", "phone", version=11)
    assert caches.observe(KEY).children == {}


def test_of_an_hpa_only_the_conditions_are_kept(caches, enqueued):
    status = {"conditions": [{"type": "ScalingActive", "status": "True"}], "currentReplicas": 1}
    feed(caches, child("HorizontalPodAutoscaler", status=status))
    feed(caches, child("HorizontalPodAutoscaler", version=6, status=status | {"currentReplicas": 2}))
    (live,) = caches.observe(KEY).children.values()
    assert live["status"] == {"conditions": status["conditions"]}
    assert live["metadata"]["resourceVersion"] == "6"


def test_managed_fields_are_dropped(caches, deployment_document):
    document = child()
    document["metadata"]["managedFields"] = [{}]
    feed(caches, document)
    own = deployment_document()
    own["metadata"] |= {"managedFields": [{}], "resourceVersion": "7"}
    caches.store(own)
    assert "managedFields" not in caches.observe(KEY).children[("v1", "Service", "phone")]["metadata"]
    assert "managedFields" not in caches.deployments[KEY]["metadata"]
    assert "managedFields" in own["metadata"], "the caller's document stays as it is"


def test_pods_by_label(caches, enqueued):
    feed(caches, pod())
    feed(caches, pod("other-5d-y", "other", controller="other-5d"))
    assert [item.name for item in caches.observe(KEY).pods] == ["phone-5d-x"]
    assert enqueued == [KEY, ("team-a", "other")]
    remove(caches, "Pod", "phone-5d-x")
    assert caches.observe(KEY).pods == ()


@pytest.mark.parametrize(
    "foreign",
    [
        pod(controller=None),
        pod(controller="other-5d"),
        pod(deployment="", controller="phone-5d"),
    ],
)
def test_pods_that_only_look_like_ours_do_not_count(caches, foreign):
    feed(caches, foreign)
    assert caches.observe(KEY).pods == ()


def test_pod_without_labels_or_owner(caches):
    document = pod()
    del document["metadata"]["labels"], document["metadata"]["ownerReferences"]
    feed(caches, document)
    assert caches.observe(KEY).pods == ()


def test_a_pod_that_changes_hands_leaves_no_ghost(caches, enqueued):
    feed(caches, pod("p-1", controller="phone-5d"))
    feed(caches, pod("p-1", "phone-5d", version=6, controller="phone-5d-x"))
    assert caches.observe(KEY).pods == ()
    assert set(enqueued) == {KEY, ("team-a", "phone-5d")}


def test_nothing_is_left_of_deployments_that_are_gone(caches):
    feed(caches, child())
    feed(caches, pod())
    caches.forget(KEY)
    assert caches.observe(KEY) is None
    remove(caches, "Service", "phone")
    remove(caches, "Pod", "phone-5d-x")
    remove(caches, "Pod", "never-seen")
    assert not caches._children
    assert not caches._pods
    assert all(not item._versions for item in caches.reflectors)


def test_children_are_still_known_if_the_deployment_was_forgotten_by_mistake(caches, deployment_document):
    feed(caches, child())
    caches.forget(KEY)
    caches.store(deployment_document())
    assert len(caches.observe(KEY).children) == 1


@pytest.mark.parametrize(("version", "news"), [("1", False), ("0", False), ("2", True)])
def test_only_newer_deployments_are_news(caches, deployment_document, version, news):
    document = deployment_document()
    document["metadata"]["resourceVersion"] = version
    assert caches.store(document) is news


def test_unknown_deployment(caches):
    assert caches.observe(("team-a", "nobody")) is None

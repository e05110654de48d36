"""Apply writes what differs and nothing else, and touches nothing of others."""

import pytest
from aiohttp import web

from autoglm_operator.apply.sync import Synchroniser, controlled_by
from autoglm_operator.decide.plan import make_plan
from autoglm_operator.errors import Gone, Waiting
from autoglm_operator.kube import resources
from autoglm_operator.kube.errors import ApiError
from autoglm_operator.kube.lease import LeadershipLost
from autoglm_operator.observe.world import Deployment, Observed, child_ref
from autoglm_operator.render.bundle import bundle
from autoglm_operator.settings import Images


def path_of(obj):
    return resources.path(obj["apiVersion"], obj["kind"], "team-a", obj["metadata"]["name"])


@pytest.fixture
def owner(api, deployment_document):
    document = deployment_document(autoscaling={"maxReplicas": 3})
    api.objects[path_of(document)] = document
    return document


@pytest.fixture
def desired(owner):
    def make(**spec):
        deployment = Deployment.parse(owner | {"spec": owner["spec"] | spec})
        plan = make_plan(Observed(deployment, {}, (), frozenset(), 0.0), Images())
        return bundle(deployment, plan, Images())

    return make


@pytest.fixture
def sync(client, owner, api):
    """Synchronise as the reconciler does: what is live is what the API has."""
    synchroniser = Synchroniser(client, lambda: None)

    async def run(children, keep=()):
        live = {
            child_ref(child): child
            for child in api.objects.values()
            if child["kind"] != "AutoGLMDeployment" and controlled_by(child, owner["metadata"]["uid"])
        }
        return await synchroniser.sync(owner, children, live, keep)

    run.synchroniser = synchroniser
    return run


async def test_everything_is_applied_once_in_order(sync, desired, api):
    applied = await sync(desired())
    assert [child["kind"] for child in applied.written] == [
        "ServiceAccount",
        "NetworkPolicy",
        "Service",
        "PodDisruptionBudget",
        "Deployment",
        "HorizontalPodAutoscaler",
    ]
    assert len(api.writes()) == 6
    assert await sync(desired()) == type(applied)()
    assert len(api.writes()) == 6


async def test_only_what_changed_is_applied(sync, desired):
    await sync(desired())
    assert [child["kind"] for child in (await sync(desired(replicas=3))).written] == ["Deployment"]


async def test_drift_is_repaired(sync, desired, api):
    await sync(desired())
    (service,) = [child for child in api.objects.values() if child["kind"] == "Service"]
    service["spec"]["selector"] = {"app": "mine"}
    assert [child["kind"] for child in (await sync(desired())).written] == ["Service"]


async def test_fields_of_others_are_left_alone(sync, desired, api):
    await sync(desired())
    (service,) = [child for child in api.objects.values() if child["kind"] == "Service"]
    service["spec"]["clusterIP"] = "10.0.0.1"
    service["metadata"]["annotations"]["mesh"] = "on"
    assert (await sync(desired())).written == ()


async def test_what_the_server_writes_in_another_form_is_accepted_as_it_is_and_not_otherwise(sync, desired, api):
    def normalised(cpu):
        child = next(child for child in desired(resources={"cpu": "1000m"}) if child["kind"] == "Deployment")
        child["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]["cpu"] = cpu
        return api.put(path_of(child), child)

    wanted = desired(resources={"cpu": "1000m"})
    deployment = next(child for child in wanted if child["kind"] == "Deployment")
    api.answer(f"PATCH {path_of(deployment)}", lambda: web.json_response(normalised("1")))
    assert len((await sync(wanted)).written) == 6
    assert (await sync(wanted)).written == ()
    # The same field, but now with a value that nobody of ours wrote.
    normalised("4")
    assert [child["kind"] for child in (await sync(wanted)).written] == ["Deployment"]


async def test_what_is_to_be_kept_stays_as_it_is(sync, desired, api):
    await sync(desired())
    without = [child for child in desired(replicas=7) if child["kind"] != "Deployment"]
    applied = await sync(without, keep={("apps/v1", "Deployment", "phone")})
    assert (applied.written, applied.deleted) == ((), ())
    (kept,) = [child for child in api.objects.values() if child["kind"] == "Deployment"]
    assert kept["spec"]["replicas"] == 1


async def test_what_is_no_longer_wanted_is_deleted(sync, desired, api):
    await sync(desired())
    applied = await sync(desired(autoscaling=None))
    assert [kind for _, kind, _ in applied.deleted] == ["HorizontalPodAutoscaler"]
    assert applied.written == ()
    assert not any(child["kind"] == "HorizontalPodAutoscaler" for child in api.objects.values())


async def test_what_is_being_deleted_is_not_deleted_again(sync, desired, api):
    await sync(desired())
    (hpa,) = [child for child in api.objects.values() if child["kind"] == "HorizontalPodAutoscaler"]
    hpa["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert (await sync(desired(autoscaling=None))).deleted == ()


async def test_a_foreign_object_of_the_same_name_stops_everything(sync, desired, api):
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "phone", "namespace": "team-a"}}
    api.put(path_of(service), service)
    with pytest.raises(Waiting, match="Service team-a/phone exists and does not belong") as caught:
        await sync(desired())
    assert caught.value.reason == "NameTaken"
    assert caught.value.after > 0, "it may be removed any time"
    assert api.writes() == []


async def test_children_of_a_predecessor_are_foreign(sync, desired, api, owner):
    await sync(desired())
    owner["metadata"]["uid"] = "uid-of-the-next"
    for child in api.objects.values():
        for reference in child["metadata"].get("ownerReferences", ()):
            reference["uid"] = "uid-of-the-one-before"
    with pytest.raises(Waiting, match="does not belong"):
        await sync(desired())


@pytest.mark.parametrize("change", ["removed", "replaced"])
async def test_nothing_is_made_for_an_owner_that_is_gone(sync, desired, api, owner, change):
    children = desired()
    if change == "removed":
        del api.objects[path_of(owner)]
    else:
        api.objects[path_of(owner)] = {**owner, "metadata": {**owner["metadata"], "uid": "next"}}
    with pytest.raises(Gone, match="team-a/phone"):
        await sync(children)
    assert api.writes() == []


@pytest.mark.parametrize("code", [400, 403, 404, 422])
async def test_a_refused_child_does_not_keep_the_others_away(sync, desired, api, error_status, code):
    path = "PATCH /apis/policy/v1/namespaces/team-a/poddisruptionbudgets/phone"
    api.answer(path, lambda: error_status(code, "x", "exceeded quota: budgets"))
    applied = await sync(desired())
    assert len(applied.written) == 5
    assert applied.rejected == ("the API server refuses PodDisruptionBudget phone: exceeded quota: budgets",)
    again = await sync(desired())
    assert [child["kind"] for child in again.written] == ["PodDisruptionBudget"]
    assert again.rejected == ()


async def test_a_failing_server_is_an_error(sync, desired, api, error_status):
    api.answer("PATCH /api/v1/namespaces/team-a/services/phone", lambda: error_status(500, "x", "etcd"))
    with pytest.raises(ApiError, match="etcd"):
        await sync(desired())


async def test_an_update_names_the_object_it_is_for(sync, desired, client, monkeypatch):
    seen = []
    apply = client.apply

    async def record(obj, manager, *, force):
        seen.append((obj["metadata"].get("uid"), manager, force))
        return await apply(obj, manager, force=force)

    monkeypatch.setattr(client, "apply", record)
    await sync(desired())
    assert set(seen) == {(None, "autoglm-operator", False)}
    seen.clear()
    await sync(desired(replicas=2))
    ((uid, _, force),) = seen
    assert uid
    assert force


async def test_who_no_longer_leads_writes_nothing(client, owner, desired, api):
    def may_not():
        raise LeadershipLost("x")

    with pytest.raises(LeadershipLost):
        await Synchroniser(client, may_not).sync(owner, desired(), {})
    assert api.writes() == []


async def test_forget(sync, desired):
    await sync(desired())
    assert sync.synchroniser._accepted
    sync.synchroniser.forget("team-a", "other")
    assert sync.synchroniser._accepted
    sync.synchroniser.forget("team-a", "phone")
    assert not sync.synchroniser._accepted


async def test_a_child_that_left_our_sight_is_taken_back(desired, client, owner, api, monkeypatch):
    """Whoever takes our label off a child hides it from the cache; it is still ours, and theirs to lose the field."""
    synchroniser = Synchroniser(client, lambda: None)
    await synchroniser.sync(owner, desired(), {})
    forced = []
    apply = client.apply

    async def record(obj, manager, *, force):
        forced.append((bool(obj["metadata"].get("uid")), force))
        return await apply(obj, manager, force=force)

    monkeypatch.setattr(client, "apply", record)
    await synchroniser.sync(owner, desired(), {})
    assert set(forced) == {(True, True)}

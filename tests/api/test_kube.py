"""The operator's own client on a real API server: preconditions, Leases, streams."""

import asyncio

import pytest

from autoglm_operator.kube.client import Client
from autoglm_operator.kube.connection import Connection
from autoglm_operator.kube.errors import ApiError
from autoglm_operator.kube.lease import LeaderElector
from autoglm_operator.kube.reflector import Reflector

pytestmark = pytest.mark.api


@pytest.fixture
async def client(control_plane, cluster):
    async with Client(Connection.from_kubeconfig(control_plane.kubeconfig)) as opened:
        yield opened


def account(namespace, **meta):
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "a", "namespace": namespace, **meta}}


async def test_apply_by_uid_touches_that_object_alone(client, namespace):
    with pytest.raises(ApiError) as caught:
        await client.apply(account(namespace, uid="11111111-1111-1111-1111-111111111111"), "m")
    assert caught.value.is_conflict, "gone is no reason to make another"
    made = await client.apply(account(namespace), "m")
    with pytest.raises(ApiError) as caught:
        await client.apply(account(namespace, uid="11111111-1111-1111-1111-111111111111"), "m")
    assert caught.value.reason == "Invalid"
    same = await client.apply(account(namespace, uid=made["metadata"]["uid"], labels={"a": "b"}), "m")
    assert same["metadata"]["labels"] == {"a": "b"}


async def test_apply_without_force_respects_others(client, namespace):
    await client.apply(account(namespace, labels={"a": "theirs"}), "them")
    with pytest.raises(ApiError) as caught:
        await client.apply(account(namespace, labels={"a": "ours"}), "us", force=False)
    assert caught.value.is_conflict
    assert "them" in caught.value.message
    taken = await client.apply(account(namespace, labels={"a": "ours"}), "us")
    assert taken["metadata"]["labels"] == {"a": "ours"}


async def test_delete_by_uid_and_version(client, namespace):
    made = await client.apply(account(namespace), "m")
    for wrong in ({"uid": "11111111-1111-1111-1111-111111111111"}, {"resourceVersion": "1"}):
        with pytest.raises(ApiError) as caught:
            await client.delete({**made, "metadata": made["metadata"] | wrong})
        assert caught.value.is_conflict
    await client.delete(made)
    await client.delete(made)


async def test_lease_is_taken_renewed_and_released(client, namespace):
    one = LeaderElector(client, namespace, "lease", "one")
    two = LeaderElector(client, namespace, "lease", "two")
    await asyncio.gather(one._try_once(), two._try_once())
    assert [one.is_leader, two.is_leader].count(True) == 1
    leader, other = (one, two) if one.is_leader else (two, one)
    await leader._try_once()
    await other._try_once()
    assert not other.is_leader
    await leader._release()
    await other._try_once()
    assert other.is_leader
    lease = await client.get("coordination.k8s.io/v1", "Lease", namespace, "lease")
    assert lease["spec"]["leaseTransitions"] == 1


async def test_reflector_follows(client, namespace, cluster):
    seen = []
    reflector = Reflector(
        client,
        "v1",
        "ServiceAccount",
        [namespace],
        label_selector="ours=yes",
        on_change=lambda _, old, new: seen.append((old is not None, new is not None)),
    )
    task = asyncio.create_task(reflector.run())
    await asyncio.wait_for(reflector.wait_synced(), 10)
    made = await client.apply(account(namespace, labels={"ours": "yes"}), "m")
    reflector.store(made)
    await client.apply(account(namespace, labels={"ours": "yes", "x": "1"}), "m")
    await client.apply(account(namespace, labels={"ours": "no"}), "m")
    async with asyncio.timeout(5):
        while len(seen) < 3:
            await asyncio.sleep(0.02)
    assert seen == [(False, True), (True, True), (True, False)]
    assert reflector.items == {}
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_serves(client):
    assert await client.serves("autoscaling/v2", "HorizontalPodAutoscaler")
    assert not await client.serves("nobody.example/v1", "Nothing")

"""What the autoscaler remembers, and what quotas leave, on a real API server and with the rights of the chart."""

import asyncio
import contextlib
import json
import time

import pytest
import yaml

from autoglm_operator.api import names
from autoglm_operator.autoscaler.memory import Memory
from autoglm_operator.autoscaler.pods import Target
from autoglm_operator.autoscaler.quota import SETTLE_SECONDS, Quotas
from autoglm_operator.decide.scaling.bounds import Bounds, Limit, bounds_of
from autoglm_operator.decide.scaling.history import MOST
from autoglm_operator.decide.scaling.needs import ScalingReason, Signals
from autoglm_operator.decide.scaling.quota import Footprint
from autoglm_operator.decide.scaling.rule import Decision
from autoglm_operator.kube.client import Client
from autoglm_operator.kube.connection import Connection

pytestmark = pytest.mark.api

#: Of the chart's, what this takes.
RULES = [
    {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "create", "patch"]},
    {"apiGroups": [""], "resources": ["resourcequotas"], "verbs": ["get", "list", "watch"]},
]
RBAC = "/apis/rbac.authorization.k8s.io/v1"
BOUNDS = Bounds(1, 9, "minReplicas is 1 and maxReplicas 9")
#: Larger than any that the law has: all bins of its longest memory.
LEARNED = {"level": 2.5, "bins": [12.345] * 1300}


class Judge:
    """Learns what it is told."""

    def __init__(self, learned=None):
        self.learned = learned

    def dump(self, _):
        return self.learned

    def restore(self, _, stored):
        self.learned = stored


@pytest.fixture
async def client(cluster, namespace, tmp_path):
    """Open a client with a ServiceAccount that has those rights alone."""
    meta = {"name": "autoscaler"}
    here = f"{RBAC}/namespaces/{namespace}"
    accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    subject = {"kind": "ServiceAccount", "name": "autoscaler", "namespace": namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "autoscaler"}
    for path, body in (
        (accounts, {"metadata": meta}),
        (f"{here}/roles", {"metadata": meta, "rules": RULES}),
        (f"{here}/rolebindings", {"metadata": meta, "roleRef": role, "subjects": [subject]}),
    ):
        assert cluster.call("POST", path, body).is_success
    token = cluster.call("POST", f"{accounts}/autoscaler/token", {"spec": {}}).json()["status"]["token"]
    admin = yaml.safe_load(cluster.kubeconfig.read_text())["clusters"][0]["cluster"]
    kubeconfig = tmp_path / "kubeconfig"
    document = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": admin}],
        "users": [{"name": "u", "user": {"token": token}}],
    }
    kubeconfig.write_text(yaml.safe_dump(document))
    async with Client(Connection.from_kubeconfig(kubeconfig)) as opened:
        yield opened


@pytest.fixture
def target(cluster, namespace, manifest):
    """Return a deployment as the autoscaler keeps it."""
    return Target.keep(cluster.create(manifest("phone", namespace, autoscaling={"maxReplicas": 9})))


def decision(to):
    return Decision(to, ScalingReason.QUEUE, f"{to} replicas", candidates=(("QueueBacklog", float(to)),))


async def remember(client, target, numbers, judge=None):
    """Let one process decide these numbers, and end; return what it had learned."""
    judge = judge or Judge()
    memory = Memory(client, lambda: True, judge)
    task = asyncio.create_task(memory.run())
    # A turn of the loop, in which it sees that it leads.
    await asyncio.sleep(0.01)
    await memory.recall(target)
    for number in numbers:
        memory.note(target, decision(number), Signals(ready=1), BOUNDS)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    return judge.learned, memory


async def config_map(cluster, namespace):
    return await asyncio.to_thread(cluster.get, "v1", "ConfigMap", namespace, "phone-autoscaling")


async def test_written_owned_restored_and_collected(client, cluster, namespace, target):
    await remember(client, target, [2, 3], Judge(LEARNED))
    made = await config_map(cluster, namespace)
    (owner,) = made["metadata"]["ownerReferences"]
    assert (owner["uid"], owner["controller"]) == (target.uid, True)
    assert made["metadata"]["labels"][names.LABEL_DEPLOYMENT] == "phone"
    assert {item["manager"] for item in made["metadata"]["managedFields"]} == {names.AUTOSCALER_MANAGER}

    learned, _ = await remember(client, target, [3, 4])
    assert learned == LEARNED
    again = await config_map(cluster, namespace)
    assert again["metadata"]["uid"] == made["metadata"]["uid"]
    assert [record["to"] for record in json.loads(again["data"]["decisions.json"])] == [2, 3, 4]
    assert json.loads(again["data"]["law.json"]) == LEARNED

    deployment = cluster.get(names.API_VERSION, names.KIND, namespace, "phone")
    await asyncio.to_thread(cluster.delete, deployment)
    end = time.monotonic() + 60
    while await config_map(cluster, namespace) is not None:
        assert time.monotonic() < end, "not collected"
        await asyncio.sleep(0.2)


async def test_a_hundred_decisions_with_everything_fit(client, cluster, namespace, target):
    await remember(client, target, range(MOST + 20), Judge(LEARNED))
    data = (await config_map(cluster, namespace))["data"]
    assert len(json.loads(data["decisions.json"])) == MOST
    assert sum(map(len, data.values())) < 500_000


async def test_a_config_map_of_somebody_else_is_left_alone(client, cluster, namespace, target):
    foreign = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "phone-autoscaling", "namespace": namespace},
        "data": {"mine": "1"},
    }
    before = cluster.create(foreign)
    learned, memory = await remember(client, target, [2, 3], Judge(LEARNED))
    assert learned == LEARNED
    after = await config_map(cluster, namespace)
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    noted = memory.note(target, decision(3), Signals(ready=1), BOUNDS)
    assert [limit.reason for limit in noted.limits] == [Limit.MEMORY_NOT_KEPT]


async def test_a_deployment_that_went_meanwhile_leaves_nothing(client, cluster, namespace, target):
    await asyncio.to_thread(cluster.delete, cluster.get(names.API_VERSION, names.KIND, namespace, "phone"))
    await remember(client, target, [2])
    end = time.monotonic() + 60
    while await config_map(cluster, namespace) is not None:
        assert time.monotonic() < end, "an orphan"
        await asyncio.sleep(0.2)


async def test_a_quota_is_seen_and_what_it_leaves_follows_its_use(client, cluster, namespace, target):
    quotas = Quotas(client, [namespace])
    follow = asyncio.create_task(quotas.reflector.run())
    try:
        await quotas.reflector.wait_synced()
        key, now = (namespace, "phone"), 0.0
        assert quotas.room(key, Footprint(), 0, now) is None
        spec = {"hard": {"pods": "3", "requests.nvidia.com/gpu": "4"}}
        quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "team", "namespace": namespace}}
        cluster.create(quota | {"spec": spec})
        room = await _until(lambda: quotas.room(key, Footprint(gpus=2), 0, now))
        assert room.replicas == 2
        assert "(4 of 4 GPUs are left for them)" in room.sentence
        cluster.create(_pod(namespace, {"requests": {"nvidia.com/gpu": 1}, "limits": {"nvidia.com/gpu": 1}}))
        # What was there is believed for a while; then the least counts.
        await _until(lambda: quotas._quotas[namespace]["team"].used.get("pods") == 1)
        assert quotas.room(key, Footprint(gpus=2), 0, now).replicas == 2
        found = quotas.room(key, Footprint(gpus=2), 0, now + SETTLE_SECONDS + 1)
        assert found.replicas == 1
        bounds = bounds_of(target.autoscaling.model_copy(update={"min_replicas": 2}), 0.0, found)
        assert (bounds.least, bounds.most, bounds.limits[0].reason) == (1, 1, Limit.QUOTA_BELOW_MINIMUM)
        await asyncio.to_thread(cluster.call, "DELETE", f"/api/v1/namespaces/{namespace}/resourcequotas/team")
        await _until(lambda: quotas.room(key, Footprint(gpus=2), 0, now) is None)
    finally:
        follow.cancel()


def _pod(namespace, resources):
    container = {"name": "c", "image": "c", "resources": resources}
    meta = {"name": "other", "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [container]}}


async def _until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end
        await asyncio.sleep(0.05)
    return found

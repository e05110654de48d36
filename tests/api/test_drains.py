"""Replicas leave and come back on a real API server, by the controllers that run there and with the chart's rights.

The operator and the ReplicaSet controller are real, and so is the ServiceAccount whose rights are those of the chart's
autoscaler. There is no node: pods are made Ready by hand, and what their engines say is given.
"""

import asyncio
import re
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from autoglm_operator.api import names
from autoglm_operator.autoscaler.cluster import Cluster as Known
from autoglm_operator.autoscaler.drains import Drains
from autoglm_operator.autoscaler.engine_metrics import EngineSample
from autoglm_operator.autoscaler.pods import ANNOTATION_SINCE
from autoglm_operator.autoscaler.store import History
from autoglm_operator.decide.scaling.needs import ScalingReason
from autoglm_operator.decide.scaling.rule import Decision
from autoglm_operator.kube import resources
from autoglm_operator.kube.client import Client
from autoglm_operator.kube.connection import Connection
from autoglm_operator.kube.errors import ApiError

pytestmark = pytest.mark.api

RBAC_TEMPLATE = Path(__file__).parents[2] / "charts/autoglm-operator/templates/autoscaler/rbac.yaml"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
INTERVAL = 3.0
#: Of the stand-in clock: what takes seconds for an engine passes at once.
STEP = 4.0


def chart_rules():
    """Return the rights that the chart gives the autoscaler, read where they are written."""
    template = RBAC_TEMPLATE.read_text()
    found = re.search(r'{{- define "autoglm\.autoscalerRules" -}}\n(.*?){{- end -}}', template, re.DOTALL)
    return yaml.safe_load(found[1])


class Shift:
    """One autoscaler: what it knows is watched, what its engines say is given, and its time is ours."""

    def __init__(self, client, known, key, loads):
        self.known, self.key, self.loads = known, key, loads
        self.now = 1000.0
        self.histories = {}
        self.began = time.time()
        self.drains = Drains(client, lambda: True, interval=INTERVAL, clock=self.wall)

    def wall(self):
        return self.began + self.now - 1000.0

    def pods(self):
        return {pod.name: pod for pod in self.known.pods_of(self.key)}

    async def tick(self, wanted):
        self.now += STEP
        rows = []
        for pod in self.pods().values():
            history = self.histories.setdefault(pod.uid, History(ready_since=0.0))
            history.add(EngineSample(self.now, self.loads.get(pod.name, 0), 0.0, 0.1, None, None))
            rows.append((pod, history))
        decision = Decision(wanted, ScalingReason.SPARE, f"3 → {wanted} replicas")
        settled = await self.drains.settle(self.known.targets[self.key], rows, decision, self.now)
        # The watch is as fast as a tick is slow: nothing is decided on what is about to arrive.
        await asyncio.sleep(0.3)
        return settled


@dataclass(frozen=True)
class Fleet:
    """Three ready pods of one deployment, with the Service, the ReplicaSet and the labels that the operator made."""

    cluster: Any
    document: dict[str, Any]
    pods: tuple[str, ...]

    @property
    def key(self):
        return self.document["metadata"]["namespace"], self.document["metadata"]["name"]

    def order(self, replicas):
        self.cluster.patch(self.document, {"spec": {"replicas": replicas}})

    def served(self):
        """Return the names of the pods that the Service selects: without a node there are no endpoints to look at."""
        wanted = self.cluster.get("v1", "Service", *self.key)["spec"]["selector"].items()
        pods = [pod["metadata"] for pod in self.cluster.items("v1", "Pod", self.key[0])]
        return sorted(pod["name"] for pod in pods if "deletionTimestamp" not in pod and wanted <= pod["labels"].items())


@pytest.fixture(scope="module")
def kubeconfig(cluster, shared_operators, shared_namespace, tmp_path_factory):
    """Start the operator; return a kubeconfig with the rights of the chart's autoscaler."""
    shared_operators.start()
    here = {"name": "autoscaler", "namespace": shared_namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "autoscaler"}
    binding = {"metadata": here, "roleRef": role, "subjects": [{"kind": "ServiceAccount", **here}]}
    for path, body in (
        (f"/api/v1/namespaces/{shared_namespace}/serviceaccounts", {"metadata": here}),
        (f"{RBAC}/namespaces/{shared_namespace}/roles", {"metadata": here, "rules": chart_rules()}),
        (f"{RBAC}/namespaces/{shared_namespace}/rolebindings", binding),
    ):
        answer = cluster.call("POST", path, body)
        assert answer.is_success, answer.text
    path = f"/api/v1/namespaces/{shared_namespace}/serviceaccounts/autoscaler/token"
    token = cluster.call("POST", path, {"spec": {}}).json()["status"]["token"]
    server = yaml.safe_load(cluster.kubeconfig.read_text())["clusters"][0]["cluster"]
    document = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": server}],
        "users": [{"name": "u", "user": {"token": token}}],
    }
    file = tmp_path_factory.mktemp("autoscaler") / "kubeconfig"
    file.write_text(yaml.safe_dump(document))
    return file


@pytest.fixture
async def client(kubeconfig):
    async with Client(Connection.from_kubeconfig(kubeconfig)) as opened:
        yield opened


@pytest.fixture
def fleet(cluster, kubeconfig, shared_namespace, manifest, within):
    name = f"phone-{uuid.uuid4().hex[:6]}"
    autoscaling = {"maxReplicas": 4, "actuator": "Direct"}
    made = cluster.create(manifest(name, shared_namespace, autoscaling=autoscaling, replicas=3))

    def ours():
        pods = cluster.items("v1", "Pod", shared_namespace)
        return [pod for pod in pods if pod["metadata"]["labels"].get(names.LABEL_DEPLOYMENT) == name]

    pods = within(30, lambda: len(found := ours()) == 3 and found)
    for number, pod in enumerate(pods):
        address = f"10.99.0.{number + 1}"
        conditions = [{"type": "Ready", "status": "True"}]
        status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "conditions": conditions}
        cluster.patch({"apiVersion": "v1", "kind": "Pod", **pod}, {"status": status}, "status")
    yield Fleet(cluster, made, tuple(sorted(pod["metadata"]["name"] for pod in pods)))
    cluster.delete(made)


@pytest.fixture
async def shift(client, fleet):
    known = Known(client, (fleet.key[0],))
    tasks = [asyncio.create_task(reflector.run()) for reflector in known.reflectors]
    try:
        for reflector in known.reflectors:
            await reflector.wait_synced()
        async with asyncio.timeout(30):
            while known.targets[fleet.key].actuation is None or not all(pod.ready for pod in known.pods_of(fleet.key)):
                await asyncio.sleep(0.05)
        assert known.targets[fleet.key].actuation.path == "Direct"
        yield Shift(client, known, fleet.key, dict(zip(fleet.pods, (4, 0, 2), strict=True)))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(condition, seconds=10.0):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.05)


async def test_the_pods_that_are_removed_are_those_that_were_drained(shift, fleet):
    busy, idle, little = fleet.pods
    assert (await shift.tick(1)).to == 3
    await until(lambda: fleet.served() == [busy])
    for _ in range(4):
        settled = await shift.tick(1)
    assert settled.to == 2
    pods = shift.pods()
    assert (pods[idle].drained, pods[little].drained, pods[busy].serving) == (True, False, True)
    fleet.order(settled.to)
    await until(lambda: sorted(shift.pods()) == sorted([busy, little]))
    shift.loads[little] = 0
    for _ in range(4):
        settled = await shift.tick(1)
    assert settled.to == 1
    fleet.order(1)
    await until(lambda: list(shift.pods()) == [busy])
    assert (await shift.tick(1)).to == 1
    assert fleet.served() == [busy]


async def test_pods_come_back_in_one_tick_as_they_were(shift, fleet):
    for _ in range(5):
        await shift.tick(1)
    assert len(fleet.served()) == 1
    assert (await shift.tick(3)).to == 3
    assert fleet.served() == list(fleet.pods)
    for pod in fleet.pods:
        meta = fleet.cluster.get("v1", "Pod", fleet.key[0], pod)["metadata"]
        assert not meta["annotations"].keys() & {names.ANNOTATION_DELETION_COST, ANNOTATION_SINCE}
        assert meta["labels"][names.LABEL_SERVING] == names.SERVING


async def test_a_successor_goes_on_and_one_that_wants_all_gives_them_back(client, shift, fleet):
    await shift.tick(1)
    successor = Shift(client, shift.known, shift.key, shift.loads)
    successor.now = shift.now
    successor.began = shift.began
    for _ in range(4):
        settled = await successor.tick(1)
    assert settled.to == 2
    third = Shift(client, shift.known, shift.key, shift.loads)
    assert (await third.tick(3)).to == 3
    await until(lambda: fleet.served() == list(fleet.pods))


async def test_pods_are_given_back_when_the_autoscaler_is_only_to_advise(shift, fleet):
    await shift.tick(1)
    fleet.cluster.patch(fleet.document, {"spec": {"autoscaling": {"prediction": {"mode": "Advisory"}}}})
    await until(lambda: shift.known.targets[shift.key].actuation.path == "None")
    assert (await shift.tick(1)).to == 1
    assert fleet.served() == list(fleet.pods)


async def test_the_rights_do_not_reach_what_runs_in_a_pod(client, fleet):
    namespace, name = fleet.key[0], fleet.pods[0]
    image = {"spec": {"containers": [{"name": names.ENGINE_CONTAINER, "image": "evil"}]}}
    kind = "application/strategic-merge-patch+json"
    with pytest.raises(ApiError) as caught:
        await client.request("PATCH", resources.path("v1", "Pod", namespace, name), body=image, content_type=kind)
    assert caught.value.status == 403
    path = resources.path("v1", "Pod", namespace, name, "status")
    answer = await client.request("PATCH", path, body=image, content_type=kind)
    assert answer["spec"]["containers"][0]["image"] != "evil"


async def test_a_successor_of_the_same_name_is_left_alone(client, fleet):
    namespace, name = fleet.key[0], fleet.pods[0]
    path = resources.path("v1", "Pod", namespace, name, "status")
    body = {"metadata": {"uid": "11111111-1111-1111-1111-111111111111", "labels": {names.LABEL_SERVING: "draining"}}}
    with pytest.raises(ApiError) as caught:
        await client.request("PATCH", path, body=body, content_type="application/merge-patch+json")
    assert caught.value.status == 422, "the drain takes that for a pod that is gone"

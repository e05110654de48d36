"""GPUs through DRA: the real API server takes what is rendered, and the real scheduler places it.

The driver is a stand-in that only publishes: DeviceClasses and ResourceSlices as NVIDIA's driver does, for nodes that
have no kubelet. Nothing is started; where a pod is placed, and which devices it gets, is decided by Kubernetes.
"""

import uuid
from dataclasses import dataclass

import httpx
import pytest

from autoglm_operator.api import names
from autoglm_operator.api.v1alpha1 import Spec
from autoglm_operator.apply.diff import differences
from autoglm_operator.decide.allocated import Method
from autoglm_operator.decide.allocation import GPU_CLASS, MIG_CLASS, allocate
from autoglm_operator.decide.surge import surge
from autoglm_operator.observe.cluster import DRA_DRIVER, Cluster, Node, Slice, newest
from autoglm_operator.observe.pod import Pod
from autoglm_operator.observe.world import Deployment
from autoglm_operator.render.claims import container_claims, pod_claims, resource_claim_template

pytestmark = pytest.mark.api

H100, A100 = "NVIDIA H100 80GB HBM3", "NVIDIA A100-SXM4-40GB"
H100_LABEL, A100_LABEL = H100.replace(" ", "-"), A100.replace(" ", "-")
#: Keeps pods of other tests away from nodes that would never start them.
TAINT = {"key": "autoglm.io/stand-in", "value": "true", "effect": "NoSchedule"}


def device(name, product, memory, root, profile=""):
    attributes = {
        "type": {"string": "mig" if profile else "gpu"},
        "productName": {"string": product},
        "cudaComputeCapability": {"version": "9.0.0" if product == H100 else "8.0.0"},
        "resource.kubernetes.io/pcieRoot": {"string": f"pci0000:{root}"},
    }
    if profile:
        attributes["profile"] = {"string": profile}
    return {"name": name, "attributes": attributes, "capacity": {"memory": {"value": memory}}}


@dataclass
class Fleet:
    """Nodes with the devices of the stand-in driver, by what they have."""

    cluster: object
    run: str

    def node(self, what):
        return f"{what}-{self.run}"

    def publish(self, what, devices):
        name = self.node(what)
        capacity = {"cpu": "64", "memory": "256Gi", "pods": "110"}
        node = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
            "spec": {"taints": [TAINT]},
        }
        self._create("/api/v1/nodes", node)
        ready = [{"type": "Ready", "status": "True", "reason": "StandIn", "message": ""}]
        status = {"status": {"capacity": capacity, "allocatable": capacity, "conditions": ready}}
        path = f"/api/v1/nodes/{name}"
        self._ok(self.cluster.call("PATCH", f"{path}/status", status, content_type="application/merge-patch+json"))
        pool = {"name": name, "generation": 1, "resourceSliceCount": 1}
        spec = {"driver": DRA_DRIVER, "nodeName": name, "pool": pool, "devices": devices}
        body = {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": {"name": name}, "spec": spec}
        self._create("/apis/resource.k8s.io/v1/resourceslices", body)

    def install_classes(self):
        for name, kind in ((GPU_CLASS, "gpu"), (MIG_CLASS, "mig")):
            expression = f"device.driver == '{DRA_DRIVER}' && device.attributes['{DRA_DRIVER}'].type == '{kind}'"
            body = {
                "apiVersion": "resource.k8s.io/v1",
                "kind": "DeviceClass",
                "metadata": {"name": name},
                "spec": {"selectors": [{"cel": {"expression": expression}}]},
            }
            self._create("/apis/resource.k8s.io/v1/deviceclasses", body)

    def remove(self):
        for what in ("h100", "a100", "sliced"):
            self.cluster.call("DELETE", f"/api/v1/nodes/{self.node(what)}")
            self.cluster.call("DELETE", f"/apis/resource.k8s.io/v1/resourceslices/{self.node(what)}")
        for name in (GPU_CLASS, MIG_CLASS):
            self.cluster.call("DELETE", f"/apis/resource.k8s.io/v1/deviceclasses/{name}")

    def picture(self):
        """Return what the operator would see of the fleet."""

        def items(path):
            return self._ok(self.cluster.call("GET", path)).json()["items"]

        slices = [Slice.parse(item) for item in items("/apis/resource.k8s.io/v1/resourceslices")]
        classes = frozenset(item["metadata"]["name"] for item in items("/apis/resource.k8s.io/v1/deviceclasses"))
        nodes = tuple(Node.parse(item) for item in items("/api/v1/nodes") if self.run in item["metadata"]["name"])
        devices = newest(one for one in slices if one is not None)
        return Cluster(nodes, devices, classes, frozenset({"ResourceClaimTemplate"}))

    def _create(self, path, body):
        self._ok(self.cluster.call("POST", path, body))

    def _ok(self, answer):
        assert answer.is_success, answer.text
        return answer


@pytest.fixture(scope="module")
def fleet(cluster, within):
    made = Fleet(cluster, uuid.uuid4().hex[:6])
    made.install_classes()
    made.publish("h100", [device(f"gpu-{n}", H100, "81559Mi", "00" if n < 2 else "80") for n in range(4)])
    made.publish("a100", [device(f"gpu-{n}", A100, "40960Mi", "00") for n in range(2)])
    made.publish("sliced", [device(f"mig-{n}", H100, "40192Mi", "00", "3g.40gb") for n in range(2)])
    for what in ("h100", "a100", "sliced"):
        path = f"/api/v1/nodes/{made.node(what)}"
        # The node controller takes its own taint away once it has seen that the node is ready.
        within(30, lambda path=path: cluster.call("GET", path).json()["spec"]["taints"] == [TAINT])
    yield made
    made.remove()


@dataclass
class Placed:
    """A pod as the scheduler left it."""

    document: dict
    claim: dict | None

    @property
    def node(self):
        return self.document["spec"].get("nodeName")

    @property
    def devices(self):
        return [item["device"] for item in self.claim["status"]["allocation"]["devices"]["results"]]


@pytest.fixture
def place(cluster, namespace, manifest, fleet, within):
    """Create the claim template and a pod of two containers that share the claim; wait for the scheduler's word."""

    claims = f"/apis/resource.k8s.io/v1/namespaces/{namespace}/resourceclaims"

    def make(name="phone", numa=False, **gpu):
        count = gpu.get("count", 1)
        resources = {"gpu": gpu, "parallelism": {"tensor": count}, "numaAligned": numa}
        document = manifest(
            name,
            namespace,
            engine={"type": "vLLM"},
            resources=resources,
            scheduling={"tolerations": [{"key": TAINT["key"], "operator": "Exists"}]},
        )
        document["metadata"] |= {"uid": "00000000-0000-0000-0000-000000000000", "generation": 1}
        deployment = Deployment.parse(document)
        allocation = allocate(Spec.model_validate(document["spec"]), fleet.picture())
        assert allocation.method is Method.DYNAMIC_RESOURCE_ALLOCATION, allocation.message
        template = resource_claim_template(deployment, allocation)
        # The owner does not exist here, and the garbage collector would take the template for an orphan.
        del template["metadata"]["ownerReferences"]
        apply(cluster, template)
        pod = pod_with(name, namespace, deployment, allocation)
        path = cluster.create(pod)["metadata"]["name"]
        seen = within(30, lambda: decided(cluster.get("v1", "Pod", namespace, path)))
        statuses = seen["status"].get("resourceClaimStatuses") or []
        claim = cluster.call("GET", f"{claims}/{statuses[0]['resourceClaimName']}").json() if statuses else None
        return allocation, Placed(seen, claim)

    yield make
    # No kubelet would ever say that the pods have ended, and their devices would stay taken.
    cluster.call("DELETE", f"/api/v1/namespaces/{namespace}/pods", gracePeriodSeconds=0)
    within(30, lambda: not cluster.call("GET", claims).json()["items"])


def apply(cluster, template, **options):
    meta = template["metadata"]
    path = cluster.path(template["apiVersion"], template["kind"], meta["namespace"], meta["name"])
    options = {"fieldManager": names.OPERATOR_MANAGER, "fieldValidation": "Strict"} | options
    answer = cluster.call("PATCH", path, template, content_type="application/apply-patch+yaml", **options)
    assert answer.is_success, answer.text
    assert "Warning" not in answer.headers, answer.headers["Warning"]
    return answer.json()


def pod_with(name, namespace, deployment, allocation):
    containers = [
        {"name": part, "image": "nowhere/none", "resources": container_claims(allocation)}
        for part in (names.ENGINE_CONTAINER, names.AGENT_CONTAINER)
    ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "automountServiceAccountToken": False,
            "tolerations": [{"key": TAINT["key"], "operator": "Exists"}],
            "containers": [{**containers[0]}],
            "initContainers": [{**containers[1], "restartPolicy": "Always"}],
            **pod_claims(deployment, allocation),
        },
    }


def decided(pod):
    """Return the pod once the scheduler has placed it or given up."""
    conditions = {item["type"]: item for item in pod["status"].get("conditions") or []}
    scheduled = conditions.get("PodScheduled", {})
    waits = scheduled.get("reason") == "Unschedulable" and "waiting for" not in scheduled["message"]
    return pod if pod["spec"].get("nodeName") or waits else None


def test_the_template_is_taken_as_it_is_and_never_drifts(cluster, namespace, manifest, fleet):
    document = manifest("phone", namespace, engine={"type": "vLLM"}, resources={"gpu": {"count": 1}})
    gpu = {"product": H100_LABEL, "count": 2, "memory": "40Gi"}
    document["spec"]["resources"] = {"gpu": gpu, "parallelism": {"tensor": 2}, "numaAligned": True}
    document["metadata"] |= {"uid": "00000000-0000-0000-0000-000000000000", "generation": 1}
    allocation = allocate(Spec.model_validate(document["spec"]), fleet.picture())
    template = resource_claim_template(Deployment.parse(document), allocation)
    del template["metadata"]["ownerReferences"]
    taken = apply(cluster, template)
    assert list(differences(template, taken)) == []
    assert apply(cluster, template)["metadata"]["resourceVersion"] == taken["metadata"]["resourceVersion"]


def test_a_pod_is_placed_on_the_node_whose_devices_match(place, fleet):
    allocation, placed = place(product=H100_LABEL, count=2, memory="60Gi")
    assert allocation.status == "True"
    assert placed.node == fleet.node("h100")
    assert len(placed.devices) == 2
    by_name = placed.document["spec"]
    claims = [part["resources"]["claims"] for part in (*by_name["initContainers"], *by_name["containers"])]
    assert claims == [[{"name": "gpu"}]] * 2, "engine and agent see the same GPUs"


def test_another_product_is_another_node(place, fleet):
    _, placed = place(product=A100_LABEL)
    assert placed.node == fleet.node("a100")


def test_memory_alone_chooses_too(place, fleet):
    _, placed = place(memory="60Gi")
    assert placed.node == fleet.node("h100")


def test_a_mig_slice(place, fleet):
    _, placed = place(migProfile="3g.40gb", product=H100_LABEL)
    assert placed.node == fleet.node("sliced")
    assert placed.devices[0].startswith("mig-")


def test_aligned_gpus_are_under_one_root(place):
    _, placed = place(product=H100_LABEL, count=2, numa=True)
    assert set(placed.devices) in ({"gpu-0", "gpu-1"}, {"gpu-2", "gpu-3"})


def test_more_aligned_gpus_than_one_root_has_are_not_placed(place):
    _, placed = place(product=H100_LABEL, count=4, numa=True)
    assert placed.node is None


def test_too_much_memory_is_said_before_and_not_placed(place):
    allocation, placed = place(product=A100_LABEL, memory="60Gi", allocation="DynamicResourceAllocation")
    assert allocation.status == "False"
    assert f"{A100_LABEL} has 40.0 GiB here" in allocation.message
    assert placed.node is None


def test_a_pod_that_finds_no_free_device_makes_a_rollout_give_way(place):
    place(name="old", product=A100_LABEL, count=2)
    _, placed = place(name="new", product=A100_LABEL, count=2)
    assert placed.node is None
    waiting = Pod.parse(placed.document | {"metadata": {**placed.document["metadata"], "annotations": {}}})
    serving = Pod("old", "before", ready=True, terminating=False)
    found = surge([serving, waiting], waiting.template, 2)
    assert (found.max_surge, found.max_unavailable) == (0, 1), waiting.unschedulable


@pytest.mark.usefixtures("fleet")
def test_a_selector_that_is_no_cel_would_be_refused(cluster, namespace):
    body = {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaimTemplate",
        "metadata": {"name": "bad", "namespace": namespace},
        "spec": {"spec": {"devices": {"requests": [{"name": "gpu"}]}}},
    }
    exactly = {"deviceClassName": GPU_CLASS, "selectors": [{"cel": {"expression": "device.nothing =="}}]}
    body["spec"]["spec"]["devices"]["requests"][0]["exactly"] = exactly
    answer = cluster.call("POST", f"/apis/resource.k8s.io/v1/namespaces/{namespace}/resourceclaimtemplates", body)
    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY

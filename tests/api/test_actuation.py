"""Who writes the replicas, on a real API server: the operator as a process, and the autoscaler's own writes."""

import asyncio
import fcntl
from pathlib import Path

import pytest
import yaml

from autoglm_operator.api import names
from autoglm_operator.apply.diff import differences
from autoglm_operator.autoscaler.actuator import Actuator
from autoglm_operator.autoscaler.metrics import Metrics
from autoglm_operator.autoscaler.pods import Target
from autoglm_operator.decide.scaling.needs import ScalingReason
from autoglm_operator.decide.scaling.rule import Decision
from autoglm_operator.kube.client import Client
from autoglm_operator.kube.connection import Connection
from autoglm_operator.kube.errors import ApiError
from autoglm_operator.observe.world import Deployment
from autoglm_operator.render.keda import scaled_object

pytestmark = pytest.mark.api

AUTOSCALING = {"minReplicas": 1, "maxReplicas": 6, "scaleDownHold": "1m"}
HPA = ("autoscaling/v2", "HorizontalPodAutoscaler")
RBAC = "/apis/rbac.authorization.k8s.io/v1"
API_SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
OBJECT = "v1beta2.custom.metrics.k8s.io"
KEDA_CRD = Path(__file__).parents[1] / "third_party" / "scaledobjects.v2.21.0.crd.yaml"


@pytest.fixture
def seen(cluster):
    """Return path, status and reason of ScalingActive, and whether there is an HPA of ours."""

    def look(namespace, name):
        found = cluster.get(names.API_VERSION, names.KIND, namespace, name)
        status = found.get("status", {})
        conditions = {item["type"]: item for item in status.get("conditions", [])}
        active = conditions.get("ScalingActive", {})
        path = status.get("actuation", {}).get("path")
        return path, active.get("reason"), cluster.get(*HPA, namespace, name) is not None

    return look


def foreign(namespace, target_kind, name):
    version = names.API_VERSION if target_kind == names.KIND else "apps/v1"
    target = {"apiVersion": version, "kind": target_kind, "name": name}
    cpu = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}
    return {
        "apiVersion": HPA[0],
        "kind": HPA[1],
        "metadata": {"name": f"mine-{name}", "namespace": namespace},
        "spec": {"scaleTargetRef": target, "maxReplicas": 3, "metrics": [{"type": "Resource", "resource": cpu}]},
    }


@pytest.mark.parametrize("target", [names.KIND, "Deployment"])
def test_an_hpa_of_others_is_respected_and_ours_goes_and_comes_back(cluster, here, manifest, seen, within, target):
    name = f"foreign-{target.lower()[:7]}"
    cluster.create(manifest(name, here, autoscaling=AUTOSCALING))
    within(15, lambda: seen(here, name)[0] == "HPA" and seen(here, name)[2], lambda: seen(here, name))
    theirs = cluster.create(foreign(here, target, name))
    gone = ("Foreign", "ForeignAutoscaler", False)
    within(15, lambda: seen(here, name) == gone, lambda: seen(here, name))
    kept = cluster.get(*HPA, here, f"mine-{name}")
    assert kept["metadata"]["uid"] == theirs["metadata"]["uid"]
    assert kept["spec"] == theirs["spec"]
    cluster.delete({"apiVersion": HPA[0], "kind": HPA[1], **theirs})
    within(15, lambda: seen(here, name)[0] == "HPA" and seen(here, name)[2], lambda: seen(here, name))


def test_an_hpa_of_others_that_bears_the_name_of_ours_is_no_obstacle(cluster, here, manifest, seen, within):
    theirs = foreign(here, names.KIND, "same")
    theirs["metadata"]["name"] = "same"
    made = cluster.create(theirs)
    cluster.create(manifest("same", here, autoscaling=AUTOSCALING))
    within(15, lambda: seen(here, "same")[:2] == ("Foreign", "ForeignAutoscaler"), lambda: seen(here, "same"))
    assert cluster.get(*HPA, here, "same")["metadata"]["uid"] == made["metadata"]["uid"]
    within(15, lambda: cluster.get("apps/v1", "Deployment", here, "same"))


def test_advice_takes_our_hpa_away_and_leaves_the_replicas(cluster, here, manifest, seen, within):
    made = cluster.create(manifest("advice", here, replicas=2, autoscaling=AUTOSCALING))
    within(15, lambda: seen(here, "advice")[2])
    cluster.patch(made, {"spec": {"autoscaling": {"prediction": {"mode": "Advisory"}}}})
    rests = ("None", "AdvisoryMode", False)
    within(15, lambda: seen(here, "advice") == rests, lambda: seen(here, "advice"))
    assert cluster.get(names.API_VERSION, names.KIND, here, "advice")["spec"]["replicas"] == 2


@pytest.fixture
def may_read_api_services(cluster, namespace, operators):
    """Give the operator what the chart gives it in a release for the whole cluster."""
    rules = [{"apiGroups": ["apiregistration.k8s.io"], "resources": ["apiservices"], "verbs": ["list", "watch"]}]
    subject = {"kind": "ServiceAccount", "name": "operator", "namespace": namespace}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": namespace}
    role = {"metadata": {"name": namespace}, "rules": rules}
    binding = {"metadata": {"name": namespace}, "roleRef": reference, "subjects": [subject]}
    assert cluster.call("POST", f"{RBAC}/clusterroles", role).is_success
    assert cluster.call("POST", f"{RBAC}/clusterrolebindings", binding).is_success
    yield
    for kind in ("clusterrolebindings", "clusterroles"):
        cluster.call("DELETE", f"{RBAC}/{kind}/{namespace}")


@pytest.fixture
def custom_metrics(cluster, control_plane):
    """Return what registers a Service for custom metrics; a cluster has room for one, so other workers wait."""

    def register(service):
        namespace, _, name = service.partition("/")
        spec = {
            "group": "custom.metrics.k8s.io",
            "version": "v1beta2",
            "groupPriorityMinimum": 100,
            "versionPriority": 200,
            "insecureSkipTLSVerify": True,
            "service": {"namespace": namespace, "name": name, "port": 443},
        }
        cluster.call("DELETE", f"{API_SERVICES}/{OBJECT}")
        answer = cluster.call("POST", API_SERVICES, {"metadata": {"name": OBJECT}, "spec": spec})
        assert answer.is_success, answer.text

    with control_plane.kubeconfig.open() as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        yield register
        cluster.call("DELETE", f"{API_SERVICES}/{OBJECT}")


def test_the_autoscaler_writes_while_custom_metrics_are_served_by_nobody_or_others(
    cluster, operators, namespace, manifest, seen, within, may_read_api_services, custom_metrics
):
    ours = f"{namespace}/autoscaler"
    operators.start(METRICS_API_SERVICE=ours)
    cluster.create(manifest("phone", namespace, autoscaling=AUTOSCALING))

    def look():
        return seen(namespace, "phone")

    def message():
        return cluster.get(names.API_VERSION, names.KIND, namespace, "phone")["status"]["actuation"]["message"]

    within(20, lambda: look()[0] == "Direct", look)
    assert "APIService v1beta2.custom.metrics.k8s.io is absent" in message()
    assert look()[2] is False
    custom_metrics("monitoring/prometheus-adapter")
    within(20, lambda: "belongs to Service monitoring/prometheus-adapter" in message(), message)
    assert look()[::2] == ("Direct", False)
    custom_metrics(ours)
    within(20, lambda: look()[::2] == ("HPA", True), look)


@pytest.fixture
def client(control_plane):
    return Client(Connection.from_kubeconfig(control_plane.kubeconfig))


@pytest.fixture
def make(cluster, namespace, manifest):
    """Create an AutoGLMDeployment, with the path that the operator would tell."""

    def create(path, replicas=2, name="phone"):
        made = cluster.create(manifest(name, namespace, replicas=replicas, autoscaling=AUTOSCALING))
        cluster.patch(made, {"status": {"actuation": {"path": path, "message": "as the test says"}}}, "status")
        return made

    return create


@pytest.fixture
def read(cluster, namespace):
    def look(name="phone"):
        return Target.keep(cluster.get(names.API_VERSION, names.KIND, namespace, name))

    return look


def decided(to):
    return Decision(to, ScalingReason.QUEUE, f"{to} replicas")


async def act(client, target, to):
    """Let an autoscaler that has just started act on a decision."""
    await Actuator(client, lambda: True, Metrics()).act(target, decided(to))


async def test_a_step_is_written_as_the_autoscaler_and_never_above_the_most(client, cluster, make, read, namespace):
    make("HPA")
    async with client:
        await act(client, read(), 4)
        assert read().replicas == 4
        await act(client, read(), 99)
        assert read().replicas == 6
        await act(client, read(), 1)
        assert read().replicas == 6, "down is the HPA's"
    found = cluster.get(names.API_VERSION, names.KIND, namespace, "phone")
    (entry,) = [item for item in found["metadata"]["managedFields"] if item.get("subresource") == "scale"]
    assert entry["manager"] == names.AUTOSCALER_MANAGER


@pytest.mark.parametrize("path", ["KEDA", "Foreign", "None"])
async def test_what_others_write_is_left_alone(client, make, read, path):
    make(path)
    async with client:
        await act(client, read(), 5)
    assert read().replicas == 2


async def test_directly_in_both_directions(client, make, read):
    make("Direct")
    async with client:
        await act(client, read(), 5)
        assert read().replicas == 5
        await act(client, read(), 3)
        assert read().replicas == 3
        await act(client, read(), 0)
        assert read().replicas == 1, "never below the least"


async def test_two_writers_cannot_undo_each_other(client, cluster, make, read):
    made = make("Direct", replicas=3)
    stale = read()
    cluster.patch(made, {"spec": {"replicas": 5}}, "scale")
    async with client:
        await act(client, stale, 4)
        assert read().replicas == 5
        document = {**made, "apiVersion": names.API_VERSION, "kind": names.KIND}
        with pytest.raises(ApiError) as refused:
            await client.scale(document, names.AUTOSCALER_MANAGER, before=3, to=4)
        assert refused.value.status == 422
        # Twenty at once, who all read 5: one is first, and the others learn it.
        results = await asyncio.gather(
            *(client.scale(document, names.AUTOSCALER_MANAGER, before=5, to=10 + number) for number in range(20)),
            return_exceptions=True,
        )
    assert sum(result is None for result in results) == 1
    assert {result.status for result in results if result is not None} == {422}
    assert read().replicas == 10 + results.index(None)


async def test_a_successor_of_the_same_name_is_not_written(client, cluster, make, read, within, namespace):
    made = make("HPA")
    stale = read()
    cluster.delete({**made, "apiVersion": names.API_VERSION, "kind": names.KIND})
    within(10, lambda: cluster.get(names.API_VERSION, names.KIND, namespace, "phone") is None)
    make("HPA")
    async with client:
        await act(client, stale, 5)
    assert read().replicas == 2


@pytest.fixture
def keda(cluster, within):
    crd = yaml.safe_load(KEDA_CRD.read_text())
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{crd['metadata']['name']}"
    options = {"content_type": "application/apply-patch+yaml", "fieldManager": "tests", "force": "true"}
    answer = cluster.call("PATCH", path, crd, **options)
    assert answer.is_success, answer.text
    within(30, lambda: cluster.call("GET", "/apis/keda.sh/v1alpha1/scaledobjects").is_success)
    yield
    cluster.call("DELETE", path)


def test_keda_s_schema_takes_the_scaled_object_as_it_is(cluster, namespace, manifest, keda):
    document = manifest("phone", namespace, autoscaling=AUTOSCALING)
    document["metadata"] |= {"uid": "00000000-0000-0000-0000-000000000000"}
    deployment = Deployment.parse(document)
    child = scaled_object(deployment, deployment.spec.autoscaling, "http://prometheus:9090")
    path = cluster.path(child["apiVersion"], child["kind"], namespace, "phone")
    options = {"fieldManager": names.OPERATOR_MANAGER, "fieldValidation": "Strict", "dryRun": "All"}
    answer = cluster.call("PATCH", path, child, content_type="application/apply-patch+yaml", **options)
    assert answer.is_success, answer.text
    assert "Warning" not in answer.headers, answer.headers["Warning"]
    assert list(differences(child, answer.json())) == []
    child["spec"]["fallback"]["behavior"] = "guess"
    refused = cluster.call("PATCH", path, child, content_type="application/apply-patch+yaml", **options)
    assert refused.status_code == 422

"""Replicas on several nodes, taken by the real API server with the schema that LeaderWorkerSet v0.9.0 installs.

Its controller does not run here: what it does with such an object is not shown by this.
"""

from pathlib import Path

import httpx
import pytest
import yaml

from autoglm_operator.api import names
from autoglm_operator.apply.diff import differences
from autoglm_operator.decide.plan import make_plan
from autoglm_operator.observe.world import Deployment, Observed
from autoglm_operator.render.bundle import bundle
from autoglm_operator.settings import Images

pytestmark = pytest.mark.api

CRD = Path(__file__).parents[1] / "third_party" / "leaderworkersets.v0.9.0.crd.yaml"
ENGINES = ("vLLM", "SGLang")
RESOURCES = {
    "gpu": {"count": 16, "product": "NVIDIA-H100-80GB-HBM3", "memory": "40Gi"},
    "parallelism": {"tensor": 8, "pipeline": 2, "nodes": 2},
    "memory": "64Gi",
}
SCHEDULING = {
    "topologySpread": [{"topologyKey": "topology.kubernetes.io/zone"}],
    "tolerations": [{"key": "team", "operator": "Exists"}],
}


@pytest.fixture(scope="module")
def served(cluster, within):
    crd = yaml.safe_load(CRD.read_text())
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{crd['metadata']['name']}"
    options = {"content_type": "application/apply-patch+yaml", "fieldManager": "tests", "force": "true"}
    answer = cluster.call("PATCH", path, crd, **options)
    assert answer.is_success, answer.text
    within(30, lambda: cluster.call("GET", "/apis/leaderworkerset.x-k8s.io/v1/leaderworkersets").is_success)
    yield cluster
    cluster.call("DELETE", path)


@pytest.fixture
def rendered(manifest, namespace):
    def make(engine, **changes):
        spec = {"engine": {"type": engine}, "resources": RESOURCES, "scheduling": SCHEDULING, "replicas": 2}
        document = manifest("phone", namespace, **(spec | changes))
        document["metadata"] |= {"uid": "00000000-0000-0000-0000-000000000000", "generation": 1}
        deployment = Deployment.parse(document)
        plan = make_plan(Observed(deployment, {}, (), frozenset({"LeaderWorkerSet"}), 0.0), Images())
        return {child["kind"]: child for child in bundle(deployment, plan, Images())}

    return make


def patch(cluster, child, **options):
    meta = child["metadata"]
    path = cluster.path(child["apiVersion"], child["kind"], meta["namespace"], meta["name"])
    options = {"fieldManager": names.OPERATOR_MANAGER, "fieldValidation": "Strict"} | options
    return cluster.call("PATCH", path, child, content_type="application/apply-patch+yaml", **options)


@pytest.mark.parametrize("engine", ENGINES)
def test_every_child_is_taken_without_a_warning(served, rendered, engine):
    children = rendered(engine)
    assert "LeaderWorkerSet" in children
    assert "Deployment" not in children
    for child in children.values():
        answer = patch(served, child, dryRun="All")
        assert answer.is_success, answer.text
        assert "Warning" not in answer.headers, answer.headers["Warning"]


@pytest.mark.parametrize("engine", ENGINES)
def test_what_is_taken_is_what_was_asked_for(served, rendered, engine):
    group = rendered(engine)["LeaderWorkerSet"]
    # The owner does not exist here, and the garbage collector would take the group for an orphan.
    del group["metadata"]["ownerReferences"]
    taken = patch(served, group).json()
    assert list(differences(group, taken)) == []
    assert patch(served, group).json()["metadata"]["resourceVersion"] == taken["metadata"]["resourceVersion"]


@pytest.mark.parametrize("engine", ENGINES)
def test_the_pods_themselves_are_admitted_where_pods_are_restricted(served, rendered, namespace, engine):
    levels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    body = {"metadata": {"labels": levels}}
    path = f"/api/v1/namespaces/{namespace}"
    assert served.call("PATCH", path, body, content_type="application/merge-patch+json").is_success
    group = rendered(engine)["LeaderWorkerSet"]["spec"]["leaderWorkerTemplate"]
    for role in ("leader", "worker"):
        template = group[f"{role}Template"]
        meta = template["metadata"] | {"name": role}
        spec = template["spec"] | {"serviceAccountName": "default"}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}
        answer = served.call("POST", f"{path}/pods", pod, dryRun="All", fieldValidation="Strict")
        assert answer.is_success, answer.text
        assert "Warning" not in answer.headers, answer.headers["Warning"]


def test_only_leaders_are_behind_the_service(rendered):
    children = rendered("vLLM")
    group = children["LeaderWorkerSet"]["spec"]["leaderWorkerTemplate"]
    selector = children["Service"]["spec"]["selector"].items()
    leader, worker = (group[f"{role}Template"]["metadata"]["labels"].items() for role in ("leader", "worker"))
    assert selector <= leader
    assert not selector <= worker


def test_the_schema_does_look(served, rendered):
    group = rendered("vLLM")["LeaderWorkerSet"]
    group["spec"]["startupPolicy"] = "WhenReady"
    refused = patch(served, group, dryRun="All")
    assert refused.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    assert "startupPolicy" in refused.text

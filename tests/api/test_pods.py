"""Rendered pods in a namespace with the restricted Pod Security Standard: admitted without a warning."""

import pytest

from autoglm_operator.api import names
from autoglm_operator.decide.plan import make_plan
from autoglm_operator.observe.world import Deployment, Observed
from autoglm_operator.render.bundle import bundle
from autoglm_operator.settings import Images

pytestmark = pytest.mark.api

HUGGING_FACE = {"source": {"huggingFace": "zai-org/AutoGLM-Phone-9B"}}
SPECS = {
    "simulator": {"engine": {"type": "Simulator"}},
    "vllm": {
        "engine": {"type": "vLLM"},
        "resources": {"gpu": {"count": 1, "product": "NVIDIA-H100"}, "memory": "64Gi"},
    },
    "sglang": {"engine": {"type": "SGLang"}, "rollout": {"strategy": "Recreate"}},
    "claim and token": {
        "model": {"source": {"pvc": {"claimName": "weights", "path": "a/b"}}, "tokenSecretRef": {"name": "hf"}},
        "tracing": {"endpoint": "http://otel:4317"},
        "autoscaling": {"maxReplicas": 2, "signals": {"queueDepth": {"target": 4}, "latencyP99": {"target": 50}}},
    },
}


@pytest.fixture
def restricted(cluster, namespace):
    levels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")}
    answer = cluster.call(
        "PATCH",
        f"/api/v1/namespaces/{namespace}",
        {"metadata": {"labels": levels}},
        content_type="application/merge-patch+json",
    )
    assert answer.is_success
    return namespace


def rendered(manifest, namespace, changes):
    document = manifest("phone", namespace, **({"resources": {}} | changes))
    document["metadata"] |= {"uid": "00000000-0000-0000-0000-000000000000", "generation": 1}
    deployment = Deployment.parse(document)
    observed = Observed(deployment, {}, (), frozenset(), 0.0)
    return bundle(deployment, make_plan(observed, Images()), Images())


@pytest.mark.parametrize("case", SPECS)
def test_every_child_is_taken_without_a_warning(cluster, restricted, manifest, case):
    for child in rendered(manifest, restricted, SPECS[case]):
        meta = child["metadata"]
        path = cluster.path(child["apiVersion"], child["kind"], restricted, meta["name"])
        options = {"fieldManager": names.OPERATOR_MANAGER, "dryRun": "All", "fieldValidation": "Strict"}
        answer = cluster.call("PATCH", path, child, content_type="application/apply-patch+yaml", **options)
        assert answer.is_success, answer.text
        assert "Warning" not in answer.headers, answer.headers["Warning"]


@pytest.mark.parametrize("case", SPECS)
def test_the_pod_itself_is_admitted(cluster, restricted, manifest, case):
    workload = next(child for child in rendered(manifest, restricted, SPECS[case]) if child["kind"] == "Deployment")
    template = workload["spec"]["template"]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": template["metadata"] | {"name": "p"},
        "spec": template["spec"],
    }
    pod["spec"]["serviceAccountName"] = "default"
    answer = cluster.call("POST", f"/api/v1/namespaces/{restricted}/pods", pod, dryRun="All", fieldValidation="Strict")
    assert answer.is_success, answer.text
    assert "Warning" not in answer.headers, answer.headers["Warning"]
    pod["spec"]["containers"][0]["securityContext"] = {"privileged": True}
    refused = cluster.call("POST", f"/api/v1/namespaces/{restricted}/pods", pod, dryRun="All")
    assert refused.status_code == 403, "the namespace does look at pods"

"""What a warm start makes, taken by the real API server, its pods in a namespace that allows only restricted ones."""

import pytest

from autoglm_operator.apply.diff import differences
from autoglm_operator.decide.plan import make_plan
from autoglm_operator.decide.start.warmstart import plan_warm_start
from autoglm_operator.observe.world import Deployment, Observed
from autoglm_operator.render.warmstart import init_container, warm_children, warm_mounts, warm_volumes
from autoglm_operator.settings import Images

pytestmark = pytest.mark.api

STRICT = {"fieldValidation": "Strict", "dryRun": "All"}


@pytest.fixture
def restricted(cluster, namespace):
    label = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    path = f"/api/v1/namespaces/{namespace}"
    assert cluster.call("PATCH", path, label, content_type="application/merge-patch+json").is_success
    return namespace


@pytest.fixture
def rendered(manifest, restricted):
    """Return the children of a warm start, and what the engine pod gets of it."""

    def make(**spec):
        spec = {"warmStart": {"mode": "Full"}, "resources": {"gpu": {"count": 1}}} | spec
        document = manifest("phone", restricted, **spec)
        document["metadata"] |= {"uid": "00000000-0000-0000-0000-000000000001", "generation": 1}
        observed = Observed(Deployment.parse(document), {}, (), frozenset(), 0.0)
        plan = make_plan(observed, Images())
        warm = plan_warm_start(plan.spec, observed, {}, image=plan.image, version=plan.engine_version)
        return warm_children(observed.deployment, plan, warm, Images()), warm

    return make


@pytest.mark.parametrize(
    "spec",
    [
        {"engine": {"type": "vLLM"}},
        {"engine": {"type": "SGLang"}, "warmStart": {"mode": "Hybrid", "cache": {"size": "7G"}}},
        {"warmStart": {"mode": "Hybrid", "cache": {"size": "1024Gi"}}},
        {"warmStart": {"mode": "Hybrid", "cache": {"size": "100000000001"}}},
        {"warmStart": {"mode": "Full", "cache": {"accessMode": "ReadWriteOnce", "storageClassName": "fast"}}},
        {"model": {"source": {"huggingFace": "a/b"}, "tokenSecretRef": {"name": "hub"}, "revision": "v1"}},
    ],
)
def test_children_are_taken_as_they_are_written(cluster, rendered, spec):
    children, _ = rendered(**spec)
    assert {"PersistentVolumeClaim", "Job"} <= {child["kind"] for child in children}

    for child in children:
        answer = cluster.create(child, **STRICT)
        assert list(differences(child, answer)) == []


def test_their_pods_are_allowed_in_a_restricted_namespace(cluster, restricted, rendered):
    children, warm = rendered()
    engine = {"initContainers": [init_container(warm, Images())], "volumes": warm_volumes(warm)}
    templates = [child["spec"]["template"]["spec"] for child in children if "template" in child["spec"]]
    assert len(templates) == 2
    (idle,) = templates[1]["containers"]
    templates.append({**templates[1], **engine, "containers": [{**idle, "volumeMounts": warm_mounts(warm)}]})

    for number, template in enumerate(templates):
        # The account of the deployment does not exist here.
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"p{number}", "namespace": restricted}}
        cluster.create(pod | {"spec": template | {"serviceAccountName": "default"}}, **STRICT)

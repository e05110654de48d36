"""What is read from live objects."""

from autoglm_operator.observe.world import Deployment, Observed


def test_a_spec_that_cannot_be_read_is_kept_as_a_sentence(deployment_document):
    document = deployment_document(engine={"type": "TensorRT"})
    deployment = Deployment.parse(document)
    assert deployment.spec is None
    assert deployment.spec_error.startswith("spec.engine.type: Input should be 'vLLM', 'SGLang' or 'Simulator'")
    assert "TensorRT" in deployment.spec_error


def test_no_spec_at_all(deployment_document):
    document = deployment_document()
    del document["spec"]
    assert Deployment.parse(document).spec_error.startswith("spec.model: Field required")


def test_fields_of_newer_versions_are_ignored(deployment_document):
    assert Deployment.parse(deployment_document(warmStart={"mode": "Hybrid"})).spec is not None


def test_child_by_kind_and_name(deployment_document):
    service = {"kind": "Service"}
    children = {("v1", "Service", "phone"): service, ("v1", "Service", "other"): {}}
    observed = Observed(Deployment.parse(deployment_document()), children, (), frozenset(), 0.0)
    assert observed.child("Service") is service
    assert observed.child("Deployment") is None


def test_template_of_either_workload(deployment_document):
    deployment = Deployment.parse(deployment_document())
    template = {"metadata": {"annotations": {"autoglm.io/template-hash": "abc"}}}
    children = {("apps/v1", "Deployment", "phone"): {"kind": "Deployment", "spec": {"template": template}}}
    assert Observed(deployment, children, (), frozenset(), 0.0).template == "abc"
    group = {"kind": "LeaderWorkerSet", "spec": {"leaderWorkerTemplate": {"leaderTemplate": template}}}
    children = {("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet", "phone"): group}
    assert Observed(deployment, children, (), frozenset(), 0.0).template == "abc"
    assert Observed(deployment, {}, (), frozenset(), 0.0).template is None

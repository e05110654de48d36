"""An image that does not name its engine version is run to tell it, once."""

import pytest

from autoglm_operator.decide.plan import kept, make_plan
from autoglm_operator.decide.reasons import Reason
from autoglm_operator.errors import Terminal
from autoglm_operator.observe.pod import Container, Exit, Pod
from autoglm_operator.observe.world import Deployment, Observed, child_ref
from autoglm_operator.render.bundle import bundle
from autoglm_operator.settings import Images

IMAGE = "registry.example/team/engine@sha256:0123"
CUSTOM = {"engine": {"type": "vLLM", "image": IMAGE}, "resources": {}}


@pytest.fixture
def observed(deployment_document):
    def make(*children, said=None, **spec):
        deployment = Deployment.parse(deployment_document(**(CUSTOM | spec)))
        pods = {}
        if said is not None:
            container = Container("probe", last_exit=Exit(0, message=said))
            pods = {
                child["metadata"]["name"]: Pod("p", "", False, False, containers=(container,)) for child in children
            }
        live = {child_ref(child): child for child in children}
        return Observed(deployment, live, (), frozenset(), 0.0, fetch_pods=pods)

    return make


def rendered(seen):
    return bundle(seen.deployment, make_plan(seen, Images()), Images())


@pytest.fixture
def job(observed):
    """Return the Job as it was applied, with a status."""

    def make(**conditions):
        (found,) = [child for child in rendered(observed()) if child["kind"] == "Job"]
        held = [{"type": kind, "status": status} for kind, status in conditions.items()]
        return found | {"status": {"conditions": held}}

    return make


def test_nothing_but_the_job_is_made_until_it_has_told(observed, job):
    assert [child["kind"] for child in rendered(observed())] == ["ServiceAccount", "Job"]
    assert [child["kind"] for child in rendered(observed(job()))] == ["ServiceAccount", "Job"]


def test_the_job_runs_the_image_without_a_gpu_or_a_token(job):
    pod = job()["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == IMAGE
    assert container["command"][-1] == "vllm"
    assert not any("gpu" in name for name in container["resources"]["limits"])
    assert pod["automountServiceAccountToken"] is False


def test_what_runs_is_left_as_it_is_meanwhile(observed):
    old = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "phone"}, "spec": {"template": {}}}
    old["spec"]["template"] = {"metadata": {}, "spec": {"containers": [{"name": "engine"}]}}
    seen = observed(old)
    assert child_ref(old) in kept(seen, make_plan(seen, Images()))


@pytest.mark.parametrize(
    ("said", "version"), [("0.20.1", "0.20.1"), ("0.33.1.dev5+g1a2b3c4", "0.33.1"), ("0.21.0rc2\n", "0.21.0rc2")]
)
def test_its_last_word_picks_the_flags(observed, job, said, version):
    plan = make_plan(observed(job(Complete="True"), said=said), Images())
    assert plan.engine_version == version
    assert plan.probe.pending is False


@pytest.mark.parametrize("said", ["no module named vllm", "", None])
@pytest.mark.parametrize("end", ["Complete", "Failed"])
def test_an_image_that_does_not_tell_is_refused_with_what_to_do(observed, job, said, end):
    with pytest.raises(Terminal) as raised:
        make_plan(observed(job(**{end: "True"}), said=said), Images())
    assert raised.value.reason == Reason.ENGINE_VERSION_UNKNOWN
    assert f"spec.engine.image: {IMAGE}" in str(raised.value)
    assert "set spec.engine.version" in str(raised.value)


def test_the_running_pods_remember_it(observed, job):
    seen = observed(job(Complete="True"), said="0.20.1")
    (workload,) = [child for child in rendered(seen) if child["kind"] == "Deployment"]
    after = make_plan(observed(workload), Images())
    assert (after.engine_version, after.probe.pending) == ("0.20.1", False)


@pytest.mark.parametrize("engine", [{"version": "0.30.0"}, {"image": "team/engine:v0.30.0-custom"}])
def test_an_image_with_a_name_is_not_asked(observed, engine):
    plan = make_plan(observed(engine=CUSTOM["engine"] | engine), Images())
    assert (plan.engine_version, plan.probe.pending) == ("0.30.0", False)

"""What stays as it was decided while the pods stay what they are."""

from dataclasses import replace

import pytest

from autoglm_operator.api import names
from autoglm_operator.decide.decided import Decided, shape
from autoglm_operator.decide.engine_image import engine_version
from autoglm_operator.decide.plan import make_plan
from autoglm_operator.decide.start.timing import DRAIN_SECONDS, EXIT_SECONDS, PRE_STOP_SECONDS, Timing, learned_drain
from autoglm_operator.observe.world import Deployment, Observed, child_ref
from autoglm_operator.render.bundle import bundle
from autoglm_operator.settings import Images

SLOW = {"outputTokensP99": 4000, "itlP99Seconds": 0.05}


@pytest.fixture
def plan(deployment_document):
    def make(live=None, status=None, **spec):
        document = deployment_document(**spec) | {"status": status or {}}
        children = {child_ref(live): live} if live else {}
        deployment = Deployment.parse(document)
        return deployment, make_plan(Observed(deployment, children, (), frozenset(), 0.0), Images())

    return make


@pytest.fixture
def live(plan):
    """Return the workload as it was applied for a spec, in the cluster's words."""

    def make(**given):
        deployment, made = plan(**given)
        return next(child for child in bundle(deployment, made, Images()) if child["kind"] == "Deployment")

    return make


def test_a_new_deployment_takes_what_is_known(plan):
    _, made = plan()
    assert made.timing == Timing(drain=DRAIN_SECONDS)
    _, made = plan(status={"serving": SLOW})
    assert made.timing.drain == 300


def test_traffic_does_not_change_pods_that_run(plan, live):
    _, made = plan(live=live(), status={"serving": SLOW})
    assert made.timing.drain == DRAIN_SECONDS


def test_a_new_spec_takes_what_traffic_has_taught(plan, live):
    _, made = plan(live=live(), status={"serving": SLOW}, model={"source": {"huggingFace": "a/other"}})
    assert made.timing.drain == 300


@pytest.mark.parametrize("fields", [{"replicas": 7}, {"autoscaling": {"maxReplicas": 9}}, {"rollout": {}}])
def test_scaling_is_no_other_pod(plan, live, fields):
    _, made = plan(live=live(), status={"serving": SLOW}, **fields)
    assert made.timing.drain == DRAIN_SECONDS


@pytest.mark.parametrize("text", ["", "{}", "[]", "nonsense", '{"shape":"x","later":1}'])
def test_an_annotation_that_is_not_ours_is_decided_anew(plan, live, text):
    workload = live()
    workload["metadata"]["annotations"][names.ANNOTATION_DECIDED] = text
    _, made = plan(live=workload, status={"serving": SLOW})
    assert made.timing.drain == 300


def test_there_and_back(plan):
    _, made = plan()
    assert Decided.parse(made.decided.text()) == made.decided


def test_a_field_that_is_not_used_shapes_nothing(plan):
    deployment, _ = plan()
    assert shape(deployment.spec) == shape(deployment.spec.model_copy(update={"replicas": 3}))
    other, _ = plan(model={"source": {"huggingFace": "a/other"}})
    assert shape(deployment.spec) != shape(other.spec)


@pytest.mark.parametrize(
    ("serving", "expected"),
    [
        ({}, None),
        ({"outputTokensP99": 100}, None),
        ({"outputTokensP99": 100, "itlP99Seconds": 0}, None),
        ({"outputTokensP99": 10, "itlP99Seconds": 0.01}, 30),
        (SLOW, 300),
        ({"outputTokensP99": 10**9, "itlP99Seconds": 1.0}, 900),
    ],
)
def test_the_drain_follows_the_longest_answers(serving, expected):
    assert learned_drain(serving) == expected


def test_grace_holds_its_parts():
    timing = replace(Timing(), drain=240)
    assert timing.grace == PRE_STOP_SECONDS + 240 + EXIT_SECONDS


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("docker.io/vllm/vllm-openai:v0.33.0", "0.33.0"),
        ("vllm/vllm-openai:v0.33.0-cu129", "0.33.0"),
        ("lmsysorg/sglang:v0.5.6.post1", "0.5.6.post1"),
        ("registry:5000/team/vllm", None),
        ("registry:5000/team/vllm:0.20.1@sha256:abc", "0.20.1"),
        ("team/vllm:latest", None),
        ("team/vllm:2026-11-01", None),
        ("team/vllm@sha256:abc", None),
    ],
)
def test_the_tag_tells_the_version(plan, image, expected):
    deployment, _ = plan(engine={"type": "vLLM", "image": image}, resources={})
    assert engine_version(deployment.spec, image) == expected


def test_the_spec_tells_it_first(plan):
    deployment, _ = plan(engine={"type": "vLLM", "image": "a:v0.33.0", "version": "0.20.0"}, resources={})
    assert engine_version(deployment.spec, "a:v0.33.0") == "0.20.0"

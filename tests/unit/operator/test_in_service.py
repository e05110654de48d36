"""Which pods are given requests, and who goes by that: the Service, and nobody else."""

import pytest

from autoglm_operator.api import names
from autoglm_operator.observe.pod import Pod, group_index, revision_of
from autoglm_operator.observe.world import Deployment
from autoglm_operator.render.bundle import bundle
from autoglm_operator.settings import Images

LABEL = (names.LABEL_SERVING, names.SERVING)
GROUP = "leaderworkerset.sigs.k8s.io"


@pytest.fixture
def render(observe, deployment_document):
    def make(*pods, **spec):
        _, plan = observe(*pods, **spec)
        children = bundle(Deployment.parse(deployment_document(**spec)), plan, Images())
        return {child["kind"]: child["spec"] for child in children if "spec" in child}

    return make


def pod(name="a", service="true", **fields):
    return Pod(name, "t", **{"ready": True, "terminating": False} | fields, service=service)


def test_pods_are_made_in_service_and_only_the_service_selects_by_it(render):
    made = render(autoscaling={"maxReplicas": 2})
    template = made["Deployment"]["template"]["metadata"]["labels"]
    assert LABEL in template.items()
    assert made["Service"]["selector"] == names.pod_selector("phone") | dict([LABEL])
    others = (
        made["Deployment"]["selector"],
        made["PodDisruptionBudget"]["selector"],
        made["NetworkPolicy"]["podSelector"],
    )
    for selector in others:
        assert selector == {"matchLabels": names.pod_selector("phone")}


@pytest.mark.parametrize(
    "old",
    [
        pod(service="", terminating=True),
        pod(service="", ready=False),
        pod(service="", worker=1),
        pod(service="draining"),
    ],
    ids=["leaving", "not ready", "worker", "draining"],
)
def test_pods_that_are_given_no_requests_do_not_matter(render, old):
    assert LABEL in render(pod(), old)["Service"]["selector"].items()


def test_pods_from_before_the_label_are_not_cut_off(render):
    assert render(pod(), pod("b", service=""))["Service"]["selector"] == names.pod_selector("phone")


def test_what_a_live_pod_says():
    labels = {names.LABEL_SERVING: "draining", "pod-template-hash": "7d"}
    document = {"metadata": {"name": "phone-7d-x2x4z", "labels": labels}}
    assert (Pod.parse(document).service, revision_of(document), group_index(document)) == ("draining", "7d", None)
    labels = {f"{GROUP}/name": "phone", f"{GROUP}/template-revision-hash": "r1"}
    leader = {"metadata": {"name": "phone-12", "labels": labels}}
    assert (Pod.parse(leader).service, revision_of(leader), group_index(leader)) == ("", "r1", 12)
    assert revision_of({"metadata": {"name": "p"}}) == ""

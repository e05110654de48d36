"""The claim of a pod's GPUs, and what the pod says about it."""

import pytest

from autoglm_operator.decide.allocated import Allocation, Method, Requirement
from autoglm_operator.observe.world import Deployment
from autoglm_operator.render.claims import (
    claim_name,
    container_claims,
    device_limits,
    node_affinity,
    pod_claims,
    resource_claim_template,
)

CLAIMS = Allocation(
    Method.DYNAMIC_RESOURCE_ALLOCATION, count=2, device_class="gpu.nvidia.com", selectors=("true",), aligned=True
)
PLUGIN = Allocation(Method.DEVICE_PLUGIN, count=2, resource="nvidia.com/gpu")
NONE = Allocation(Method.NONE)


@pytest.fixture
def deployment(deployment_document):
    return Deployment.parse(deployment_document())


def test_the_template(deployment):
    found = resource_claim_template(deployment, CLAIMS)
    assert (found["apiVersion"], found["kind"]) == ("resource.k8s.io/v1", "ResourceClaimTemplate")
    assert found["metadata"]["ownerReferences"][0]["uid"] == deployment.uid
    assert found["spec"]["spec"]["devices"] == {
        "requests": [
            {
                "name": "gpu",
                "exactly": {
                    "deviceClassName": "gpu.nvidia.com",
                    "allocationMode": "ExactCount",
                    "count": 2,
                    "selectors": [{"cel": {"expression": "true"}}],
                },
            }
        ],
        "constraints": [{"requests": ["gpu"], "matchAttribute": "resource.kubernetes.io/pcieRoot"}],
    }


def test_without_selectors_and_alignment(deployment):
    any_gpu = Allocation(Method.DYNAMIC_RESOURCE_ALLOCATION, count=1, device_class="gpu.nvidia.com")
    devices = resource_claim_template(deployment, any_gpu)["spec"]["spec"]["devices"]
    assert set(devices) == {"requests"}
    assert "selectors" not in devices["requests"][0]["exactly"]


def test_other_devices_are_another_template(deployment):
    one = Allocation(Method.DYNAMIC_RESOURCE_ALLOCATION, count=1, device_class="gpu.nvidia.com")
    assert claim_name(deployment, one) != claim_name(deployment, CLAIMS)
    assert claim_name(deployment, CLAIMS) == resource_claim_template(deployment, CLAIMS)["metadata"]["name"]
    assert claim_name(deployment, CLAIMS).startswith("phone-gpu-")


def test_what_is_said_for_people_makes_no_other_template(deployment):
    said = Allocation(
        CLAIMS.method, count=2, device_class="gpu.nvidia.com", selectors=("true",), aligned=True, message="3 of 5 nodes"
    )
    assert claim_name(deployment, said) == claim_name(deployment, CLAIMS)


def test_engine_and_sidecar_share_the_claim_of_the_pod(deployment):
    pod = pod_claims(deployment, CLAIMS)
    assert pod == {"resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": claim_name(deployment, CLAIMS)}]}
    assert container_claims(CLAIMS) == {"claims": [{"name": "gpu"}]}
    assert device_limits(CLAIMS) == {}


@pytest.mark.parametrize("allocation", [PLUGIN, NONE])
def test_without_dra_there_is_no_claim(deployment, allocation):
    assert pod_claims(deployment, allocation) == {}
    assert container_claims(allocation) == {}


def test_the_device_plugin_is_a_limit():
    assert device_limits(PLUGIN) == {"nvidia.com/gpu": "2"}
    assert device_limits(NONE) == {}


MEMORY = Requirement("nvidia.com/gpu.memory", "Gt", ("40959",))
OURS = {"key": "nvidia.com/gpu.memory", "operator": "Gt", "values": ["40959"]}
ZONE = {"key": "zone", "operator": "In", "values": ["a"]}
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def test_an_affinity_of_ours():
    assert node_affinity(None, []) == {}
    found = node_affinity(None, [MEMORY])
    assert found == {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": [OURS]}]}}}


def test_each_of_the_users_terms_holds_ours_too():
    given = {
        "podAntiAffinity": {"kept": True},
        "nodeAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": ["kept"],
            REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": [ZONE]}, {"matchFields": ["kept"]}]},
        },
    }
    found = node_affinity(given, [MEMORY])
    assert found["podAntiAffinity"] == {"kept": True}
    assert found["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"] == ["kept"]
    assert found["nodeAffinity"][REQUIRED]["nodeSelectorTerms"] == [
        {"matchExpressions": [ZONE, OURS]},
        {"matchFields": ["kept"], "matchExpressions": [OURS]},
    ]
    assert given["nodeAffinity"][REQUIRED]["nodeSelectorTerms"][0] == {"matchExpressions": [ZONE]}, "left as it was"
    assert node_affinity(given, []) == given

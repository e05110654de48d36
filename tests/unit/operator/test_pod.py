"""What of a spec reaches the engine pod, beside the command line."""

import pytest

from autoglm_operator.api import names
from autoglm_operator.decide.plan import make_plan
from autoglm_operator.observe.world import Deployment, Observed
from autoglm_operator.render.bundle import bundle
from autoglm_operator.settings import Images

MODEL = {"source": {"huggingFace": "Qwen/Qwen3-8B"}}
ADAPTERS = {
    "adapters": [
        {"name": "sql", "source": {"pvc": {"claimName": "adapters", "path": "team/sql"}}},
        {"name": "chat", "source": {"huggingFace": "a/chat"}},
        {"name": "code", "source": {"pvc": {"claimName": "adapters"}}},
    ]
}


@pytest.fixture
def pod(deployment_document):
    def make(**spec):
        fields = {"engine": {"type": "vLLM"}, "resources": {}, "model": MODEL} | spec
        deployment = Deployment.parse(deployment_document(**fields))
        assert deployment.spec_error == ""
        plan = make_plan(Observed(deployment, {}, (), frozenset(), 0.0), Images())
        children = {child["kind"]: child for child in bundle(deployment, plan, Images())}
        return children["Deployment"]["spec"]["template"]["spec"]

    return make


def environment(pod):
    return {variable["name"]: variable for variable in pod["containers"][0]["env"]}


def mounted(pod, name):
    return [mount for mount in pod["containers"][0]["volumeMounts"] if mount["name"] == name]


def test_extra_environment_is_taken_literally(pod):
    extra = [{"name": "A", "value": "$(HOME) ${B} $C"}, {"name": "S", "secretKeyRef": {"name": "keys", "key": "s"}}]
    found = environment(pod(engine={"type": "vLLM", "extraEnv": extra}))
    assert found["A"]["value"] == "$$(HOME) $${B} $$C", "the kubelet turns $$ into $ and expands nothing"
    assert found["S"]["valueFrom"] == {"secretKeyRef": {"name": "keys", "key": "s"}}


def test_extra_environment_replaces_ours_and_names_stay_unique(pod):
    made = pod(engine={"type": "vLLM", "extraEnv": [{"name": "VLLM_NO_USAGE_STATS", "value": "0"}]})
    listed = [variable["name"] for variable in made["containers"][0]["env"]]
    assert listed.count("VLLM_NO_USAGE_STATS") == 1
    assert environment(made)["VLLM_NO_USAGE_STATS"]["value"] == "0"


@pytest.mark.parametrize(("source", "variable"), [("huggingFace", "HF_TOKEN"), ("modelScope", "MODELSCOPE_API_TOKEN")])
def test_the_token_goes_by_the_hubs_own_name(pod, source, variable):
    made = pod(model={"source": {source: "a/b"}, "tokenSecretRef": {"name": "hub"}})
    assert environment(made)[variable]["valueFrom"] == {"secretKeyRef": {"name": "hub", "key": "token"}}


def test_placement(pod):
    scheduling = {
        "nodeSelector": {"pool": "inference"},
        "tolerations": [{"key": "team", "operator": "Equal", "value": "a", "effect": "NoSchedule"}],
        "affinity": {"nodeAffinity": {}},
        "topologySpread": [{"topologyKey": "topology.kubernetes.io/zone"}],
        "priorityClassName": "high",
        "runtimeClassName": "nvidia",
    }
    made = pod(scheduling=scheduling, resources={"gpu": {"product": "NVIDIA-L40S"}})
    assert made["nodeSelector"] == {"pool": "inference", "nvidia.com/gpu.product": "NVIDIA-L40S"}
    assert [item["key"] for item in made["tolerations"]] == [names.GPU_RESOURCE, "team"]
    assert made["tolerations"][1] == scheduling["tolerations"][0]
    assert made["affinity"] == {"nodeAffinity": {}}
    (spread,) = made["topologySpreadConstraints"]
    assert (spread["maxSkew"], spread["whenUnsatisfiable"]) == (1, "ScheduleAnyway")
    assert spread["labelSelector"] == {"matchLabels": names.pod_selector("phone")}
    assert (made["priorityClassName"], made["runtimeClassName"]) == ("high", "nvidia")


def test_nothing_is_said_of_nodes_unless_asked(pod):
    fields = {"nodeSelector", "affinity", "topologySpreadConstraints", "priorityClassName", "runtimeClassName"}
    assert not fields & set(pod())


def test_pinned_cpus_need_a_guaranteed_pod(pod):
    made = pod(resources={"cpuPinning": True, "cpu": "8", "memory": "64Gi"})
    for container in made["containers"] + made["initContainers"]:
        requests, limits = container["resources"]["requests"], container["resources"]["limits"]
        assert {"cpu", "memory"} <= set(requests)
        assert requests == limits
    assert made["containers"][0]["resources"]["requests"]["cpu"] == "8"


def test_cpus_are_not_limited_otherwise(pod):
    made = pod(resources={"cpu": "8", "memory": "64Gi"})
    assert "cpu" not in made["containers"][0]["resources"]["limits"], "a limit would throttle the engine"


def test_an_image_volume_is_the_model(pod):
    source = {"ociImage": {"reference": "registry.example/model@sha256:0", "path": "weights"}}
    made = pod(model={"source": source})
    (volume,) = [volume for volume in made["volumes"] if volume["name"] == "model"]
    assert volume["image"] == {"reference": "registry.example/model@sha256:0", "pullPolicy": "IfNotPresent"}
    assert mounted(made, "model") == [{"name": "model", "mountPath": "/models", "readOnly": True}]


def test_adapters_on_claims_are_mounted_by_name(pod):
    made = pod(engine={"type": "vLLM", "lora": ADAPTERS})
    mounts = [mount for index in range(3) for mount in mounted(made, f"adapter-{index}")]
    assert [mount["mountPath"] for mount in mounts] == ["/adapters/sql", "/adapters/code"]
    assert [mount.get("subPath") for mount in mounts] == ["team/sql", None]
    assert all(mount["readOnly"] for mount in mounts)
    assert len([volume for volume in made["volumes"] if volume["name"].startswith("adapter-")]) == 2

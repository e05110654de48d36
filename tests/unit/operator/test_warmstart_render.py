"""What a warm start looks like in the cluster: claim, download, pre-pull, and the engine pod's share."""

import json
from pathlib import Path

import pytest

from autoglm_fetch.options import parse
from autoglm_fetch.source import Source
from autoglm_operator.api import names
from autoglm_operator.api.v1alpha1 import EngineType
from autoglm_operator.decide.start.warmstart import NO_WARM_START, plan_warm_start
from autoglm_operator.render.warmstart import (
    init_container,
    warm_children,
    warm_environment,
    warm_mounts,
    warm_volumes,
)
from autoglm_operator.settings import Images

MODEL = "zai-org/AutoGLM-Phone-9B"
FOLDER = "models/huggingface/zai-org--AutoGLM-Phone-9B/main"
GPU = {"gpu": {"product": "NVIDIA-L40S", "count": 1}}


@pytest.fixture
def rendered(observe):
    """Render a warm start; return (children by kind, the warm start)."""

    def make(mode="Full", cache=None, **spec):
        spec["warmStart"] = {"mode": mode, "cache": cache or {}}
        observed, plan = observe(**spec)
        warm = plan_warm_start(plan.spec, observed, {}, image=plan.image, version=plan.engine_version)
        children = warm_children(observed.deployment, plan, warm, Images())
        return {child["kind"]: child for child in children}, warm

    return make


def pods_of(children):
    return [children[kind]["spec"]["template"] for kind in ("Job", "DaemonSet") if kind in children]


def model(**fields):
    return {"source": {"huggingFace": MODEL}, **fields}


def job_of(children):
    spec = children["Job"]["spec"]
    return spec, spec["template"]["spec"], spec["template"]["spec"]["containers"][0]


def test_nothing_in_lazy(rendered):
    children, warm = rendered("Lazy")

    assert (children, warm) == ({}, NO_WARM_START)
    assert (init_container(warm, Images()), warm_volumes(warm), warm_mounts(warm)) == (None, [], [])
    assert warm_environment(warm, EngineType.VLLM) == {}


@pytest.mark.parametrize(
    ("mode", "cache", "kinds"),
    [
        ("Hybrid", {}, ["PersistentVolumeClaim", "Job"]),
        ("Full", {}, ["PersistentVolumeClaim", "Job", "DaemonSet"]),
        ("Hybrid", {"claimName": "shared"}, ["Job"]),
    ],
)
def test_children(rendered, mode, cache, kinds):
    children, _ = rendered(mode, cache)

    assert list(children) == kinds
    for child in children.values():
        (owner,) = child["metadata"]["ownerReferences"]
        assert (owner["uid"], owner["controller"]) == ("uid-of-phone", True)
        assert child["metadata"]["labels"][names.LABEL_MANAGED_BY] == names.MANAGED_BY
        assert len(child["metadata"]["name"]) <= 63


def test_the_claim(rendered):
    children, _ = rendered(cache={"storageClassName": "fast", "size": "150Gi", "accessMode": "ReadWriteOnce"})

    assert children["PersistentVolumeClaim"]["spec"] == {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "fast",
        "resources": {"requests": {"storage": "150Gi"}},
    }
    assert "storageClassName" not in rendered()[0]["PersistentVolumeClaim"]["spec"]


def test_pods_obey_the_restricted_profile_and_have_no_token(rendered):
    children, warm = rendered(resources=GPU)

    for template in pods_of(children):
        pod = template["spec"]
        assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (False, False)
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        containers = [*pod.get("initContainers", []), *pod["containers"], init_container(warm, Images())]
        for container in containers:
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False
            assert security["readOnlyRootFilesystem"] is True
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert set(container["resources"]["limits"]) == {"memory"}
            assert "nvidia.com/gpu" not in json.dumps(container["resources"])


def test_no_selector_of_engine_pods_matches_them(rendered):
    children, _ = rendered()
    engine = names.pod_selector("phone").items()

    for template in pods_of(children):
        labels = template["metadata"]["labels"]
        assert not engine <= labels.items()
        assert labels[names.LABEL_MANAGED_BY] == names.MANAGED_BY
    selector = children["DaemonSet"]["spec"]["selector"]["matchLabels"]
    assert selector.items() <= children["DaemonSet"]["spec"]["template"]["metadata"]["labels"].items()
    assert not selector.items() <= children["Job"]["spec"]["template"]["metadata"]["labels"].items()


def test_a_job_is_tried_once_and_kept(rendered):
    children, warm = rendered()
    spec, pod, container = job_of(children)

    assert (spec["backoffLimit"], pod["restartPolicy"], "ttlSecondsAfterFinished" in spec) == (0, "Never", False)
    assert spec["activeDeadlineSeconds"] == warm.job.deadline + 120
    assert container["terminationMessagePolicy"] == "File"
    assert children["Job"]["metadata"]["annotations"] == {
        "autoglm.io/weights": f"phone-cache/{FOLDER}",
        "autoglm.io/fetch-request": warm.job.request,
        "autoglm.io/fetch-attempt": "1",
    }


@pytest.mark.parametrize(
    ("fields", "source", "folder"),
    [
        (model(), Source("huggingface", MODEL, "main", "https://huggingface.co"), FOLDER),
        (
            model(revision="v1.2", hubEndpoint="https://hf-mirror.corp"),
            Source("huggingface", MODEL, "v1.2", "https://hf-mirror.corp"),
            FOLDER.replace("main", "v1.2"),
        ),
        (
            {"source": {"modelScope": "ZhipuAI/AutoGLM-Phone-9B"}},
            Source("modelscope", "ZhipuAI/AutoGLM-Phone-9B", "master", "https://www.modelscope.cn"),
            "models/modelscope/ZhipuAI--AutoGLM-Phone-9B/master",
        ),
        (
            {"source": {"url": "https://mirror.corp/models/phone"}},
            Source("url", "https://mirror.corp/models/phone"),
            None,
        ),
    ],
)
def test_the_program_understands_what_it_is_told(rendered, fields, source, folder):
    children, warm = rendered(model=fields)
    _, _, container = job_of(children)

    options = parse(container["args"])
    assert options.source == source
    assert options.folders == (Path("/claim") / (folder or warm.weights.folder),)
    assert options.deadline == warm.job.deadline
    waiting = parse(init_container(warm, Images())["args"])
    assert (waiting.command, waiting.folders, waiting.make) == (
        "wait",
        options.folders,
        (Path("/claim") / warm.compile_folder,),
    )


def test_the_token_is_in_the_environment_and_never_in_the_arguments(rendered):
    children, _ = rendered(model=model(tokenSecretRef={"name": "hub", "key": "token"}))
    _, _, container = job_of(children)

    assert container["env"] == [
        {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hub", "key": "token"}}},
    ]
    assert not any("hub" in word.split("=")[0] for word in container["args"])


def test_proxies_of_the_engine_serve_the_download_and_nothing_else_does(rendered):
    extra = [{"name": "https_proxy", "value": "http://proxy:1/$(HOME)"}, {"name": "VLLM_X", "value": "1"}]
    children, _ = rendered(engine={"type": "vLLM", "extraEnv": extra})
    _, _, container = job_of(children)

    assert container["env"] == [{"name": "https_proxy", "value": "http://proxy:1/$$(HOME)"}]


def test_a_download_may_run_anywhere_unless_the_volume_stays_with_its_node(rendered):
    many, _ = rendered(resources=GPU)
    once, _ = rendered(resources=GPU, cache={"accessMode": "ReadWriteOnce"})
    tolerated = [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]

    assert "nodeSelector" not in job_of(many)[1]
    assert job_of(once)[1]["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-L40S"}
    assert job_of(many)[1]["tolerations"] == job_of(once)[1]["tolerations"] == tolerated


def test_images_are_pulled_where_pods_may_run_without_a_gpu(rendered):
    children, _ = rendered(resources=GPU, engine={"type": "vLLM"})
    pod = children["DaemonSet"]["spec"]["template"]["spec"]

    assert pod["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-L40S"}
    (pull,) = pod["initContainers"]
    assert pull["image"].startswith("docker.io/vllm/vllm-openai:")
    assert {"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"} in pull["env"]
    assert parse(pod["containers"][0]["args"]).command == "idle"


def test_the_engine_reads_the_weights_and_writes_only_its_compile_cache(rendered):
    _, warm = rendered()

    assert warm_volumes(warm) == [{"name": "warm", "persistentVolumeClaim": {"claimName": "phone-cache"}}]
    assert warm_mounts(warm) == [
        {"name": "warm", "mountPath": "/models", "subPath": FOLDER, "readOnly": True},
        {"name": "warm", "mountPath": "/cache/compile", "subPath": warm.compile_folder},
    ]
    for engine in (EngineType.VLLM, EngineType.SGLANG):
        assert all(path.startswith("/cache/compile/") for path in warm_environment(warm, engine).values())


def test_weights_on_another_volume_leave_its_mount_alone(rendered):
    children, warm = rendered(model={"source": {"pvc": {"claimName": "weights"}}})

    assert list(children) == ["PersistentVolumeClaim", "DaemonSet"]
    assert [mount["mountPath"] for mount in warm_mounts(warm)] == ["/cache/compile"]
    assert parse(init_container(warm, Images())["args"]).folders == ()

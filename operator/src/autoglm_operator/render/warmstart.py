"""Warm start: the claim, the download, the pre-pull, and what an engine pod gets of them."""

from collections.abc import Mapping
from typing import Any, Final

from autoglm_operator.api import names
from autoglm_operator.api.v1alpha1 import AccessMode, EngineType, Spec
from autoglm_operator.decide.plan import Plan
from autoglm_operator.decide.start.cache import Claim, Weights
from autoglm_operator.decide.start.warmstart import FetchJob, WarmStart
from autoglm_operator.observe.fetch import (
    ANNOTATION_ATTEMPT,
    ANNOTATION_REQUEST,
    ANNOTATION_WEIGHTS,
    FETCH_CONTAINER,
    LABEL_FETCH,
)
from autoglm_operator.observe.world import Deployment
from autoglm_operator.render.engines.common import CACHE_PATH, MODEL_VOLUME_PATH, literal
from autoglm_operator.render.meta import CONTAINER_SECURITY, POD_SECURITY, metadata
from autoglm_operator.render.placement import placement
from autoglm_operator.settings import Images

#: The container in front of the engine that waits for the weights.
WEIGHTS_CONTAINER: Final = "weights"
COMPILE_PATH: Final = f"{CACHE_PATH}/compile"
LABEL_PREPULL: Final = f"{names.GROUP}/prepull"
_VOLUME: Final = "warm"
#: Where our own program sees the whole claim; an engine sees only its two folders.
_CLAIM_PATH: Final = "/claim"
#: The program ends itself at its deadline and says how far it came; the Job's own is for one that does not.
_LAST_WORD_SECONDS: Final = 120
#: Variables of spec.engine.extraEnv that say how to reach the hub, which are as true for the download.
_PROXY_VARIABLES: Final = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"})
#: Program that ends at once and is in every image of an engine: each is written in Python.
_ENDS_AT_ONCE: Final = ["python3", "-c", ""]
_BINARY_UNITS: Final = ("", "Ki", "Mi", "Gi", "Ti")
_DECIMAL_UNITS: Final = ("", "k", "M", "G", "T")
#: Where each engine keeps what it compiles, below the folder on the claim.
_COMPILE_VARIABLES: Final[Mapping[EngineType, Mapping[str, str]]] = {
    EngineType.VLLM: {"VLLM_CACHE_ROOT": "vllm", "TRITON_CACHE_DIR": "triton"},
    EngineType.SGLANG: {
        "TORCHINDUCTOR_CACHE_DIR": "inductor",
        "TRITON_CACHE_DIR": "triton",
        "SGLANG_DG_CACHE_DIR": "deep_gemm",
    },
    EngineType.SIMULATOR: {},
}


def warm_children(deployment: Deployment, plan: Plan, warm: WarmStart, images: Images) -> list[dict[str, Any]]:
    """Return what a warm start makes beside the pods, in the order it is needed."""
    children = []
    if warm.claim is not None and warm.claim.owned:
        children.append(_claim(deployment, warm.claim))
    if warm.claim is not None and warm.weights is not None and warm.job is not None:
        children.append(_job(deployment, plan, warm, warm.job, images))
    if warm.prepull:
        children.append(_prepull(deployment, plan, images))
    return children


def init_container(warm: WarmStart, images: Images) -> dict[str, Any] | None:
    """Return the container that runs before the engine: it waits for the weights and makes the compile folder.

    Mounts of a folder of a volume are made when their container starts: the folder is there by then, with the group
    that the engine has, and not made by the kubelet for root.
    """
    if warm.claim is None:
        return None
    folders = ["--folder", f"{_CLAIM_PATH}/{warm.weights.folder}"] if warm.weights else []
    return {
        "name": WEIGHTS_CONTAINER,
        "image": images.fetch,
        "imagePullPolicy": images.pull_policy,
        "args": ["wait", *folders, "--make", f"{_CLAIM_PATH}/{warm.compile_folder}"],
        "resources": _small("100m", "64Mi"),
        "securityContext": CONTAINER_SECURITY,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [{"name": _VOLUME, "mountPath": _CLAIM_PATH}],
    }


def warm_volumes(warm: WarmStart) -> list[dict[str, Any]]:
    """Return the volumes of the engine pod."""
    return [_volume(warm.claim)] if warm.claim else []


def warm_mounts(warm: WarmStart) -> list[dict[str, Any]]:
    """Return where the engine finds the weights, read-only, and its compile cache."""
    if warm.claim is None:
        return []
    mounts: list[dict[str, Any]] = []
    if warm.weights is not None:
        mounts.append(
            {"name": _VOLUME, "mountPath": MODEL_VOLUME_PATH, "subPath": warm.weights.folder, "readOnly": True}
        )
    return [*mounts, {"name": _VOLUME, "mountPath": COMPILE_PATH, "subPath": warm.compile_folder}]


def warm_environment(warm: WarmStart, engine: EngineType) -> dict[str, str]:
    """Return the variables that send what the engine compiles to the claim."""
    if warm.claim is None:
        return {}
    return {name: f"{COMPILE_PATH}/{folder}" for name, folder in _COMPILE_VARIABLES[engine].items()}


def _volume(claim: Claim) -> dict[str, Any]:
    return {"name": _VOLUME, "persistentVolumeClaim": {"claimName": claim.name}}


def _claim(deployment: Deployment, claim: Claim) -> dict[str, Any]:
    storage_class = {"storageClassName": claim.storage_class} if claim.storage_class else {}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata(deployment) | {"name": claim.name},
        "spec": {
            "accessModes": [claim.access_mode.value],
            "resources": {"requests": {"storage": _quantity(claim.size)}},
            **storage_class,
        },
    }


def _quantity(size: int) -> str:
    """Return `size` as the API server writes it, so that what is read is what was written."""
    base, units = (1024, _BINARY_UNITS) if size % 1024 == 0 else (1000, _DECIMAL_UNITS)
    power = 0
    while size % base == 0 and power < len(units) - 1:
        size, power = size // base, power + 1
    return f"{size}{units[power]}"


def _job(deployment: Deployment, plan: Plan, warm: WarmStart, job: FetchJob, images: Images) -> dict[str, Any]:
    notes = {
        ANNOTATION_WEIGHTS: warm.identity,
        ANNOTATION_REQUEST: job.request,
        ANNOTATION_ATTEMPT: str(job.attempt),
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata(deployment) | {"name": job.name, "annotations": notes},
        "spec": {
            # What fails is told apart by its last word, and tried again after a pause, as another Job.
            "backoffLimit": 0,
            "activeDeadlineSeconds": job.deadline + _LAST_WORD_SECONDS,
            "template": {
                "metadata": {"labels": _labels(LABEL_FETCH, deployment, "fetch")},
                "spec": _fetch_pod(deployment, plan, warm, job, images),
            },
        },
    }


def _fetch_pod(deployment: Deployment, plan: Plan, warm: WarmStart, job: FetchJob, images: Images) -> dict[str, Any]:
    container = {
        "name": FETCH_CONTAINER,
        "image": images.fetch,
        "imagePullPolicy": images.pull_policy,
        "args": _arguments(plan.spec, warm.weights, job) if warm.weights else [],
        "env": _environment(plan.spec),
        "resources": _small("250m", "512Mi"),
        "securityContext": CONTAINER_SECURITY,
        "terminationMessagePolicy": "File",
        "volumeMounts": [{"name": _VOLUME, "mountPath": _CLAIM_PATH}],
    }
    return {
        **_pod_base(deployment),
        "restartPolicy": "Never",
        "containers": [container],
        "volumes": warm_volumes(warm),
        **_fetch_placement(deployment, plan, warm),
    }


def _arguments(spec: Spec, weights: Weights, job: FetchJob) -> list[str]:
    # One word each, with "=": a value is never taken for a flag, whatever it begins with.
    words = ["get", f"--source={weights.kind}", f"--model={literal(weights.model)}"]
    words.append(f"--folder={_CLAIM_PATH}/{weights.folder}")
    if weights.revision:
        words.append(f"--revision={literal(weights.revision)}")
    if spec.model.hub_endpoint and weights.kind != "url":
        words.append(f"--endpoint={literal(spec.model.hub_endpoint)}")
    return [*words, f"--deadline={job.deadline}"]


def _environment(spec: Spec) -> list[dict[str, Any]]:
    env: list[dict[str, Any]] = []
    if token := spec.model.token_secret_ref:
        env.append({"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": token.name, "key": token.key}}})
    for variable in spec.engine.extra_env:
        if variable.name.upper() not in _PROXY_VARIABLES:
            continue
        if variable.secret_key_ref is None:
            env.append({"name": variable.name, "value": literal(variable.value or "")})
        else:
            secret = {"name": variable.secret_key_ref.name, "key": variable.secret_key_ref.key}
            env.append({"name": variable.name, "valueFrom": {"secretKeyRef": secret}})
    return env


def _fetch_placement(deployment: Deployment, plan: Plan, warm: WarmStart) -> dict[str, Any]:
    """Return where the download may run: anywhere, unless the volume stays where it is first mounted."""
    wanted = ["tolerations"]
    if warm.claim is not None and warm.claim.access_mode is AccessMode.READ_WRITE_ONCE:
        wanted += ["nodeSelector", "affinity"]
    fields = placement(deployment, plan)
    return {name: fields[name] for name in wanted if name in fields}


def _prepull(deployment: Deployment, plan: Plan, images: Images) -> dict[str, Any]:
    """Return the DaemonSet whose pods have the engine's image pulled, and then do nothing."""
    labels = _labels(LABEL_PREPULL, deployment, "prepull")
    fields = placement(deployment, plan)
    where = {name: fields[name] for name in ("nodeSelector", "tolerations", "affinity") if name in fields}
    pull = {
        "name": "pull",
        "image": plan.image,
        "imagePullPolicy": images.pull_policy,
        "command": _ENDS_AT_ONCE,
        # Images of engines ask for all GPUs; where NVIDIA's runtime is the default one they would get them.
        "env": [{"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"}],
        "resources": _small("10m", "128Mi"),
        "securityContext": CONTAINER_SECURITY,
    }
    idle = {
        "name": "idle",
        "image": images.fetch,
        "imagePullPolicy": images.pull_policy,
        "args": ["idle"],
        "resources": _small("1m", "32Mi"),
        "securityContext": CONTAINER_SECURITY,
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": metadata(deployment) | {"name": f"{deployment.name}-prepull"},
        "spec": {
            "selector": {"matchLabels": labels},
            # All at once: there is nothing that a pod of these could interrupt.
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "100%"}},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    **_pod_base(deployment),
                    "terminationGracePeriodSeconds": 5,
                    "initContainers": [pull],
                    "containers": [idle],
                    **where,
                },
            },
        },
    }


def _pod_base(deployment: Deployment) -> dict[str, Any]:
    return {
        "serviceAccountName": deployment.name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": POD_SECURITY,
    }


def _labels(label: str, deployment: Deployment, component: str) -> dict[str, str]:
    """Return labels that no selector of engine pods matches."""
    return {
        "app.kubernetes.io/name": "autoglm",
        "app.kubernetes.io/component": component,
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
        label: deployment.name,
    }


def _small(cpu: str, memory: str) -> dict[str, Any]:
    return {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": memory}}

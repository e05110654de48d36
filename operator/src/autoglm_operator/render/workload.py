"""Deployment: the engine pods with their sidecar agent."""

from typing import Any, Final

from autoglm_operator.api import names
from autoglm_operator.api.v1alpha1 import EngineType, RolloutStrategy, Spec
from autoglm_operator.decide.plan import PRE_STOP_SECONDS, STARTUP_SECONDS, Plan
from autoglm_operator.observe.world import Deployment
from autoglm_operator.render.engines import RENDERERS
from autoglm_operator.render.engines.common import CACHE_PATH, MODEL_VOLUME_PATH, EngineProcess
from autoglm_operator.render.meta import content_hash, labels, metadata
from autoglm_operator.settings import Images

_USER: Final = 65532
_STARTUP_PERIOD_SECONDS: Final = 2

_CONTAINER_SECURITY: Final = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def workload(deployment: Deployment, plan: Plan, images: Images) -> dict[str, Any]:
    """Return the Deployment of the engine pods.

    The template carries its own hash, so that each pod says by itself which spec it runs.
    """
    pod = _pod(deployment, plan, images)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(deployment),
        "spec": {
            "replicas": plan.replicas,
            "revisionHistoryLimit": 3,
            "progressDeadlineSeconds": STARTUP_SECONDS + 600,
            "selector": {"matchLabels": names.pod_selector(deployment.name)},
            "strategy": _strategy(plan.spec),
            "template": {
                "metadata": {
                    "labels": labels(deployment.name),
                    "annotations": {names.ANNOTATION_TEMPLATE: content_hash(pod)},
                },
                "spec": pod,
            },
        },
    }


def _strategy(spec: Spec) -> dict[str, Any]:
    if spec.rollout.strategy is RolloutStrategy.RECREATE:
        return {"type": "Recreate"}
    # An old pod goes only once a new one answers: a spec that cannot work never takes the service down.
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}


def _pod(deployment: Deployment, plan: Plan, images: Images) -> dict[str, Any]:
    process = RENDERERS[plan.spec.engine.type](plan)
    pod: dict[str, Any] = {
        "serviceAccountName": deployment.name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": plan.grace_seconds,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "initContainers": [_agent(plan, images)],
        "containers": [_engine(plan, process, images)],
        "volumes": _volumes(plan, process),
    }
    if plan.spec.resources.gpu.count:
        pod["tolerations"] = [{"key": names.GPU_RESOURCE, "operator": "Exists", "effect": "NoSchedule"}]
    if plan.spec.resources.gpu.product:
        pod["nodeSelector"] = {f"{names.GPU_RESOURCE}.product": plan.spec.resources.gpu.product}
    return pod


def _engine(plan: Plan, process: EngineProcess, images: Images) -> dict[str, Any]:
    return {
        "name": names.ENGINE_CONTAINER,
        "image": engine_image(plan.spec, images),
        "imagePullPolicy": images.pull_policy,
        "command": list(process.command),
        "args": list(process.args),
        "env": _environment(plan, process),
        "ports": [{"name": "http", "containerPort": names.ENGINE_PORT, "protocol": "TCP"}],
        "resources": _resources(plan.spec),
        "securityContext": _CONTAINER_SECURITY,
        "volumeMounts": _mounts(plan, process),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "lifecycle": {"preStop": {"sleep": {"seconds": PRE_STOP_SECONDS}}},
        "startupProbe": _probe(
            process.ready_path, 5, _STARTUP_PERIOD_SECONDS, STARTUP_SECONDS // _STARTUP_PERIOD_SECONDS
        ),
        "readinessProbe": _probe(process.ready_path, 5, 2, 2),
        # Generous: a busy engine answers late, and a restart costs every request it holds and a cold start.
        "livenessProbe": _probe(process.live_path, process.live_timeout, max(10, process.live_timeout), 6),
    }


def engine_image(spec: Spec, images: Images) -> str:
    """Return the image the user gave, or the default one with the tag of the version the user gave."""
    if spec.engine.image:
        return spec.engine.image
    image = images.engines[spec.engine.type]
    if spec.engine.version is None or spec.engine.type is EngineType.SIMULATOR:
        return image
    repository = image.split("@", 1)[0]
    last = repository.rsplit("/", 1)[-1]
    if ":" in last:
        repository = repository.rsplit(":", 1)[0]
    return f"{repository}:v{spec.engine.version}"


def _environment(plan: Plan, process: EngineProcess) -> list[dict[str, Any]]:
    # The user id has no entry in the image's passwd file; torch asks for a name and a home all the same.
    common = {"HOME": CACHE_PATH, "USER": "autoglm", "HF_HOME": f"{CACHE_PATH}/huggingface"}
    env: list[dict[str, Any]] = [{"name": key, "value": value} for key, value in {**common, **process.env}.items()]
    if token := plan.spec.model.token_secret_ref:
        env.append({"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": token.name, "key": token.key}}})
    return env


def _resources(spec: Spec) -> dict[str, Any]:
    requests: dict[str, str] = {}
    limits: dict[str, str] = {}
    if spec.resources.cpu:
        requests["cpu"] = spec.resources.cpu
    if spec.resources.memory:
        requests["memory"] = limits["memory"] = spec.resources.memory
    if spec.resources.gpu.count:
        requests[names.GPU_RESOURCE] = limits[names.GPU_RESOURCE] = str(spec.resources.gpu.count)
    return {key: value for key, value in (("requests", requests), ("limits", limits)) if value}


def _volumes(plan: Plan, process: EngineProcess) -> list[dict[str, Any]]:
    volumes: list[dict[str, Any]] = [{"name": "cache", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}]
    if process.shared_memory:
        volumes.append({"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": process.shared_memory}})
    if pvc := plan.spec.model.source.pvc:
        claim = {"claimName": pvc.claim_name, "readOnly": True}
        volumes.append({"name": "model", "persistentVolumeClaim": claim})
    return volumes


def _mounts(plan: Plan, process: EngineProcess) -> list[dict[str, Any]]:
    mounts: list[dict[str, Any]] = [
        {"name": "cache", "mountPath": CACHE_PATH},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  # the container's own
    ]
    if process.shared_memory:
        mounts.append({"name": "shm", "mountPath": "/dev/shm"})  # noqa: S108  # where engines put it
    if plan.spec.model.source.pvc:
        mounts.append({"name": "model", "mountPath": MODEL_VOLUME_PATH, "readOnly": True})
    return mounts


def _agent(plan: Plan, images: Images) -> dict[str, Any]:
    """Return the sidecar: a native one, started before the engine and stopped after it has drained."""
    args = ["--source", images.agent_source, "--engine-url", f"http://127.0.0.1:{names.ENGINE_PORT}"]
    args += ["--listen", f"0.0.0.0:{names.AGENT_PORT}"]
    if images.agent_source == "replay":
        args += ["--gpus", str(plan.spec.resources.gpu.count)]
    return {
        "name": names.AGENT_CONTAINER,
        "image": images.agent,
        "imagePullPolicy": images.pull_policy,
        "args": args,
        "restartPolicy": "Always",
        "ports": [{"name": "agent", "containerPort": names.AGENT_PORT, "protocol": "TCP"}],
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}},
        "securityContext": _CONTAINER_SECURITY,
        "startupProbe": _probe("/healthz", 5, 1, 60, port="agent"),
        "livenessProbe": _probe("/healthz", 5, 10, 6, port="agent"),
    }


def _probe(path: str, timeout: int, period: int, failures: int, port: str = "http") -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": port, "scheme": "HTTP"},
        "timeoutSeconds": timeout,
        "periodSeconds": period,
        "failureThreshold": failures,
    }

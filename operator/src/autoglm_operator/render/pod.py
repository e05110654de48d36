"""The engine pod: one engine with its sidecar agent."""

from typing import Any, Final

from autoglm_operator.api import names
from autoglm_operator.api.v1alpha1 import ExtraEnv, SecretKeyRef, Spec
from autoglm_operator.decide.plan import Plan
from autoglm_operator.observe.world import Deployment
from autoglm_operator.render.engines import RENDERERS
from autoglm_operator.render.engines.common import CACHE_PATH, EngineProcess
from autoglm_operator.render.placement import placement
from autoglm_operator.render.volumes import mounts, volumes
from autoglm_operator.settings import Images

_USER: Final = 65532
_STARTUP_PERIOD_SECONDS: Final = 2

CONTAINER_SECURITY: Final = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
POD_SECURITY: Final = {
    "runAsNonRoot": True,
    "runAsUser": _USER,
    "runAsGroup": _USER,
    "fsGroup": _USER,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def pod(deployment: Deployment, plan: Plan, images: Images) -> dict[str, Any]:
    """Return the spec of an engine pod."""
    process = RENDERERS[plan.spec.engine.type](plan)
    return {
        "serviceAccountName": deployment.name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": plan.timing.grace,
        "securityContext": POD_SECURITY,
        "initContainers": [_agent(plan, images)],
        "containers": [_engine(plan, process, images)],
        "volumes": volumes(plan, process),
        **placement(deployment, plan),
    }


def _engine(plan: Plan, process: EngineProcess, images: Images) -> dict[str, Any]:
    return {
        "name": names.ENGINE_CONTAINER,
        "image": plan.image,
        "imagePullPolicy": images.pull_policy,
        "command": list(process.command),
        "args": list(process.args),
        "env": _environment(plan, process),
        "ports": [{"name": "http", "containerPort": names.ENGINE_PORT, "protocol": "TCP"}],
        "resources": _resources(plan.spec),
        "securityContext": CONTAINER_SECURITY,
        "volumeMounts": mounts(plan, process),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "lifecycle": {"preStop": {"sleep": {"seconds": plan.timing.pre_stop}}},
        "startupProbe": _probe(
            process.ready_path, 5, _STARTUP_PERIOD_SECONDS, plan.timing.startup // _STARTUP_PERIOD_SECONDS
        ),
        "readinessProbe": _probe(process.ready_path, 5, 2, 2),
        # Generous: a busy engine answers late, and a restart costs every request it holds and a cold start.
        "livenessProbe": _probe(process.live_path, process.live_timeout, max(10, process.live_timeout), 6),
    }


def _environment(plan: Plan, process: EngineProcess) -> list[dict[str, Any]]:
    # The user id has no entry in the image's passwd file; torch asks for a name and a home all the same.
    common = {"HOME": CACHE_PATH, "USER": "autoglm", "HF_HOME": f"{CACHE_PATH}/huggingface"}
    extra = plan.spec.engine.extra_env
    theirs = {variable.name for variable in extra}
    ours = {**common, **process.env}
    env: list[dict[str, Any]] = [
        {"name": key, "value": _literal(value)} for key, value in ours.items() if key not in theirs
    ]
    if token := plan.spec.model.token_secret_ref:
        name = "MODELSCOPE_API_TOKEN" if plan.spec.model.source.model_scope else "HF_TOKEN"
        env.append({"name": name, "valueFrom": _secret(token)})
    return env + [_extra(variable) for variable in extra]


def _extra(variable: ExtraEnv) -> dict[str, Any]:
    if variable.secret_key_ref is not None:
        return {"name": variable.name, "valueFrom": _secret(variable.secret_key_ref)}
    return {"name": variable.name, "value": _literal(variable.value or "")}


def _literal(value: str) -> str:
    """Return `value` so that the kubelet expands nothing in it."""
    return value.replace("$", "$$")


def _secret(ref: SecretKeyRef) -> dict[str, Any]:
    return {"secretKeyRef": {"name": ref.name, "key": ref.key}}


def _resources(spec: Spec) -> dict[str, Any]:
    requests: dict[str, str] = {}
    limits: dict[str, str] = {}
    if spec.resources.cpu:
        requests["cpu"] = spec.resources.cpu
        if spec.resources.cpu_pinning:
            limits["cpu"] = spec.resources.cpu
    if spec.resources.memory:
        requests["memory"] = limits["memory"] = spec.resources.memory
    if spec.resources.gpu.count:
        requests[names.GPU_RESOURCE] = limits[names.GPU_RESOURCE] = str(spec.resources.gpu.count)
    return {key: value for key, value in (("requests", requests), ("limits", limits)) if value}


def _agent(plan: Plan, images: Images) -> dict[str, Any]:
    """Return the sidecar: a native one, started before the engine and stopped after it has drained."""
    args = ["--source", images.agent_source, "--engine-url", f"http://127.0.0.1:{names.ENGINE_PORT}"]
    args += ["--listen", f"0.0.0.0:{names.AGENT_PORT}"]
    if images.agent_source == "replay":
        args += ["--gpus", str(plan.spec.resources.gpu.count)]
    requests = {"cpu": "10m", "memory": "32Mi"}
    limits = {"memory": "64Mi"}
    if plan.spec.resources.cpu_pinning:
        # The kubelet pins CPUs of guaranteed pods alone: every container needs requests equal to its limits.
        requests = limits = {"cpu": "100m", "memory": "64Mi"}
    return {
        "name": names.AGENT_CONTAINER,
        "image": images.agent,
        "imagePullPolicy": images.pull_policy,
        "args": args,
        "restartPolicy": "Always",
        "ports": [{"name": "agent", "containerPort": names.AGENT_PORT, "protocol": "TCP"}],
        "resources": {"requests": requests, "limits": limits},
        "securityContext": CONTAINER_SECURITY,
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

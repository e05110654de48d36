"""The engine pod: one engine with its sidecar agent."""

from typing import Any

from autoglm_operator.api import names
from autoglm_operator.api.v1alpha1 import ExtraEnv, SecretKeyRef, Spec
from autoglm_operator.decide.allocated import Allocation
from autoglm_operator.decide.plan import Plan
from autoglm_operator.observe.world import Deployment
from autoglm_operator.render.agent import agent, from_pod
from autoglm_operator.render.claims import container_claims, device_limits, pod_claims
from autoglm_operator.render.engines import EngineProcess, Role, render
from autoglm_operator.render.engines.common import CACHE_PATH
from autoglm_operator.render.meta import CONTAINER_SECURITY, POD_SECURITY
from autoglm_operator.render.placement import placement
from autoglm_operator.render.probes import engine_probes
from autoglm_operator.render.volumes import mounts, volumes
from autoglm_operator.render.warmstart import init_container, warm_environment
from autoglm_operator.settings import Images


def pod(deployment: Deployment, plan: Plan, images: Images, role: Role = Role.ALONE) -> dict[str, Any]:
    """Return the spec of an engine pod, which is a replica by itself or has a role in one."""
    process = render(plan, role)
    waiting = init_container(plan.warm, images)
    return {
        "serviceAccountName": deployment.name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": plan.timing.grace,
        "securityContext": POD_SECURITY,
        "initContainers": [*([waiting] if waiting else []), agent(plan, images)],
        "containers": [_engine(plan, process, images)],
        "volumes": volumes(plan, process),
        **pod_claims(deployment, plan.allocation),
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
        "resources": _resources(plan.spec, plan.allocation),
        "securityContext": CONTAINER_SECURITY,
        "volumeMounts": mounts(plan, process),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "lifecycle": {"preStop": {"sleep": {"seconds": plan.timing.pre_stop}}},
        **(engine_probes(process, plan.timing) if process.ready_path else {}),
    }


def _environment(plan: Plan, process: EngineProcess) -> list[dict[str, Any]]:
    # The user id has no entry in the image's passwd file; torch asks for a name and a home all the same.
    common = {"HOME": CACHE_PATH, "USER": "autoglm", "HF_HOME": f"{CACHE_PATH}/huggingface"}
    extra = plan.spec.engine.extra_env
    theirs = {variable.name for variable in extra}
    ours = {**common, **process.env, **warm_environment(plan.warm, plan.spec.engine.type)}
    env: list[dict[str, Any]] = [
        {"name": key, "value": _literal(value)} for key, value in ours.items() if key not in theirs
    ]
    if token := plan.spec.model.token_secret_ref:
        name = "MODELSCOPE_API_TOKEN" if plan.spec.model.source.model_scope else "HF_TOKEN"
        env.append({"name": name, "valueFrom": _secret(token)})
    env += [variable for variable in _whose_traces(plan) if variable["name"] not in theirs]
    return env + [_extra(variable) for variable in extra]


def _whose_traces(plan: Plan) -> list[dict[str, Any]]:
    """Return the variables that say which pod the engine's spans come from."""
    if plan.spec.tracing is None:
        return []
    pod = "k8s.namespace.name=$(POD_NAMESPACE),k8s.pod.name=$(POD_NAME),k8s.node.name=$(NODE_NAME)"
    attributes = f"{pod},k8s.container.name={names.ENGINE_CONTAINER},service.instance.id=$(POD_NAME)"
    return [
        from_pod("POD_NAME", "metadata.name"),
        from_pod("POD_NAMESPACE", "metadata.namespace"),
        from_pod("NODE_NAME", "spec.nodeName"),
        {"name": "OTEL_RESOURCE_ATTRIBUTES", "value": attributes},
    ]


def _extra(variable: ExtraEnv) -> dict[str, Any]:
    if variable.secret_key_ref is not None:
        return {"name": variable.name, "valueFrom": _secret(variable.secret_key_ref)}
    return {"name": variable.name, "value": _literal(variable.value or "")}


def _literal(value: str) -> str:
    """Return `value` so that the kubelet expands nothing in it."""
    return value.replace("$", "$$")


def _secret(ref: SecretKeyRef) -> dict[str, Any]:
    return {"secretKeyRef": {"name": ref.name, "key": ref.key}}


def _resources(spec: Spec, allocation: Allocation) -> dict[str, Any]:
    requests, limits = device_limits(allocation), device_limits(allocation)
    if spec.resources.cpu:
        requests["cpu"] = spec.resources.cpu
        if spec.resources.cpu_pinning:
            limits["cpu"] = spec.resources.cpu
    if spec.resources.memory:
        requests["memory"] = limits["memory"] = spec.resources.memory
    amounts = {key: value for key, value in (("requests", requests), ("limits", limits)) if value}
    return amounts | container_claims(allocation)

"""The sidecar of each engine."""

from typing import Any

from autoglm_operator.api import names
from autoglm_operator.decide.plan import Plan
from autoglm_operator.render.claims import container_claims
from autoglm_operator.render.meta import CONTAINER_SECURITY
from autoglm_operator.render.probes import probe
from autoglm_operator.settings import Images


def agent(plan: Plan, images: Images) -> dict[str, Any]:
    """Return the agent's container: a native sidecar, started before the engine and stopped after it has drained."""
    requests = {"cpu": "10m", "memory": "32Mi"}
    limits = {"memory": "64Mi"}
    if plan.spec.resources.cpu_pinning:
        # The kubelet pins CPUs of guaranteed pods alone: every container needs requests equal to its limits.
        requests = limits = {"cpu": "100m", "memory": "64Mi"}
    return {
        "name": names.AGENT_CONTAINER,
        "image": images.agent,
        "imagePullPolicy": images.pull_policy,
        "args": _arguments(plan, images),
        "env": [
            from_pod("POD_NAME", "metadata.name"),
            from_pod("POD_NAMESPACE", "metadata.namespace"),
            # Where the node's dcgm-exporter is, should it have one.
            from_pod("NODE_IP", "status.hostIP"),
            *_otlp(images.agent_otlp_endpoint),
        ],
        "restartPolicy": "Always",
        "ports": [{"name": "agent", "containerPort": names.AGENT_PORT, "protocol": "TCP"}],
        "resources": {"requests": requests, "limits": limits, **container_claims(plan.allocation)},
        "securityContext": CONTAINER_SECURITY,
        # Evidence of an engine that hangs is written here.
        "volumeMounts": [{"name": "agent", "mountPath": "/tmp"}],  # noqa: S108  # the container's own
        "startupProbe": probe("/healthz", "agent", timeout=5, period=1, failures=60),
        "livenessProbe": probe("/healthz", "agent", timeout=5, period=10, failures=6),
    }


def _arguments(plan: Plan, images: Images) -> list[str]:
    args = ["--source", images.agent_source, "--engine-url", f"http://127.0.0.1:{names.ENGINE_PORT}"]
    args += ["--listen", f"0.0.0.0:{names.AGENT_PORT}", "--tolerance", plan.spec.tolerance.value]
    # Fewer than these are a fault, and more are not the pod's.
    return [*args, "--gpus", str(plan.allocation.count)]


def _otlp(endpoint: str | None) -> list[dict[str, Any]]:
    if endpoint is None:
        return []
    pod = f"k8s.namespace.name=$(POD_NAMESPACE),k8s.pod.name=$(POD_NAME),k8s.container.name={names.AGENT_CONTAINER}"
    return [
        {"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": endpoint},
        {"name": "OTEL_RESOURCE_ATTRIBUTES", "value": f"{pod},service.instance.id=$(POD_NAME)"},
    ]


def from_pod(name: str, path: str) -> dict[str, Any]:
    """Return an environment variable that the kubelet fills from the pod."""
    return {"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}}

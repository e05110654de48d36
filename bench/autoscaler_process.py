"""The autoscaler as a process, registered for custom metrics, with an account whose rights a script can change."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import yaml
from harness import OUTPUT, ControlPlane

from autoglm_operator.api import names
from autoglm_operator.kube.client import Client
from localcluster.pki import Authority, Identity

NAMESPACE: Final = "bench"
_GROUP: Final = "custom.metrics.k8s.io"
_RBAC: Final = "/apis/rbac.authorization.k8s.io/v1"
_HEALTH_PORT: Final = 18092
_API_PORT: Final = 18443


async def grant(client: Client, *, scale: bool) -> None:
    """Give the autoscaler the rights that the chart gives it, with or without the one to write replicas."""
    ours = ["autoglmdeployments/scale"] if scale else []
    rules = [
        {"apiGroups": [names.GROUP], "resources": ["autoglmdeployments"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": [names.GROUP], "resources": ["autoglmdeployments/status", *ours], "verbs": ["patch"]},
        {"apiGroups": [""], "resources": ["pods", "resourcequotas"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": [""], "resources": ["pods/status"], "verbs": ["patch"]},
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "create", "patch"]},
        {"apiGroups": ["authorization.k8s.io"], "resources": ["subjectaccessreviews"], "verbs": ["create"]},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create", "get", "update"]},
    ]
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "bench-autoscaler"},
        "rules": rules,
    }
    await client.request(
        "PATCH",
        f"{_RBAC}/clusterroles/bench-autoscaler",
        params={"fieldManager": "bench", "force": "true"},
        body=role,
        content_type="application/apply-patch+yaml",
    )


async def install(client: Client, plane: ControlPlane, folder: Path) -> Path:
    """Make account, rights and registration of the autoscaler; return a kubeconfig of its own."""
    subject = {"kind": "ServiceAccount", "name": "autoscaler", "namespace": NAMESPACE}
    here = f"/api/v1/namespaces/{NAMESPACE}"
    await client.request("POST", f"{here}/serviceaccounts", body={"metadata": {"name": "autoscaler"}})
    await grant(client, scale=True)
    for path, kind, role in (
        (f"{_RBAC}/clusterrolebindings", "ClusterRole", "bench-autoscaler"),
        (f"{_RBAC}/namespaces/kube-system/rolebindings", "Role", "extension-apiserver-authentication-reader"),
    ):
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role}
        body = {"metadata": {"name": "bench-autoscaler"}, "roleRef": reference, "subjects": [subject]}
        await client.request("POST", path, body=body)
    await register(client, plane.host_address, folder)
    token = await client.request("POST", f"{here}/serviceaccounts/autoscaler/token", body={"spec": {}})
    document = yaml.safe_load(plane.kubeconfig.read_text())
    document["users"] = [{"name": "u", "user": {"token": token["status"]["token"]}}]
    document["contexts"][0]["context"]["user"] = "u"
    document["current-context"] = document["contexts"][0]["name"]
    made = folder / "kubeconfig"
    made.write_text(yaml.safe_dump(document))
    return made


async def register(client: Client, host: str, folder: Path) -> None:
    """Make the autoscaler the backend of custom metrics."""
    Authority(folder, "ca", "bench-ca").issue(
        "tls", Identity("autoscaler", hosts=(f"autoscaler.{NAMESPACE}.svc", host))
    )
    here = f"/api/v1/namespaces/{NAMESPACE}"
    service = {"metadata": {"name": "autoscaler"}, "spec": {"ports": [{"port": 443}]}}
    await client.request("POST", f"{here}/services", body=service)
    endpoints = {
        "metadata": {"name": "autoscaler", "labels": {"kubernetes.io/service-name": "autoscaler"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [host], "conditions": {"ready": True}}],
        "ports": [{"port": _API_PORT, "protocol": "TCP"}],
    }
    path = f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices"
    await client.request("POST", path, body=endpoints)
    spec = {
        "group": _GROUP,
        "version": "v1beta2",
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
        "service": {"namespace": NAMESPACE, "name": "autoscaler", "port": 443},
        "insecureSkipTLSVerify": True,
    }
    body = {"metadata": {"name": f"v1beta2.{_GROUP}"}, "spec": spec}
    await client.request("POST", "/apis/apiregistration.k8s.io/v1/apiservices", body=body)


@contextlib.contextmanager
def autoscaler(kubeconfig: Path, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run the autoscaler as a process until the block ends."""
    environment = os.environ | {
        "KUBECONFIG": str(kubeconfig),
        "POD_NAME": "bench",
        "PODNAMESPACE": NAMESPACE,
        "HEALTH_PORT": str(_HEALTH_PORT),
        "API_PORT": str(_API_PORT),
        "TLS_CERT_FILE": str(folder / "tls.crt"),
        "TLS_KEY_FILE": str(folder / "tls.key"),
    }
    command = [sys.executable, "-m", "autoglm_operator", "autoscaler"]
    with (OUTPUT / "autoscaler.log").open("wb") as output:
        process = subprocess.Popen(command, env=environment, stderr=output)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(15)

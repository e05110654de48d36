"""Objects that every cluster gets; pure."""

from typing import Any

from localcluster.controlplane import CLUSTER_DOMAIN
from localcluster.spec import State

GPU_RESOURCE = "nvidia.com/gpu"
GPUS_OF_A_KWOK_NODE = 8
_GPU_PRODUCT = "NVIDIA-H100-80GB-HBM3"
_GPU_MEMORY_MIB = 81559


def gpu_labels(count: int) -> dict[str, str]:
    """Return the labels that NVIDIA's feature discovery puts on a node with that many H100."""
    return {
        "nvidia.com/gpu.product": _GPU_PRODUCT,
        "nvidia.com/gpu.memory": str(_GPU_MEMORY_MIB),
        "nvidia.com/gpu.count": str(count),
        "nvidia.com/gpu.present": "true",
    }


def kwok_node(number: int) -> dict[str, Any]:
    """Return a fake node with GPUs; its taint keeps away whoever does not ask for it."""
    name = f"kwok-{number}"
    capacity = {"cpu": "128", "memory": "1Ti", "pods": "256", GPU_RESOURCE: str(GPUS_OF_A_KWOK_NODE)}
    labels = {
        "type": "kwok",
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        **gpu_labels(GPUS_OF_A_KWOK_NODE),
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels, "annotations": {"kwok.x-k8s.io/node": "fake"}},
        "spec": {"taints": [{"key": "kwok.x-k8s.io/node", "value": "fake", "effect": "NoSchedule"}]},
        "status": {"capacity": capacity, "allocatable": capacity},
    }


def dns(state: State) -> list[dict[str, Any]]:
    """Return what makes the name server, a process of the node, the cluster's DNS Service."""
    metadata = {"name": "kube-dns", "namespace": "kube-system", "labels": {"k8s-app": "kube-dns"}}
    ports = [{"name": protocol.lower(), "port": 53, "protocol": protocol} for protocol in ("UDP", "TCP")]
    service_label = {"kubernetes.io/service-name": "kube-dns", "endpointslice.kubernetes.io/managed-by": "localcluster"}
    return [
        *_dns_rights(),
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"clusterIP": state.addresses.dns, "ports": ports},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": "kube-dns", "namespace": "kube-system", "labels": service_label},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [state.addresses.node], "conditions": {"ready": True}}],
            "ports": ports,
        },
    ]


def _dns_rights() -> list[dict[str, Any]]:
    name = "system:coredns"
    verbs = ["list", "watch"]
    group = "rbac.authorization.k8s.io"
    return [
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": name},
            "rules": [
                {"apiGroups": [""], "resources": ["services", "pods", "namespaces", "endpoints"], "verbs": verbs},
                {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": verbs},
            ],
        },
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": name},
            "subjects": [{"apiGroup": group, "kind": "User", "name": name}],
        },
    ]


def corefile(state: State, kubeconfig: str, upstream: list[str]) -> str:
    """Return the name server's configuration; without an upstream it knows the cluster's names only."""
    forward = f"    forward . {' '.join(upstream)}\n" if upstream else ""
    return (
        ".:53 {\n"
        f"    bind {state.addresses.node}\n"
        "    errors\n"
        f"    kubernetes {CLUSTER_DOMAIN} in-addr.arpa {{\n"
        f"        kubeconfig {kubeconfig}\n"
        "        pods insecure\n"
        "        fallthrough in-addr.arpa\n"
        "        ttl 5\n"
        "    }\n"
        f"{forward}"
        "    cache 5\n"
        "}\n"
    )

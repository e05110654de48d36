"""Files and command lines of the node's processes; pure."""

import json
import sys
from pathlib import Path
from typing import Any

import yaml

from localcluster.cgroups import group_name
from localcluster.controlplane import CLUSTER_DOMAIN, flags
from localcluster.manifests import GPU_RESOURCE, gpu_labels
from localcluster.node.init import Plan, Program
from localcluster.paths import ClusterPaths
from localcluster.spec import State

PAUSE_IMAGE = "localhost/localcluster/pause:1"
CONTAINERD_SOCKET = Path("/run/containerd/containerd.sock")
_CNI_PROGRAMS = "/usr/lib/cni"
#: Folders that containerd and kubelet have fixed names for. In the node's mount namespace each is a folder of the
#: cluster's state, so that two clusters never meet, and nothing is left behind.
PRIVATE_FOLDERS = (
    "/var/lib/containerd",
    "/var/lib/kubelet",
    "/var/lib/cni",
    "/var/log/pods",
    "/var/log/containers",
    "/run/containerd",
)


def containerd_toml(paths: ClusterPaths) -> str:
    """Return the configuration of containerd."""
    return f"""version = 2

[grpc]
address = "{CONTAINERD_SOCKET}"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE_IMAGE}"
# Without CAP_SYS_RESOURCE runc may not lower a score, and fails with "can't get final child's PID from pipe".
restrict_oom_score_adj = true
# In the state folder, not in /run/netns, which outlives the node.
netns_mounts_under_state_dir = true
max_container_log_line_size = 65536

[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{_CNI_PROGRAMS}"
conf_dir = "{paths.config}/cni"
"""


def cni(state: State) -> str:
    """Return the pods' network: a bridge inside the node's network namespace."""
    ranges = [[{"subnet": str(state.addresses.pods)}]]
    bridge = {
        "type": "bridge",
        "bridge": "pods",
        "isGateway": True,
        "hairpinMode": True,
        "ipam": {"type": "host-local", "ranges": ranges, "routes": [{"dst": "0.0.0.0/0"}]},
    }
    return json.dumps({"cniVersion": "1.0.0", "name": "pods", "plugins": [bridge]}, indent=2)


def kubelet_yaml(state: State, paths: ClusterPaths) -> str:
    """Return the configuration of the kubelet."""
    pki = paths.pki
    return yaml.safe_dump(
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": state.addresses.node,
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(pki / "ca.crt")},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": str(pki / "kubelet.crt"),
            "tlsPrivateKeyFile": str(pki / "kubelet.key"),
            "clusterDNS": [state.addresses.dns],
            "clusterDomain": CLUSTER_DOMAIN,
            "resolvConf": str(paths.config / "resolv.conf"),
            "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
            **_kubelet_groups(state),
            "failSwapOn": False,
            "oomScoreAdj": 0,
            # Images are brought in by hand: once collected they could not be pulled again.
            "imageGCHighThresholdPercent": 100,
            "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
            "nodeStatusUpdateFrequency": "5s",
        },
        sort_keys=False,
    )


def _kubelet_groups(state: State) -> dict[str, Any]:
    return {
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{group_name(state.name)}",
        "failCgroupV1": False,
        "enforceNodeAllocatable": [],
    }


def kube_proxy_yaml(state: State, paths: ClusterPaths) -> str:
    """Return the configuration of kube-proxy."""
    return yaml.safe_dump(
        {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "clusterCIDR": str(state.addresses.pods),
            "clientConnection": {"kubeconfig": str(paths.component_kubeconfig("kube-proxy"))},
            "hostnameOverride": state.node_name,
            "bindAddress": state.addresses.node,
            "healthzBindAddress": "127.0.0.1:10256",
            "metricsBindAddress": "127.0.0.1:10249",
            # The table of connections is the host's; zero leaves its limits alone.
            "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        },
        sort_keys=False,
    )


def kubelet(state: State, paths: ClusterPaths) -> list[str]:
    """Return the arguments of the kubelet."""
    values: dict[str, Any] = {
        "config": paths.config / "kubelet.yaml",
        "kubeconfig": paths.component_kubeconfig("kubelet"),
        "hostname-override": state.node_name,
        "node-ip": state.addresses.node,
    }
    if state.options.gpus:
        labels = gpu_labels(state.options.gpus)
        values["node-labels"] = ",".join(f"{key}={value}" for key, value in labels.items())
    return flags(values)


def plan(state: State, paths: ClusterPaths, programs: dict[str, Path]) -> Plan:
    """Return what the node's first process is to do.

    Args:
        state: the cluster.
        paths: its files.
        programs: paths of kubelet, kube-proxy and coredns.
    """
    config = paths.config
    socket = str(CONTAINERD_SOCKET)
    containerd = Program("containerd", ["containerd", "--config", str(config / "containerd.toml")])
    containerd.socket = socket
    containerd.then = ["ctr", "--address", socket, "-n", "k8s.io", "images", "import", str(config / "pause.tar")]
    started = [
        containerd,
        Program("kubelet", [str(programs["kubelet"]), *kubelet(state, paths)]),
        Program("kube-proxy", [str(programs["kube-proxy"]), f"--config={config / 'kube-proxy.yaml'}"]),
        Program("coredns", [str(programs["coredns"]), "-conf", str(config / "Corefile")]),
    ]
    if state.options.gpus:
        count = str(state.options.gpus)
        plugin = [sys.executable, "-m", "localcluster.deviceplugin", "--resource", GPU_RESOURCE, "--count", count]
        started.append(Program("fake-gpu-device-plugin", plugin))
    return Plan(
        address=f"{state.addresses.node}/{state.addresses.machines.prefixlen}",
        gateway=state.addresses.host,
        binds={str(paths.node / folder.strip("/").replace("/", "-")): folder for folder in PRIVATE_FOLDERS},
        logs=str(paths.logs),
        programs=started,
    )

"""Command lines and files of the control plane; pure."""

from pathlib import Path
from typing import Any

import yaml

from localcluster.paths import ClusterPaths
from localcluster.spec import State

#: Who did what to which object, without bodies: enough to count writes.
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}
#: Processes that listen, with the port that is tried first.
PREFERRED_PORTS = {
    "etcd": 2379,
    "etcd-peer": 2380,
    "kube-apiserver": 6443,
    "kube-controller-manager": 10257,
    "kube-scheduler": 10259,
}
#: Components that come with a kubeconfig of their own, and who they are in it.
KUBECONFIG_COMPONENTS = ("kube-controller-manager", "kube-scheduler", "kube-proxy", "coredns", "kwok", "kubelet")
CLUSTER_DOMAIN = "cluster.local"
_KWOK_STAGES = Path(__file__).parent / "kwok-stages.yaml"


def api_hosts(state: State) -> tuple[str, ...]:
    """Return the names and addresses under which the API server is reached."""
    service = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", f"kubernetes.default.svc.{CLUSTER_DOMAIN}")
    return ("localhost", "127.0.0.1", state.host_address, state.addresses.api_service, *service)


def kubeconfig(state: State, paths: ClusterPaths, identity: str) -> str:
    """Return a kubeconfig for one of the issued identities."""
    cluster = {"server": state.server, "certificate-authority": str(paths.pki / "ca.crt")}
    user = {"client-certificate": str(paths.pki / f"{identity}.crt"), "client-key": str(paths.pki / f"{identity}.key")}
    name = f"localcluster-{state.name}"
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": cluster}],
            "users": [{"name": identity, "user": user}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": identity}}],
            "current-context": name,
        },
        sort_keys=False,
    )


def etcd(state: State, paths: ClusterPaths) -> list[str]:
    """Return the arguments of etcd; nothing here has to survive a power cut."""
    client = f"http://127.0.0.1:{state.ports['etcd']}"
    peer = f"http://127.0.0.1:{state.ports['etcd-peer']}"
    return flags(
        {
            "name": "etcd",
            "data-dir": paths.etcd,
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"etcd={peer}",
            "unsafe-no-fsync": "true",
            "log-level": "warn",
        }
    )


def apiserver(state: State, paths: ClusterPaths) -> list[str]:
    """Return the arguments of kube-apiserver."""
    pki = paths.pki
    arguments = flags(
        {
            "advertise-address": state.host_address,
            "bind-address": state.host_address,
            "secure-port": state.ports["kube-apiserver"],
            "etcd-servers": f"http://127.0.0.1:{state.ports['etcd']}",
            "service-cluster-ip-range": state.addresses.services,
            "authorization-mode": "Node,RBAC",
            "enable-admission-plugins": "NodeRestriction",
            "allow-privileged": "true",
            "client-ca-file": pki / "ca.crt",
            "tls-cert-file": pki / "kube-apiserver.crt",
            "tls-private-key-file": pki / "kube-apiserver.key",
            "service-account-issuer": f"https://kubernetes.default.svc.{CLUSTER_DOMAIN}",
            "service-account-key-file": pki / "service-account.pub",
            "service-account-signing-key-file": pki / "service-account.key",
            "kubelet-client-certificate": pki / "kubelet-client.crt",
            "kubelet-client-key": pki / "kubelet-client.key",
            "kubelet-certificate-authority": pki / "ca.crt",
            # Else logs and exec look the node's name up in DNS.
            "kubelet-preferred-address-types": "InternalIP",
            **_aggregation(pki),
        }
    )
    if state.options.audit:
        policy = paths.config / "audit-policy.yaml"
        # Mebibytes: at the usual 100 the log begins anew, and whoever follows it misses what came after.
        size = 10_240
        arguments += flags({"audit-policy-file": policy, "audit-log-path": paths.audit_log, "audit-log-maxsize": size})
    return [*arguments, *state.options.apiserver_arguments]


def _aggregation(pki: Path) -> dict[str, Any]:
    return {
        # A CA of its own: clients checked against --client-ca-file would otherwise be taken for the front proxy.
        "requestheader-client-ca-file": pki / "front-proxy-ca.crt",
        "requestheader-allowed-names": "front-proxy-client",
        "requestheader-username-headers": "X-Remote-User",
        "requestheader-group-headers": "X-Remote-Group",
        "requestheader-extra-headers-prefix": "X-Remote-Extra-",
        "proxy-client-cert-file": pki / "front-proxy-client.crt",
        "proxy-client-key-file": pki / "front-proxy-client.key",
        # To endpoints and not to Service addresses: there may be no kube-proxy where the API server runs.
        "enable-aggregator-routing": "true",
    }


def controller_manager(state: State, paths: ClusterPaths) -> list[str]:
    """Return the arguments of kube-controller-manager."""
    arguments = flags(
        {
            **_controller(state, paths, "kube-controller-manager"),
            "use-service-account-credentials": "true",
            # Each controller makes its account first, and at the usual pace that alone takes four seconds.
            "kube-api-qps": 200,
            "kube-api-burst": 400,
            "service-account-private-key-file": paths.pki / "service-account.key",
            "root-ca-file": paths.pki / "ca.crt",
            "cluster-signing-cert-file": paths.pki / "ca.crt",
            "cluster-signing-key-file": paths.pki / "ca.key",
        }
    )
    return [*arguments, *state.options.controller_manager_arguments]


def scheduler(state: State, paths: ClusterPaths) -> list[str]:
    """Return the arguments of kube-scheduler."""
    return flags(_controller(state, paths, "kube-scheduler"))


def _controller(state: State, paths: ClusterPaths, name: str) -> dict[str, Any]:
    config = paths.component_kubeconfig(name)
    return {
        "kubeconfig": config,
        "authentication-kubeconfig": config,
        "authorization-kubeconfig": config,
        "bind-address": "127.0.0.1",
        "secure-port": state.ports[name],
        # Their self-signed certificates would otherwise go to /var/run/kubernetes.
        "cert-dir": paths.config / f"{name}-cert",
        # The only one there is need not wait for a lease.
        "leader-elect": "false",
    }


def kwok(state: State, paths: ClusterPaths) -> list[str]:
    """Return the arguments of the kwok controller, which manages only the nodes that are labelled as fake."""
    return flags(
        {
            "kubeconfig": paths.component_kubeconfig("kwok"),
            "config": _KWOK_STAGES,
            "manage-all-nodes": "false",
            "manage-nodes-with-label-selector": "type=kwok",
            "node-lease-duration-seconds": 40,
            # Addresses that nobody has: a program that calls a fake pod must not reach a stranger.
            "node-ip": state.host_address,
            "cidr": list(state.addresses.machines.subnets())[1],
        }
    )


def flags(values: dict[str, Any]) -> list[str]:
    """Return a command line of --key=value."""
    return [f"--{key}={value}" for key, value in values.items()]

"""Starts the processes of a cluster in their order, each after what it needs is ready."""

import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import yaml

from localcluster import archive, cgroups, controlplane, manifests, network, pki, processes, toolchain
from localcluster.errors import LocalClusterError
from localcluster.kube import Api, wait
from localcluster.node import config
from localcluster.paths import ClusterPaths
from localcluster.progress import step
from localcluster.spec import State

_CONTROL_PLANE_SECONDS = 60.0
_NODE_SECONDS = 120.0
_SHOWN_LINES = 15


class Startup:
    """One cluster while it comes up."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.paths = ClusterPaths.of(state.name)
        #: process → its id
        self._started: dict[str, int] = {}

    def control_plane(self) -> None:
        """Start etcd, API server, controllers and scheduler; return when a pod could be created."""
        self._write_files()
        with step("control plane"):
            self._start("etcd", controlplane.etcd(self.state, self.paths))
            self._start("kube-apiserver", controlplane.apiserver(self.state, self.paths))
            api = Api(self.state, self.paths)
            self._wait("the API server is ready", api.is_ready, _CONTROL_PLANE_SECONDS)
            self._start("kube-controller-manager", controlplane.controller_manager(self.state, self.paths))
            self._start("kube-scheduler", controlplane.scheduler(self.state, self.paths))
            account = "/api/v1/namespaces/default/serviceaccounts/default"
            self._wait("the default service account is there", lambda: bool(api.get(account)), _CONTROL_PLANE_SECONDS)

    def kwok(self) -> None:
        """Create the fake nodes and start what keeps them alive."""
        count = self.state.options.kwok
        if not count:
            return
        with step(f"{count} fake nodes"):
            api = Api(self.state, self.paths)
            nodes = [manifests.kwok_node(number) for number in range(count)]
            for node in nodes:
                api.apply(node)
                api.apply_status(node)
            self._start("kwok", controlplane.kwok(self.state, self.paths))
            for node in nodes:
                name = node["metadata"]["name"]
                self._wait(f"node {name} is ready", partial(api.node_is_ready, name), _NODE_SECONDS)

    def node(self) -> None:
        """Start the real node."""
        if not self.state.options.node:
            return
        with step("node"):
            api = Api(self.state, self.paths)
            for manifest in manifests.dns(self.state):
                api.apply(manifest)
            self._write_node_files()
            cgroups.create(self.state.name)
            self._start_node()
            name, gpus = self.state.node_name, self.state.options.gpus
            self._wait(f"node {name} is ready", partial(api.node_is_ready, name), _NODE_SECONDS)
            if gpus:
                resource = manifests.GPU_RESOURCE
                self._wait(
                    f"node {name} offers {gpus} GPUs", partial(api.node_offers, name, resource, gpus), _NODE_SECONDS
                )

    def _start_node(self) -> None:
        namespaces = ("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")
        # What the host mounts later is seen in the node, and never the other way round.
        unshare = (*namespaces, "--propagation", "slave", sys.executable, "-m", "localcluster.node.init")
        plan = self.paths.config / "node.json"
        outer = processes.start(self.paths.root, "node", [*unshare, str(plan)], self.paths.log("node"))
        self._started["node"] = outer
        self._wait("the node's namespaces are there", lambda: bool(processes.children(outer)), _NODE_SECONDS)
        network.connect_node(self.state.addresses, processes.children(outer)[0])

    def _start(self, program: str, arguments: list[str]) -> None:
        command = [str(toolchain.path(program)), *arguments]
        self._started[program] = processes.start(self.paths.root, program, command, self.paths.log(program))

    def _wait(self, what: str, check: Callable[[], bool], seconds: float) -> None:
        wait(what, lambda: _answers(check), self._alive, seconds)

    def _alive(self) -> None:
        for name, pid in self._started.items():
            if processes.has_ended(pid):
                raise LocalClusterError(f"{name} ended; the end of its log:\n{tail(self.paths.log(name))}")

    def _write_files(self) -> None:
        state, paths = self.state, self.paths
        for folder in (paths.config, paths.logs):
            folder.mkdir(parents=True, exist_ok=True)
        node_hosts = (state.node_name, state.addresses.node)
        pki.write_all(paths.pki, api_hosts=controlplane.api_hosts(state), node=state.node_name, node_hosts=node_hosts)
        (paths.config / "audit-policy.yaml").write_text(yaml.safe_dump(controlplane.AUDIT_POLICY))
        for component in controlplane.KUBECONFIG_COMPONENTS:
            _write_private(paths.component_kubeconfig(component), controlplane.kubeconfig(state, paths, component))
        _write_private(paths.kubeconfig, controlplane.kubeconfig(state, paths, "admin"))

    def _write_node_files(self) -> None:
        state, paths = self.state, self.paths
        upstream = network.upstream_name_servers()
        corefile = manifests.corefile(state, str(paths.component_kubeconfig("coredns")), upstream)
        programs = {name: toolchain.path(name) for name in (*toolchain.NODE, "coredns")}
        files = {
            "containerd.toml": config.containerd_toml(paths),
            "cni/10-pods.conflist": config.cni(state),
            "kubelet.yaml": config.kubelet_yaml(state, paths),
            "kube-proxy.yaml": config.kube_proxy_yaml(state, paths),
            "Corefile": corefile,
            "resolv.conf": "".join(f"nameserver {server}\n" for server in upstream),
            "node.json": config.plan(state, paths, programs).to_json(),
        }
        for name, content in files.items():
            path = paths.config / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(content)
        archive.write_image(paths.config / "pause.tar", config.PAUSE_IMAGE, toolchain.path("pause"))


def tail(log: Path) -> str:
    """Return the last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-_SHOWN_LINES:]) if log.exists() else "(no log)"


def _answers(check: Callable[[], bool]) -> bool:
    try:
        return check()
    except (OSError, LocalClusterError):
        # A server that is coming up refuses, and so does one whose rules are not loaded yet.
        time.sleep(0.1)
        return False


def _write_private(path: Path, content: str) -> None:
    path.touch(mode=0o600)
    path.write_text(content)

"""Brings a cluster up, tells how it is, and takes it down to the last trace."""

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from localcluster import cgroups, controlplane, host, network, prerequisites, processes, toolchain
from localcluster.errors import LocalClusterError
from localcluster.locks import locked
from localcluster.node.config import PRIVATE_FOLDERS
from localcluster.paths import ClusterPaths, cache_home, clusters_home, state_home
from localcluster.progress import note, step
from localcluster.spec import Addresses, Options, State, free_slot, read_state, write_state
from localcluster.startup import Startup


@dataclass(frozen=True)
class Status:
    """How a cluster is."""

    name: str
    state: State | None
    #: process → its id
    processes: dict[str, int]
    #: processes that should be there and are not
    missing: list[str]

    @property
    def running(self) -> bool:
        """Whether every process is there."""
        return self.state is not None and not self.missing


def status(name: str) -> Status:
    """Return how a cluster is; one that does not exist has no state."""
    state = read_state(name)
    living = processes.by_name(processes.find(ClusterPaths.of(name).root))
    expected = expected_processes(state.options) if state else []
    return Status(name, state, living, [process for process in expected if process not in living])


def expected_processes(options: Options) -> list[str]:
    """Return the processes of a cluster of that shape."""
    names = ["etcd", *toolchain.CONTROL_PLANE]
    if options.kwok:
        names.append("kwok")
    if options.node:
        names += ["node", "containerd", *toolchain.NODE, "coredns"]
        names += ["fake-gpu-device-plugin"] if options.gpus else []
    return names


def up(options: Options) -> State:
    """Bring a cluster up and return it; one that runs already is left alone.

    Raises:
        LocalClusterError: something is missing or failed, or it runs with other options.
    """
    with _exclusive(options.name):
        present = status(options.name)
        if present.state is not None and present.running:
            if present.state.options != options:
                raise LocalClusterError(
                    f"cluster {options.name} is up with other options: {present.state.options}; "
                    f"`localcluster down --name {options.name}` first"
                )
            note(f"cluster {options.name} is up already")
            return present.state
        if present.state is not None or present.processes:
            with step(f"clear away what is left of cluster {options.name}"):
                _clear(options.name)
        _prepare(options)
        state = _allocate(options)
        startup = Startup(state)
        startup.control_plane()
        startup.kwok()
        startup.node()
        return state


def down(name: str) -> bool:
    """Remove every trace of a cluster and say whether there was one.

    Raises:
        LocalClusterError: something could not be removed; the state is kept for the next try.
    """
    with _exclusive(name, last=True):
        if not ClusterPaths.of(name).root.exists() and not status(name).processes:
            return False
        with step(f"take cluster {name} down"):
            _clear(name)
        return True


@contextlib.contextmanager
def _exclusive(name: str, *, last: bool = False) -> Iterator[None]:
    """Keep others from bringing the same cluster up or down; `last` removes the lock with it."""
    path = state_home() / "locks" / f"{name}.lock"
    with locked(path):
        yield
        if last:
            path.unlink(missing_ok=True)
    if last:
        for folder in (path.parent, clusters_home(), state_home()):
            with contextlib.suppress(OSError):
                folder.rmdir()


def _prepare(options: Options) -> None:
    programs = toolchain.needed(node=options.node, kwok=bool(options.kwok))
    prerequisites.check(cache_home(), programs)
    if options.node:
        prerequisites.install(prerequisites.NODE_PACKAGES)
        prerequisites.load_modules()
    elif prerequisites.is_root():
        prerequisites.install(prerequisites.HOST_PACKAGES)
    toolchain.ensure(programs)


def _allocate(options: Options) -> State:
    """Choose networks and ports, note them, and only then create what they are for."""
    privileged = prerequisites.is_root() and not prerequisites.capabilities_lacking(
        Path("/proc/self/status").read_text()
    )
    if not privileged:
        address = network.machine_address()
        ports = network.free_ports(controlplane.PREFERRED_PORTS, {"127.0.0.1", address})
        state = State(options, Addresses(free_slot([], _slots())), address, ports, privileged=False)
        write_state(state)
        return state
    with host.exclusive():
        addresses = Addresses(free_slot(network.networks_in_use(), _slots()))
        ports = network.free_ports(controlplane.PREFERRED_PORTS, {"127.0.0.1"})
        state = State(options, addresses, addresses.host, ports, privileged=True)
        write_state(state)
        network.add_bridge(addresses)
        if options.node:
            host.prepare(ClusterPaths.of(options.name).root, PRIVATE_FOLDERS)
            network.add_masquerade(addresses)
    return state


def _slots() -> set[int]:
    states = [read_state(path.name) for path in clusters_home().iterdir()] if clusters_home().exists() else []
    return {state.addresses.slot for state in states if state is not None}


def _clear(name: str) -> None:
    root = ClusterPaths.of(name).root
    left = processes.kill(root)
    if left:
        raise LocalClusterError(f"processes that do not die: {', '.join(f'{p.name} ({p.pid})' for p in left)}")
    state = read_state(name)
    if state is not None and state.privileged:
        with host.exclusive():
            network.remove(state.addresses)
            cgroups.remove(name)
            host.restore(root)
    _remove_folder(root)


def _remove_folder(root: Path) -> None:
    """Remove the state, the note of what it is about as the last of it."""
    for path in root.iterdir() if root.exists() else []:
        if path.is_dir():
            shutil.rmtree(path)
        elif path != ClusterPaths(root).state:
            path.unlink()
    shutil.rmtree(root, ignore_errors=True)


def containerd_socket(name: str) -> Path:
    """Return the path under which the host reaches containerd of a cluster.

    Raises:
        LocalClusterError: the cluster has no running node.
    """
    pid = status(name).processes.get("containerd")
    if pid is None:
        raise LocalClusterError(
            f"cluster {name} has no running node for images; `localcluster up --name {name} --node kubelet`"
        )
    return Path(f"/proc/{pid}/root/run/containerd/containerd.sock")


def follow(name: str, process: str, *, lines: int, forever: bool) -> None:
    """Show the log of a process.

    Raises:
        LocalClusterError: it has none.
    """
    log = ClusterPaths.of(name).log(process)
    if not log.exists():
        raise LocalClusterError(f"{process} of cluster {name} has no log; see `localcluster logs --name {name}`")
    command = ["tail", f"--lines={lines}", *(["--follow"] if forever else []), str(log)]
    with contextlib.suppress(KeyboardInterrupt):
        subprocess.run(command, check=False)  # noqa: S603  # our own command on our own file

"""The control groups below which a cluster's pods live, on both versions of the kernel's interface."""

import contextlib
import time
from pathlib import Path

from localcluster.errors import LocalClusterError

_MOUNT = Path("/sys/fs/cgroup")
_REMOVAL_SECONDS = 10.0


def group_name(cluster: str) -> str:
    """Return the name of a cluster's group."""
    return f"localcluster-{cluster}"


def is_unified(mount: Path = _MOUNT) -> bool:
    """Say whether this machine has version 2."""
    return (mount / "cgroup.controllers").exists()


def create(cluster: str, mount: Path = _MOUNT) -> None:
    """Make the group in every hierarchy; the kubelet wants it to be there."""
    name = group_name(cluster)
    if is_unified(mount):
        _delegate(mount)
        (mount / name).mkdir(exist_ok=True)
        _delegate(mount / name)
        return
    for hierarchy in _hierarchies(mount):
        group = hierarchy / name
        group.mkdir(exist_ok=True)
        # A group without processors and memory nodes takes no process.
        for setting in ("cpuset.cpus", "cpuset.mems"):
            if (group / setting).exists():
                (group / setting).write_text((hierarchy / setting).read_text())


def remove(cluster: str, mount: Path = _MOUNT) -> None:
    """Remove the group and what is below it; its processes are dead, but the kernel may need a moment.

    Raises:
        LocalClusterError: something holds it.
    """
    deadline = time.monotonic() + _REMOVAL_SECONDS
    while left := [group for group in groups(cluster, mount) if not _removed(group)]:
        if time.monotonic() > deadline:
            raise LocalClusterError(f"control groups that cannot be removed: {', '.join(map(str, left))}")
        time.sleep(0.1)


def groups(cluster: str, mount: Path = _MOUNT) -> list[Path]:
    """Return the group of a cluster in each hierarchy that has it."""
    hierarchies = [mount] if is_unified(mount) else _hierarchies(mount)
    return [group for hierarchy in hierarchies if (group := hierarchy / group_name(cluster)).is_dir()]


def _hierarchies(mount: Path) -> list[Path]:
    """Return each hierarchy of version 1 once: some have two names, by a link."""
    return sorted(path for path in mount.iterdir() if path.is_dir() and not path.is_symlink())


def _delegate(group: Path) -> None:
    for controller in (group / "cgroup.controllers").read_text().split():
        # One that cannot be handed down is missed by the kubelet, which says so better than we could.
        with contextlib.suppress(OSError):
            (group / "cgroup.subtree_control").write_text(f"+{controller}")


def _removed(group: Path) -> bool:
    for path in sorted((item for item in group.rglob("*") if item.is_dir()), reverse=True):
        with contextlib.suppress(OSError):
            path.rmdir()
    with contextlib.suppress(OSError):
        group.rmdir()
    return not group.exists()

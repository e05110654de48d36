"""Says what this machine lacks, and installs from Debian what can be installed."""

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from localcluster import toolchain
from localcluster.commands import run, succeeds
from localcluster.errors import LocalClusterError
from localcluster.progress import note, step

_GIB = 1024**3
_BUILD_DISK = 12 * _GIB
_RUN_DISK = 2 * _GIB
_NODE_MEMORY = 3 * _GIB
_MODULES = ("overlay", "br_netfilter", "nf_tables", "veth")
_POLICY = Path("/usr/sbin/policy-rc.d")
_REFUSE_TO_START_SERVICES = "#!/bin/sh\nexit 101\n"
#: What a kubelet, containerd and their networks cannot do without: bit of each capability in /proc/self/status.
_CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_SYS_CHROOT": 18, "CAP_SYS_ADMIN": 21, "CAP_MKNOD": 27}


@dataclass(frozen=True)
class Package:
    """A Debian package, and a file or command that shows that it is there."""

    name: str
    shows: str

    def is_present(self) -> bool:
        """Say whether what the package brings is there, from Debian or not."""
        return Path(self.shows).exists() if self.shows.startswith("/") else shutil.which(self.shows) is not None


HOST_PACKAGES = (Package("iproute2", "ip"),)
NODE_PACKAGES = (
    *HOST_PACKAGES,
    Package("containerd", "containerd"),
    Package("runc", "runc"),
    Package("containernetworking-plugins", "/usr/lib/cni/bridge"),
    Package("nftables", "nft"),
    Package("util-linux", "unshare"),
)
IMAGE_PACKAGES = (Package("buildah", "buildah"), Package("mmdebstrap", "mmdebstrap"))


def is_root() -> bool:
    """Say whether this is root."""
    return os.geteuid() == 0


def lacking_for_node() -> list[str]:
    """Return why this machine cannot run a kubelet; empty if it can. What can be installed is no reason."""
    if not is_root():
        return ["it needs root"]
    status = Path("/proc/self/status").read_text()
    capabilities = capabilities_lacking(status)
    reasons = [f"root lacks {', '.join(capabilities)} here"] if capabilities else []
    if not any(Path("/sys/fs/cgroup", name).exists() for name in ("cgroup.controllers", "cpu", "memory")):
        reasons.append("control groups are not mounted on /sys/fs/cgroup")
    if memory_bytes(Path("/proc/meminfo").read_text()) < _NODE_MEMORY:
        reasons.append(f"it needs {_NODE_MEMORY // _GIB} GiB of memory")
    absent = [package.name for package in NODE_PACKAGES if not package.is_present()]
    if absent and shutil.which("apt-get") is None:
        reasons.append(f"{', '.join(absent)} must be installed, and there is no apt-get to do it")
    return reasons


def capabilities_lacking(status: str) -> list[str]:
    """Return the capabilities that a process lacks, from its /proc/PID/status."""
    effective = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:"))
    return [name for name, bit in _CAPABILITIES.items() if not effective >> bit & 1]


def memory_bytes(meminfo: str) -> int:
    """Return the size of the memory, from /proc/meminfo."""
    return next(int(line.split()[1]) * 1024 for line in meminfo.splitlines() if line.startswith("MemTotal:"))


def check(folder: Path, programs: list[str]) -> None:
    """Check what no package brings.

    Args:
        folder: where programs and state are going to be kept.
        programs: those that the cluster runs.

    Raises:
        LocalClusterError: it lists everything that is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    problems = []
    to_build = toolchain.missing(programs)
    wanted = _BUILD_DISK if to_build else _RUN_DISK
    free = shutil.disk_usage(folder).free
    if free < wanted:
        problems.append(f"{folder}: {free / _GIB:.1f} GiB are free, {wanted // _GIB} GiB are needed")
    if to_build:
        try:
            toolchain.go()
        except LocalClusterError as error:
            problems.append(str(error))
    if problems:
        raise LocalClusterError("\n".join(problems))


def install(packages: Iterable[Package]) -> None:
    """Install the packages that are missing; none of their services is started or enabled.

    Raises:
        LocalClusterError: this is not root, not Debian, or the installation failed.
    """
    names = [package.name for package in packages if not package.is_present()]
    if not names:
        return
    if not is_root() or shutil.which("apt-get") is None:
        raise LocalClusterError(f"missing: {' '.join(names)}; as root on Debian: apt-get install {' '.join(names)}")
    with step(f"install {', '.join(names)}"):
        _install_quietly(names)


def load_modules() -> None:
    """Load the kernel modules of a node, where they are modules."""
    if shutil.which("modprobe") is not None:
        for module in _MODULES:
            succeeds("modprobe", module)
    if not Path("/proc/sys/net/bridge/bridge-nf-call-iptables").exists():
        note("the kernel has no br_netfilter: a pod cannot reach a pod through a Service")


def _install_quietly(names: list[str]) -> None:
    own_policy = not _POLICY.exists()
    if own_policy:
        _POLICY.write_text(_REFUSE_TO_START_SERVICES)
        _POLICY.chmod(0o755)
    command = ("apt-get", "install", "--yes", "--no-install-recommends", *names)
    environment = {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        run("apt-get", "update", env=environment)
        run(*command, env=environment)
    finally:
        if own_policy:
            _POLICY.unlink(missing_ok=True)
    if "containerd" in names and shutil.which("systemctl") is not None:
        succeeds("systemctl", "disable", "containerd")

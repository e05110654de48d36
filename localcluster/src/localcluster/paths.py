"""Where things are kept: all of it outside the checkout, so that a fresh clone finds the caches."""

import os
from dataclasses import dataclass
from pathlib import Path


def state_home() -> Path:
    """Return the folder of all clusters' state: `$AUTOGLM_LOCAL_HOME`, or else a folder of the user."""
    chosen = os.environ.get("AUTOGLM_LOCAL_HOME")
    return Path(chosen).resolve() if chosen else Path.home() / ".local/state/autoglm"


def cache_home() -> Path:
    """Return the folder of everything that can be made again: `$AUTOGLM_CACHE`, or else a folder of the user."""
    chosen = os.environ.get("AUTOGLM_CACHE")
    return Path(chosen).resolve() if chosen else Path.home() / ".cache/autoglm"


def clusters_home() -> Path:
    """Return the folder that holds one folder for each cluster."""
    return state_home() / "clusters"


@dataclass(frozen=True)
class ClusterPaths:
    """The files of one cluster, all below its state folder."""

    root: Path

    @classmethod
    def of(cls, name: str) -> "ClusterPaths":
        """Return the paths of the cluster of that name."""
        return cls(clusters_home() / name)

    @property
    def state(self) -> Path:
        """What the cluster is made of; written before anything of it is created."""
        return self.root / "state.json"

    @property
    def kubeconfig(self) -> Path:
        """Kubeconfig of the administrator."""
        return self.root / "kubeconfig"

    @property
    def audit_log(self) -> Path:
        """The API server's audit log, one JSON object on each line."""
        return self.root / "audit.log"

    @property
    def pki(self) -> Path:
        """Keys and certificates."""
        return self.root / "pki"

    @property
    def config(self) -> Path:
        """Rendered configuration files, and kubeconfigs of the components."""
        return self.root / "config"

    @property
    def logs(self) -> Path:
        """One log file for each process."""
        return self.root / "logs"

    @property
    def etcd(self) -> Path:
        """The database."""
        return self.root / "etcd"

    @property
    def node(self) -> Path:
        """What the node keeps under /var and /run, mounted there inside its own mount namespace."""
        return self.root / "node"

    def log(self, process: str) -> Path:
        """Return the log file of a process."""
        return self.logs / f"{process}.log"

    def component_kubeconfig(self, component: str) -> Path:
        """Return the kubeconfig of a component."""
        return self.config / f"{component}.kubeconfig"

"""What a cluster is: the options of `up` and the addresses that were free, kept in its state file."""

import dataclasses
import ipaddress
import json
import re
from dataclasses import dataclass
from typing import Any

from localcluster.errors import LocalClusterError
from localcluster.paths import ClusterPaths

DEFAULT_NAME = "autoglm"
#: Interface names hold 15 characters, and cgroup and table names are made of the name too.
_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}[a-z0-9]")
_SLOTS = 128
_SERVICE_BITS = 12


@dataclass(frozen=True)
class Options:
    """What a person asks for."""

    name: str = DEFAULT_NAME
    #: whether there is a real kubelet
    node: bool = True
    #: fake GPUs that the real kubelet offers
    gpus: int = 8
    #: fake nodes
    kwok: int = 0
    audit: bool = True
    apiserver_arguments: tuple[str, ...] = ()
    controller_manager_arguments: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise LocalClusterError(
                f"cluster name {self.name!r} is not usable: 2 to 32 small letters, digits and '-', a letter first"
            )
        if self.gpus < 0 or self.kwok < 0:
            raise LocalClusterError(f"--gpus {self.gpus} and --kwok {self.kwok} must not be negative")


@dataclass(frozen=True)
class Addresses:
    """The networks of a cluster, all made of the number of its slot."""

    slot: int

    @property
    def bridge(self) -> str:
        """The bridge on the host that the node hangs on."""
        return f"lc{self.slot}"

    @property
    def uplink(self) -> str:
        """The host's end of the node's only link."""
        return f"lc{self.slot}node"

    @property
    def machines(self) -> ipaddress.IPv4Network:
        """Network of the host and of the node."""
        return ipaddress.IPv4Network(f"10.213.{self.slot}.0/24")

    @property
    def pods(self) -> ipaddress.IPv4Network:
        """Network of the pods."""
        return ipaddress.IPv4Network(f"10.214.{self.slot}.0/24")

    @property
    def services(self) -> ipaddress.IPv4Network:
        """Network of the Services: thousands, because a benchmark makes one for each of hundreds of deployments."""
        first = int(ipaddress.IPv4Address("10.224.0.0")) + self.slot * 2**_SERVICE_BITS
        return ipaddress.IPv4Network((first, 32 - _SERVICE_BITS))

    @property
    def host(self) -> str:
        """The host's address, which pods and the API server reach."""
        return str(self.machines[1])

    @property
    def node(self) -> str:
        """The node's address."""
        return str(self.machines[2])

    @property
    def api_service(self) -> str:
        """The Service address of the API server."""
        return str(self.services[1])

    @property
    def dns(self) -> str:
        """The Service address of the cluster's name server."""
        return str(self.services[10])

    def networks(self) -> tuple[ipaddress.IPv4Network, ...]:
        """Return everything that must not be in use by others."""
        return (self.machines, self.pods, self.services)


def free_slot(used: list[ipaddress.IPv4Network], taken: set[int]) -> int:
    """Return the first slot whose networks touch none of those in use.

    Raises:
        LocalClusterError: there is none.
    """
    for slot in range(_SLOTS):
        ours = Addresses(slot).networks()
        if slot not in taken and not any(mine.overlaps(other) for mine in ours for other in used):
            return slot
    raise LocalClusterError("no free network for a cluster; `localcluster down --name …` removes those not needed")


@dataclass(frozen=True)
class State:
    """A cluster, as its state file holds it."""

    options: Options
    addresses: Addresses
    #: address that the API server listens on; without root there is no bridge, and it is the machine's own
    host_address: str
    #: port of each process that listens
    ports: dict[str, int]
    #: whether interfaces, tables and control groups were made
    privileged: bool

    @property
    def name(self) -> str:
        """Name of the cluster."""
        return self.options.name

    @property
    def node_name(self) -> str:
        """Name of the Node object of the real kubelet."""
        return f"{self.name}-node"

    @property
    def server(self) -> str:
        """Address of the API."""
        return f"https://{self.host_address}:{self.ports['kube-apiserver']}"

    def to_json(self) -> str:
        """Return the content of the state file."""
        return json.dumps(dataclasses.asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str) -> "State":
        """Read the content of a state file."""
        raw: dict[str, Any] = json.loads(text)
        options = raw["options"]
        for key in ("apiserver_arguments", "controller_manager_arguments"):
            options[key] = tuple(options[key])
        raw["options"] = Options(**options)
        raw["addresses"] = Addresses(**raw["addresses"])
        return cls(**raw)


def write_state(state: State) -> None:
    """Write the state file; a reader sees the old one or the new one."""
    path = ClusterPaths.of(state.name).state
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(state.to_json())
    unfinished.rename(path)


def read_state(name: str) -> State | None:
    """Return the state of a cluster, or None where there is none."""
    path = ClusterPaths.of(name).state
    return State.from_json(path.read_text()) if path.exists() else None

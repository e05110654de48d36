"""Interfaces, routes, ports and kernel settings of the host."""

import contextlib
import ipaddress
import json
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from localcluster.commands import run, succeeds
from localcluster.spec import Addresses

_SYSCTLS = Path("/proc/sys")
#: What a node needs of the host's kernel, and what the kubelet sets: noted before, and put back by the last `down`.
FORWARDING = "net/ipv4/ip_forward"
_KUBELET_SYSCTLS = (
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)


def networks_in_use() -> list[ipaddress.IPv4Network]:
    """Return the networks that this machine has routes to, the default route aside."""
    routes: list[dict[str, Any]] = json.loads(run("ip", "-json", "-4", "route", "show", "table", "all") or "[]")
    found = []
    for route in routes:
        with contextlib.suppress(ValueError):
            found.append(ipaddress.IPv4Network(route["dst"], strict=False))
    return [network for network in found if network.prefixlen > 0]


def machine_address() -> str:
    """Return the address that this machine would use for the world, or loopback where there is none.

    No packet is sent: connecting a datagram socket only looks the route up.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("198.51.100.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def free_ports(preferred: dict[str, int], addresses: Iterable[str]) -> dict[str, int]:
    """Return a port for each name that is free on all of the addresses: the preferred one if it is."""
    taken: set[int] = set()
    chosen = {}
    for name, wish in preferred.items():
        port = wish
        while port in taken or not all(_is_free(address, port) for address in addresses):
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
        taken.add(port)
        chosen[name] = port
    return chosen


def _is_free(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
        return True


def add_bridge(addresses: Addresses) -> None:
    """Give the host an address of its own for the cluster: endpoints of Services may not be loopback."""
    run("ip", "link", "add", addresses.bridge, "type", "bridge")
    run("ip", "address", "add", f"{addresses.host}/{addresses.machines.prefixlen}", "dev", addresses.bridge)
    run("ip", "link", "set", addresses.bridge, "up")


def connect_node(addresses: Addresses, pid: int) -> None:
    """Put a link into the node's network, and let the host reach pods and Services through it.

    The kernel removes link and routes when the node's network goes.
    """
    peer = ("peer", "name", "eth0", "netns", str(pid))
    run("ip", "link", "add", addresses.uplink, "type", "veth", *peer)
    run("ip", "link", "set", addresses.uplink, "master", addresses.bridge, "up")
    for network in (addresses.pods, addresses.services):
        run("ip", "route", "replace", str(network), "via", addresses.node, "dev", addresses.bridge)


def add_masquerade(addresses: Addresses) -> None:
    """Let node and pods reach what the host reaches."""
    run("nft", "-f", "-", stdin=masquerade_rules(addresses))


def masquerade_rules(addresses: Addresses) -> str:
    """Return the rules, in a table of the cluster's own."""
    sources = f"{{ {addresses.machines}, {addresses.pods} }}"
    return (
        f"table ip localcluster-{addresses.bridge} {{\n"
        "  chain postrouting {\n"
        "    type nat hook postrouting priority srcnat;\n"
        f'    ip saddr {sources} oifname != "{addresses.bridge}" masquerade\n'
        "  }\n"
        "}\n"
    )


def remove(addresses: Addresses) -> None:
    """Remove bridge, link and table, as far as they are there."""
    for link in (addresses.uplink, addresses.bridge):
        if Path("/sys/class/net", link).exists():
            # The kernel may be removing it at this moment, with the network of the node.
            succeeds("ip", "link", "delete", link)
    table = ("table", "ip", f"localcluster-{addresses.bridge}")
    if succeeds("nft", "list", *table):
        run("nft", "delete", *table)


def read_sysctls() -> dict[str, str]:
    """Return the present values of the settings that a node changes."""
    names = (FORWARDING, *_KUBELET_SYSCTLS)
    return {name: (_SYSCTLS / name).read_text().strip() for name in names if (_SYSCTLS / name).exists()}


def write_sysctls(values: dict[str, str]) -> None:
    """Set kernel settings, where they differ."""
    for name, value in values.items():
        path = _SYSCTLS / name
        if path.exists() and path.read_text().strip() != value:
            path.write_text(value)


def upstream_name_servers() -> list[str]:
    """Return the name servers of the host that pods can reach, too: not those on loopback."""
    for path in (Path("/run/systemd/resolve/resolv.conf"), Path("/etc/resolv.conf")):
        if path.exists() and (servers := name_servers(path.read_text())):
            return servers
    return []


def name_servers(resolv_conf: str) -> list[str]:
    """Return the addresses in a resolv.conf that are not loopback."""
    lines = [line.split() for line in resolv_conf.splitlines()]
    addresses = [words[1] for words in lines if words[:1] == ["nameserver"] and len(words) > 1]
    return [address for address in addresses if not ipaddress.ip_address(address.partition("%")[0]).is_loopback]

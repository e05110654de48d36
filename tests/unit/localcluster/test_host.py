import socket

import pytest

from localcluster import cgroups, host, network, prerequisites
from localcluster.errors import LocalClusterError


@pytest.fixture
def kernel(monkeypatch):
    values = {network.FORWARDING: "0"}
    monkeypatch.setattr(network, "read_sysctls", lambda: dict(values))
    monkeypatch.setattr(network, "write_sysctls", values.update)
    return values


def test_the_last_cluster_puts_everything_back(tmp_path, kernel):
    home, made, there = tmp_path / "home", tmp_path / "made", tmp_path / "there"
    home.mkdir()
    there.mkdir()
    host.prepare(tmp_path / "a", (str(made), str(there)), home)
    host.prepare(tmp_path / "b", (str(made), str(there)), home)
    assert kernel[network.FORWARDING] == "1"
    host.restore(tmp_path / "a", home)
    assert made.exists()
    host.restore(tmp_path / "b", home)
    assert not made.exists()
    assert there.exists()
    assert kernel[network.FORWARDING] == "0"
    assert not home.exists()


def test_a_folder_that_somebody_uses_by_now_stays(tmp_path, kernel):
    home, made = tmp_path / "home", tmp_path / "made"
    home.mkdir()
    host.prepare(tmp_path / "a", (str(made),), home)
    (made / "theirs").touch()
    host.restore(tmp_path / "a", home)
    assert (made / "theirs").exists()


def test_groups_in_every_hierarchy_of_version_1(tmp_path):
    for name in ("cpu", "cpuset"):
        (tmp_path / name).mkdir()
    (tmp_path / "cpuacct").symlink_to("cpu")
    cgroups.create("unit", tmp_path)
    assert cgroups.groups("unit", tmp_path) == [
        tmp_path / "cpu/localcluster-unit",
        tmp_path / "cpuset/localcluster-unit",
    ]
    (tmp_path / "cpu/localcluster-unit/kubepods/pod").mkdir(parents=True)
    cgroups.remove("unit", tmp_path)
    assert cgroups.groups("unit", tmp_path) == []


def test_a_group_of_version_2_hands_its_controllers_down(tmp_path):
    (tmp_path / "cgroup.controllers").write_text("cpu memory\n")
    (tmp_path / "localcluster-unit").mkdir()
    (tmp_path / "localcluster-unit/cgroup.controllers").write_text("memory\n")
    cgroups.create("unit", tmp_path)
    assert (tmp_path / "localcluster-unit/cgroup.subtree_control").read_text() == "+memory"
    assert cgroups.groups("unit", tmp_path) == [tmp_path / "localcluster-unit"]


def test_capabilities_are_read_from_the_mask():
    assert prerequisites.capabilities_lacking("CapInh:\t0\nCapEff:\t000001fffeffffff\n") == []
    assert prerequisites.capabilities_lacking("CapEff:\t0000000000001000\n") == [
        "CAP_SYS_CHROOT",
        "CAP_SYS_ADMIN",
        "CAP_MKNOD",
    ]


def test_memory_is_read_in_bytes():
    assert prerequisites.memory_bytes("MemFree: 1 kB\nMemTotal:  2048 kB\n") == 2 * 1024**2


def test_what_only_root_can_install_is_told(monkeypatch):
    monkeypatch.setattr(prerequisites, "is_root", lambda: False)
    package = prerequisites.Package("moon-phase", "no-such-command")
    with pytest.raises(LocalClusterError, match="apt-get install moon-phase"):
        prerequisites.install([package])
    assert prerequisites.lacking_for_node() == ["it needs root"]


def test_a_port_in_use_is_replaced():
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = holder.getsockname()[1]
        chosen = network.free_ports({"one": taken}, ["127.0.0.1"])
    assert chosen["one"] != taken

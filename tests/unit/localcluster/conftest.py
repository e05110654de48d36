import pytest

from localcluster.spec import Addresses, Options, State


@pytest.fixture
def state() -> State:
    ports = {"etcd": 2379, "etcd-peer": 2380, "kube-apiserver": 6443}
    ports |= {"kube-controller-manager": 10257, "kube-scheduler": 10259}
    return State(Options(name="unit"), Addresses(3), "10.213.3.1", ports, privileged=True)


@pytest.fixture(autouse=True)
def homes(tmp_path, monkeypatch):
    monkeypatch.setenv("AUTOGLM_LOCAL_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("AUTOGLM_CACHE", str(tmp_path / "cache"))
    return tmp_path

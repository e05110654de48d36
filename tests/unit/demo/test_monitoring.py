"""When the demo gets a Prometheus."""

from pathlib import Path

import pytest

from autoglm_demo.commands import DemoError
from autoglm_demo.monitoring import url, wanted
from autoglm_demo.settings import Target
from localcluster import toolchain

LOCAL, OTHER = Target(), Target(Path("kubeconfig"), "registry.example")


@pytest.fixture(autouse=True)
def empty_home(tmp_path, monkeypatch):
    monkeypatch.setenv("AUTOGLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("AUTOGLM_LOCAL_HOME", str(tmp_path / "home"))
    return tmp_path


def test_it_is_given_if_asked_for_and_not_if_refused():
    assert wanted(LOCAL, asked=True)
    assert not wanted(LOCAL, asked=False)


def test_unasked_it_is_given_where_its_program_is_built_already(empty_home):
    assert not wanted(LOCAL, None)

    toolchain.path("prometheus").parent.mkdir(parents=True)
    toolchain.path("prometheus").touch()
    assert wanted(LOCAL, None)


def test_another_cluster_has_its_own():
    assert not wanted(OTHER, None)
    with pytest.raises(DemoError, match="--prometheus is for the local cluster; on another one use the Prometheus"):
        wanted(OTHER, asked=True)


def test_a_cluster_without_one_has_no_url():
    assert url("absent") is None

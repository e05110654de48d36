import pytest

from localcluster import toolchain
from localcluster.errors import LocalClusterError
from localcluster.toolchain import FAMILIES, Family


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_every_family_knows_its_version_and_brings_its_sums(family):
    assert family.version == "own" or family.version.startswith("v")
    assert family.version == "own" or (family.folder / "go.sum").stat().st_size > 0
    assert family.key.startswith(f"{family.name}-{family.version}-")


def test_kubernetes_stamps_its_version():
    version = toolchain.PROGRAMS["kubectl"].version
    assert f"gitVersion={version}" in toolchain.PROGRAMS["kubectl"].ldflags


def test_the_modules_of_kubernetes_are_all_of_one_release():
    lines = (toolchain.TOOLS / "kubernetes/go.mod").read_text().splitlines()
    replaced = {line.split()[-1] for line in lines if "=> k8s.io/" in line}
    assert replaced == {toolchain.PROGRAMS["kubectl"].version.replace("v1.", "v0.")}


def test_version_from_a_single_line_requirement():
    assert toolchain.module_version("module a\n\nrequire example.com/b v1.2.3\n", "example.com/b") == "v1.2.3"


def test_a_module_that_is_not_required_is_an_error():
    with pytest.raises(LocalClusterError, match="does not require"):
        toolchain.module_version("module a\n", "example.com/b")


def test_the_key_changes_with_the_sources(tmp_path, monkeypatch):
    monkeypatch.setattr(toolchain, "TOOLS", tmp_path)
    (tmp_path / "own").mkdir()
    source = tmp_path / "own/go.mod"
    source.write_text("module one\n")
    family = Family("own", "", {"own": "."})
    before = family.key
    source.write_text("module two\n")
    assert family.key != before


def test_only_what_is_asked_for_is_needed():
    assert "kwok" not in toolchain.needed(node=True, kwok=False)
    assert "kubelet" not in toolchain.needed(node=False, kwok=True)
    assert {"kubelet", "coredns", "pause", "kwok"} <= set(toolchain.needed(node=True, kwok=True))


def test_an_unknown_program_is_told_what_there_is():
    with pytest.raises(LocalClusterError, match="helm"):
        toolchain.path("hlem")


def test_a_build_that_fails_leaves_no_program(homes, monkeypatch):
    def fail(*_command, **_options):
        raise LocalClusterError("no compiler")

    monkeypatch.setattr(toolchain, "run", fail)
    monkeypatch.setattr(toolchain, "go", lambda: "go")
    with pytest.raises(LocalClusterError, match="no compiler"):
        toolchain.ensure(["pause"])
    assert toolchain.missing(["pause"]) == ["pause"]

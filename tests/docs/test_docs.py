"""What the documents say exists, and the examples are taken by the API."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from autoglm_operator.api.kinds import KINDS
from autoglm_operator.cli.main import _parser
from autoglm_operator.cli.schema import problems

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "bench").glob("*.md")])
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
KIND = {kind.names.kind: kind for kind in KINDS}
MEMBERS = ("operator", "agents/gpu", "agents/bench", "agents/fetch", "simulator", "demo", "localcluster")


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("document", DOCUMENTS, ids=_name)
def test_make_targets_exist(document):
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:^ {4}|`)make ([a-z][a-z-]*)", document.read_text(), re.MULTILINE))
    assert named <= targets, named - targets


@pytest.mark.parametrize("document", DOCUMENTS, ids=_name)
def test_links_lead_somewhere(document):
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text())
    missing = [link for link in links if not (document.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("example", EXAMPLES, ids=_name)
def test_examples_are_valid(example):
    for document in yaml.safe_load_all(example.read_text()):
        assert problems(document, KIND[document["kind"]]) == []


def test_the_example_in_the_readme_is_valid():
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        document = yaml.safe_load(block)
        assert problems(document, KIND[document["kind"]]) == []


def test_plugin_commands_in_the_readme_parse():
    lines = re.findall(r"^ {4}kubectl autoglm ([^#\n]+)", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert len(lines) >= 2
    for line in lines:
        _parser().parse_args(line.split())


def test_files_named_in_the_readme_exist():
    named = re.findall(r"`((?:examples|charts|docs|crds)/[\w./-]+)`", (ROOT / "README.md").read_text())
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("member", MEMBERS)
def test_each_runtime_dependency_has_a_reason(member):
    project = tomllib.loads((ROOT / member / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(item for group in project.get("optional-dependencies", {}).values() for item in group),
    ]
    names = {re.split(r"[\[<>=]", requirement)[0] for requirement in wanted}
    table = (ROOT / "docs/design/dependencies.md").read_text()
    missing = {
        name for name in names if not name.startswith("autoglm") and not re.search(rf"\b{re.escape(name)}\b", table)
    }
    assert not missing

"""What users get for whole files, kept to the byte: `pytest tests/golden --update-golden` writes them anew."""

from pathlib import Path

import pytest

from autoglm_operator.cli.render import render

HERE = Path(__file__).parent
CASES = {
    "autoglm": "examples/autoglm.yaml",
    "autoglm-h100": "examples/autoglm-h100.yaml",
    "autoglm-warm": "examples/autoglm-warm.yaml",
    "glm-two-nodes": "examples/glm-two-nodes.yaml",
    "sglang": "tests/golden/sglang.input.yaml",
    "claim-and-token": "tests/golden/claim-and-token.input.yaml",
}


@pytest.mark.parametrize("name", CASES)
def test_rendered(name, pytestconfig):
    source = pytestconfig.rootpath / CASES[name]
    rendered = f"# What `kubectl autoglm render -f {CASES[name]}` prints.\n" + render(source.read_text(), source.name)
    golden = HERE / f"{name}.yaml"
    if pytestconfig.getoption("--update-golden"):
        golden.write_text(rendered)
    assert rendered == golden.read_text(), "look at the difference, then run with --update-golden"


def test_no_golden_file_is_left_over():
    assert {path.stem for path in HERE.glob("*.yaml") if not path.stem.endswith(".input")} == set(CASES)

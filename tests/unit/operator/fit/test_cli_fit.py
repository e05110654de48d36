"""`kubectl autoglm fit` as a user runs it."""

import json
from pathlib import Path

import pytest

from autoglm_operator.cli.main import main

AUTOGLM = """\
apiVersion: autoglm.io/v1alpha1
kind: AutoGLMDeployment
metadata: {name: phone}
spec:
  model: {source: {huggingFace: %s}}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = tmp_path / "phone.yaml"
    found.write_text(AUTOGLM % "zai-org/AutoGLM-Phone-9B")
    return found


def test_a_model_that_fits(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "-f", str(file), "--gpu", "NVIDIA-H200"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("phone: needs 24.")
    assert "  Weights                       19.17 GiB" in out
    assert "instead" not in out


def test_a_model_that_does_not(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "-f", str(file), "--gpu", "NVIDIA-L4"]) == 1
    out = capsys.readouterr().out
    assert "does not fit one sequence of 25,480 tokens" in out
    assert "fp8: " in out
    assert "set spec.engine.quantization: fp8" in out


def test_a_gpu_that_nobody_named(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "-f", str(file)]) == 2
    assert "set spec.resources.gpu.product" in capsys.readouterr().out


def test_json(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "-f", str(file), "--gpu", "NVIDIA-L4", "-o", "json"]) == 1
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["name"], found["verdict"], found["gpu"]) == ("phone", "DoesNotFit", "NVIDIA-L4")
    assert found["memory"]["needed"] > found["memory"]["usable"]
    assert found["options"][0] == {"change": "fp8", "fields": {"engine.quantization": "fp8"}}


def test_a_configuration_of_ones_own(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(AUTOGLM % "mine/own")
    assert main(["fit", "-f", str(file), "--gpu", "NVIDIA-L4"]) == 2
    assert "--config FILE" in capsys.readouterr().out
    config = tmp_path / "config.json"
    config.write_text(
        json.dumps(
            {
                "model_type": "llama",
                "hidden_size": 64,
                "intermediate_size": 128,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "vocab_size": 1000,
                "max_position_embeddings": 4096,
            }
        )
    )
    assert main(["fit", "-f", str(file), "--gpu", "NVIDIA-L4", "--config", str(config)]) == 0


@pytest.mark.parametrize(
    ("text", "config", "message"),
    [
        ("", None, "no document"),
        ("{", None, "not YAML"),
        ("- 1", None, "got list"),
        ("kind: Pod", None, "phone.yaml"),
        (AUTOGLM % "a/b", "{", "not JSON"),
        (AUTOGLM % "a/b", "[]", "expected a JSON object, got list"),
        (AUTOGLM % "a/b", None, "cannot be read"),
    ],
)
def test_wrong_use(file: Path, capsys: pytest.CaptureFixture[str], text: str, config: str | None, message: str) -> None:
    file.write_text(text)
    given = file.with_suffix(".json")
    if config is not None:
        given.write_text(config)
    extra = ["--config", str(given)] if "a/b" in text else []
    assert main(["fit", "-f", str(file), *extra]) == 2
    assert message in capsys.readouterr().err

"""Parameter counts against transformers' own models, and what a `config.json` may say."""

import json
from pathlib import Path
from typing import Any

import pytest

from autoglm_operator.decide.fit.architecture import TRAITS, Architecture
from autoglm_operator.decide.fit.checkpoint import Checkpoint
from autoglm_operator.decide.fit.config import ConfigError
from autoglm_operator.decide.fit.models import known_config, known_ids
from autoglm_operator.decide.fit.parameters import Parameters
from autoglm_operator.decide.fit.weights import Weights, stages

#: Counted on the meta device with transformers 5.19.0 from the same configurations.
COUNTED: dict[str, int] = json.loads((Path(__file__).parent / "parameters.json").read_text())


def architecture(model_id: str) -> Architecture:
    config = known_config(model_id)
    assert config is not None
    return Architecture.parse(config)


@pytest.mark.parametrize("model_id", COUNTED)
def test_the_count_is_that_of_the_models_own_code(model_id: str) -> None:
    assert Parameters.of(architecture(model_id)).total == COUNTED[model_id]


def test_every_known_model_can_be_read() -> None:
    types = {architecture(model_id).model_type for model_id in known_ids()}
    assert len(known_ids()) > 150
    assert types == {architecture(model_id).model_type for model_id in COUNTED} == set(TRAITS)


def test_a_model_is_found_whatever_the_case_of_its_id() -> None:
    assert known_config("ZAI-org/autoglm-phone-9b") == known_config("zai-org/AutoGLM-Phone-9B")
    assert known_config("nobody/nothing") is None


def test_autoglm_by_group() -> None:
    parts = Parameters.of(architecture("zai-org/AutoGLM-Phone-9B"))
    assert parts.embedding == parts.lm_head == 151552 * 4096
    assert parts.attention + parts.dense_ffn == pytest.approx(8.159e9, rel=1e-3)
    assert parts.vision == pytest.approx(0.892e9, rel=1e-3)
    assert (parts.experts, parts.mtp) == (0, 0)


def test_the_head_that_guesses_tokens_is_counted_apart() -> None:
    parts = Parameters.of(architecture("deepseek-ai/DeepSeek-V3"))
    # 11.5 B without the embeddings, as DeepSeek states it.
    assert parts.mtp == pytest.approx(11.5e9, rel=0.01)


def test_files_of_deepseek_v3_have_the_size_that_the_hub_shows() -> None:
    model = architecture("deepseek-ai/DeepSeek-V3")
    assert Weights(model, model.checkpoint, 2).checkpoint_bytes() == pytest.approx(688.6e9, rel=0.01)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "mamba"}, "model_type mamba"),
        ({"hidden_size": None}, "hidden_size is missing"),
        ({"hidden_size": "4096"}, "hidden_size is 4096, expected a whole number"),
        ({"num_hidden_layers": 0}, "num_hidden_layers is 0"),
        ({"num_hidden_layers": True}, "num_hidden_layers is True"),
        ({"vocab_size": 10**30}, "vocab_size is 1000"),
        ({"quantization_config": {"quant_method": "hqq"}}, "quant_method is hqq"),
        ({"quantization_config": {"quant_method": "compressed-tensors"}}, "config_groups has no weights"),
    ],
)
def test_a_file_that_does_not_tell_is_refused_by_key(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("(", r"\(")):
        Architecture.parse({**(known_config("Qwen/Qwen3-8B") or {}), **change})


def test_an_unknown_vision_tower_is_not_guessed() -> None:
    config = {**(known_config("meta-llama/Llama-3.1-8B") or {}), "vision_config": {"hidden_size": 1024}}
    with pytest.raises(ConfigError, match="vision tower"):
        Architecture.parse(config)


def test_windows_are_read() -> None:
    assert (architecture("openai/gpt-oss-20b").window, architecture("openai/gpt-oss-20b").windowed_layers) == (128, 12)
    assert architecture("Qwen/Qwen3-8B").windowed_layers == 0


@pytest.mark.parametrize(
    ("config", "method", "weight_bytes"),
    [
        (None, "", 0.0),
        ({"quant_method": "awq", "bits": 4, "group_size": 128}, "awq", 0.5 + 2.5 / 128),
        ({"quant_method": "gptq", "bits": 8, "group_size": 128}, "gptq", 1 + 3 / 128),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "fp8", 1 + 4 / 16384),
        ({"quant_method": "fp8"}, "fp8", 1.0),
        ({"quant_method": "mxfp4"}, "mxfp4", 0.53125),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "modelopt_fp4", 0.5625),
        ({"quant_method": "modelopt", "quant_algo": "FP8"}, "modelopt", 1.0),
    ],
)
def test_formats(config: dict[str, Any] | None, method: str, weight_bytes: float) -> None:
    found = Checkpoint.parse(config)
    assert found.method == method
    assert found.weight_bytes == pytest.approx(weight_bytes)


def test_attention_is_kept_only_if_all_of_it_is() -> None:
    every = {"quant_method": "fp8", "modules_to_not_convert": [f"model.layers.{i}.self_attn" for i in range(4)]}
    assert Checkpoint.parse(every).keeps_attention(4)
    assert not Checkpoint.parse(every).keeps_attention(5)
    assert Checkpoint.parse({"quant_method": "mxfp4", "ignore": ["model.layers.*.self_attn"]}).keeps_attention(99)
    assert not Checkpoint.parse({"quant_method": "fp8", "ignore": ["visual.blocks.0.attn"]}).keeps_attention(1)


def test_many_layers_take_no_longer() -> None:
    model = Architecture.parse({**(known_config("openai/gpt-oss-20b") or {}), "num_hidden_layers": 1 << 40})
    assert Weights(model, model.checkpoint, 2).checkpoint_bytes() > 1 << 60


def test_left_over_layers_go_to_the_middle_stages() -> None:
    assert [len(stage.layers) for stage in stages(10, 4)] == [2, 3, 3, 2]
    assert [len(stage.layers) for stage in stages(9, 2)] == [5, 4]
    assert [len(stage.layers) for stage in stages(40, 1)] == [40]

"""What a replica is believed to carry, before anybody has seen one."""

import math

import pytest

from autoglm_operator.api.v1alpha1 import Spec
from autoglm_operator.decide.allocated import GpuFacts
from autoglm_operator.decide.fit import Gpu, architecture_of
from autoglm_operator.decide.fit.gpus import _table
from autoglm_operator.decide.scaling.prior import active_parameters, prior_of

H100 = "NVIDIA-H100-80GB-HBM3"


def spec(model="Qwen/Qwen3-8B", product=H100, **changed):
    engine = {"type": "vLLM"} | changed.pop("engine", {})
    gpu = {"count": 1} | ({"product": product} if product else {}) | changed.pop("gpu", {})
    resources = {"gpu": gpu} | changed
    return Spec.model_validate({"model": {"source": {"huggingFace": model}}, "engine": engine, "resources": resources})


@pytest.mark.parametrize(
    ("product", "step", "prefill"),
    [(H100, (0.010, 0.015), (0.00003, 0.0003)), ("NVIDIA-L40S", (0.025, 0.035), (0.0001, 0.001))],
)
def test_a_model_of_8b_is_about_as_fast_as_published(product, step, prefill):
    found = prior_of(spec(product=product))
    assert step[0] < found.decode_base < step[1]
    assert prefill[0] < found.prefill_per_token < prefill[1]
    assert 0.0001 < found.decode_per_sequence < 0.0006
    assert found.max_batch == (1024 if product == H100 else 256)


def test_a_faster_gpu_a_smaller_format_and_more_ranks_are_faster():
    plain = prior_of(spec())
    assert prior_of(spec(product="NVIDIA-H200")).decode_base < plain.decode_base
    fp8 = prior_of(spec(engine={"quantization": "fp8"}))
    assert fp8.decode_base < plain.decode_base
    assert fp8.prefill_per_token == pytest.approx(plain.prefill_per_token / 2)
    two = prior_of(spec(gpu={"count": 2}, parallelism={"tensor": 2}))
    assert two.decode_base < plain.decode_base
    assert two.prefill_per_token == pytest.approx(plain.prefill_per_token / 2)
    apart = prior_of(spec(gpu={"count": 2}, parallelism={"data": 2}))
    assert apart.decode_base == plain.decode_base
    assert apart.prefill_per_token == pytest.approx(plain.prefill_per_token / 2)
    assert apart.max_batch == 2 * plain.max_batch
    assert apart.kv_tokens == pytest.approx(2 * plain.kv_tokens, rel=0.05)


def test_a_part_of_a_gpu_is_slower():
    whole = prior_of(spec("Qwen/Qwen3-0.6B"))
    part = prior_of(spec("Qwen/Qwen3-0.6B", gpu={"migProfile": "3g.40gb"}))
    assert part.decode_base > whole.decode_base
    assert part.prefill_per_token == pytest.approx(whole.prefill_per_token * 7 / 3)


def test_the_spec_and_the_engines_say_what_fits():
    found = prior_of(spec(engine={"batching": {"maxNumSeqs": 64}}), kv_tokens=77_000)
    assert (found.max_batch, found.kv_tokens) == (64.0, 77_000.0)


@pytest.mark.parametrize(
    "unknown",
    [
        spec(product=None),
        spec(product="NVIDIA-GeForce-GT-710"),
        spec(model="somebody/something"),
        spec(engine={"type": "Simulator", "simulator": {"profile": "h100-autoglm-9b"}}),
        spec(gpu={"count": 0}, product=None, cpu="4"),
    ],
    ids=["no product", "unknown product", "unknown model", "simulator", "no GPU"],
)
def test_what_is_not_known_is_not_believed(unknown):
    assert prior_of(unknown) is None


def test_of_experts_those_count_that_a_token_uses():
    dense = active_parameters(architecture_of(spec("Qwen/Qwen3-8B")))
    assert dense == pytest.approx(7.6e9, rel=0.03)
    mixture = active_parameters(architecture_of(spec("Qwen/Qwen3-30B-A3B")))
    assert mixture == pytest.approx(3.0e9, rel=0.1)


def test_each_product_has_bandwidth_and_operations_of_a_data_sheet():
    for gpu in _table().values():
        assert 2e11 < gpu.bandwidth < 1e13
        assert 5e13 < gpu.flops < 3e15
        # 37 (H20) to 419 (L40S).
        assert 30 < gpu.flops / gpu.bandwidth < 450
    half = Gpu.of(GpuFacts(H100, memory_mib=40_000))
    assert (half.bandwidth, half.flops) == (None, None), "nobody says how a virtual GPU shares them"
    assert math.isclose(Gpu.of(GpuFacts(H100)).flops, 989e12)

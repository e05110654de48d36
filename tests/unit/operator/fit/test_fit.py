"""The judgement: sentences, refusals, options, and the engine's own figures beside it."""

from typing import Any

import pytest

from autoglm_operator.api.quantity import GIBIBYTE
from autoglm_operator.api.v1alpha1 import Spec
from autoglm_operator.decide.allocated import GpuFacts
from autoglm_operator.decide.fit import Fit, Gpu, Missing, Verdict, architecture_of, assess, compare, draft_of, refuse
from autoglm_operator.decide.reasons import Reason
from autoglm_operator.errors import Terminal

AUTOGLM = "zai-org/AutoGLM-Phone-9B"
H100 = "NVIDIA-H100-80GB-HBM3"


def spec(model_id: str = AUTOGLM, /, **parts: Any) -> Spec:
    given = {"source": {"huggingFace": model_id}, **parts.pop("model", {})}
    return Spec.model_validate({"model": given, **parts})


def judged(wanted: Spec, product: str | None = H100, version: str = "0.33.0", **facts: Any) -> Fit:
    return assess(wanted, GpuFacts(product=product, **facts), architecture_of(wanted), version, draft=draft_of(wanted))


def spread(tensor: int = 1, pipeline: int = 1, data: int = 1, **more: Any) -> dict[str, Any]:
    parallelism = {"tensor": tensor, "pipeline": pipeline, "data": data, **more}
    return {"gpu": {"count": tensor * pipeline * data}, "parallelism": parallelism}


def test_what_fits_says_for_how_many() -> None:
    fit = judged(spec())
    assert fit.verdict is Verdict.FITS
    assert fit.sentence == "needs 24.1 GiB, NVIDIA-H100-80GB-HBM3 has 72.8 usable: fits 51 sequences of 25,480 tokens"
    assert (fit.fits, fit.reason, fit.options) == (True, Reason.FITS, ())
    refuse(fit)


def test_what_does_not_fit_says_what_would() -> None:
    fit = judged(spec(), "NVIDIA-L4")
    assert fit.verdict is Verdict.DOES_NOT_FIT
    assert fit.sentence.startswith("does not fit one sequence of 25,480 tokens: needs 21.9 GiB, NVIDIA-L4 has 20.3")
    assert fit.sentence.endswith("use fp8, or TP=2, or a larger GPU (NVIDIA-GeForce-RTX-5090)")
    with pytest.raises(Terminal, match="does not fit") as refused:
        refuse(fit)
    assert refused.value.reason == Reason.DOES_NOT_FIT


def test_a_shorter_context_is_the_longest_that_fits() -> None:
    wanted = spec("Qwen/Qwen2.5-7B-Instruct", model={"contextLength": 1_000_000})
    fit = judged(wanted, "NVIDIA-L4")
    length = next(value for one in fit.options for name, value in one.fields if name == "model.contextLength")
    assert isinstance(length, int)
    assert judged(spec("Qwen/Qwen2.5-7B-Instruct", model={"contextLength": length}), "NVIDIA-L4").fits is True
    longer = spec("Qwen/Qwen2.5-7B-Instruct", model={"contextLength": length + 256})
    assert judged(longer, "NVIDIA-L4").fits is not True


def test_nothing_is_refused_within_doubt() -> None:
    fit = judged(spec(), "NVIDIA-GeForce-RTX-4090")
    assert (fit.verdict, fit.fits, fit.reason) == (Verdict.TIGHT, None, Reason.FIT_UNKNOWN)
    assert fit.sentence.startswith("may not fit")
    refuse(fit)


@pytest.mark.parametrize(
    ("wanted", "product", "part"),
    [
        (spec("nobody/nothing"), H100, "`kubectl autoglm fit --config FILE`"),
        (spec(), None, "nvidia.com/gpu.memory"),
        (spec(), "NVIDIA-X900", "nvidia.com/gpu.memory"),
        (spec(resources={"gpu": {"count": 0}}), H100, "no GPU is used"),
        (spec(engine={"type": "Simulator"}), H100, "no GPU is used"),
        (
            spec("Qwen/Qwen3-8B", engine={"speculative": {"method": "draftModel", "model": "nobody/small"}}),
            H100,
            "draft model nobody/small",
        ),
    ],
)
def test_what_is_not_known_is_said(wanted: Spec, product: str | None, part: str) -> None:
    fit = judged(wanted, product)
    assert (fit.verdict, fit.fits, fit.reason) == (Verdict.UNKNOWN, None, Reason.FIT_UNKNOWN)
    assert part in fit.sentence
    refuse(fit)
    assert compare(fit, 1000) is None


def test_why_the_configuration_was_not_read_is_passed_on() -> None:
    found = architecture_of(spec("nobody/nothing"), "config.json of nobody/nothing is not public (HTTP 401)")
    assert isinstance(found, Missing)
    assert "HTTP 401" in found.why


@pytest.mark.parametrize(
    ("parts", "product", "reason", "message"),
    [
        (
            {"model": {"dtype": "bfloat16"}},
            "Tesla-T4",
            Reason.DTYPE_UNSUPPORTED,
            "spec.model.dtype: bfloat16: Tesla-T4",
        ),
        ({"engine": {"quantization": "fp8"}}, "Tesla-V100-SXM2-32GB", Reason.QUANTIZATION_UNSUPPORTED, "needs 7.5"),
        ({"engine": {"quantization": "awq"}}, "Tesla-V100-SXM2-32GB", Reason.QUANTIZATION_UNSUPPORTED, "awq"),
        ({"engine": {"quantization": "mxfp4"}}, "Tesla-T4", Reason.QUANTIZATION_UNSUPPORTED, "needs 8.0"),
        ({"engine": {"quantization": "quark"}}, "NVIDIA-A100-SXM4-80GB", Reason.QUANTIZATION_UNSUPPORTED, "needs 8.9"),
    ],
)
def test_formats_that_a_gpu_cannot_do_are_refused(
    parts: dict[str, Any], product: str, reason: Reason, message: str
) -> None:
    fit = judged(spec(**parts), product)
    assert fit.verdict is Verdict.UNSUPPORTED
    with pytest.raises(Terminal, match=message) as refused:
        refuse(fit)
    assert refused.value.reason == reason


def test_fp8_on_ampere_is_noted() -> None:
    assert "does not compute in FP8" in judged(spec(engine={"quantization": "fp8"}), "NVIDIA-A100-SXM4-80GB").notes[0]
    assert judged(spec(engine={"quantization": "fp8"})).notes == ()


def weights(**parts: Any) -> float:
    fit = judged(spec(parts.pop("model_id", AUTOGLM), **parts), "NVIDIA-H200")
    assert fit.parts is not None
    return fit.parts.weights / GIBIBYTE


def test_weights_are_shared_out() -> None:
    assert weights() == pytest.approx(19.17, rel=1e-3)
    assert weights(engine={"quantization": "fp8"}) == pytest.approx(11.57, rel=1e-3)
    # The vision tower, 1.66 GiB, is whole on each rank, as the publisher's command line has it.
    assert weights(resources=spread(2)) == pytest.approx((19.17 - 1.66) / 2 + 1.66, rel=0.01)
    assert weights(engine={"cpuOffload": "8Gi"}) == weights()
    assert weights(engine={"lora": {"adapters": [{"name": "a", "source": {"huggingFace": "x/y"}}]}}) > weights()


def test_experts_are_shared_out_over_data_parallel_ranks() -> None:
    alone = weights(model_id="Qwen/Qwen3-30B-A3B", resources=spread(1))
    assert weights(model_id="Qwen/Qwen3-30B-A3B", resources=spread(1, data=8)) < alone / 4
    whole = {"engine": {"type": "SGLang"}, "resources": spread(1, data=8)}
    assert weights(model_id="Qwen/Qwen3-30B-A3B", **whole) == alone


def test_a_head_that_guesses_costs_weights_and_cache() -> None:
    resources = spread(8)
    plain = judged(spec("zai-org/GLM-4.5", resources=resources), "NVIDIA-H200")
    guessing = {"speculative": {"method": "mtp"}}
    head = judged(spec("zai-org/GLM-4.5", engine=guessing, resources=resources), "NVIDIA-H200")
    assert plain.parts is not None
    assert head.parts is not None
    assert head.parts.weights > plain.parts.weights
    assert head.tokens < plain.tokens


def test_cpu_offload_leaves_room() -> None:
    more = judged(spec(engine={"cpuOffload": "8Gi"}), "NVIDIA-L4")
    assert more.parts is not None
    assert more.parts.offloaded == 8 * GIBIBYTE
    assert more.fits is True


def test_a_cpu_tier_is_told_in_tokens() -> None:
    fit = judged(spec(engine={"kvCache": {"cpuOffload": "40Gi"}}))
    assert fit.cpu_tokens == 40 * GIBIBYTE // 40960
    assert "1,048,576 tokens in CPU memory" in fit.sentence


def test_utilization_follows_the_release() -> None:
    new, old = judged(spec(), version="0.20.0"), judged(spec(), version="0.19.1")
    assert new.parts is not None
    assert old.parts is not None
    assert new.parts.budget / old.parts.budget == pytest.approx(0.92 / 0.90)
    assert judged(spec(), version="unreadable").parts == judged(spec(), version="0.33.0").parts


@pytest.mark.parametrize(
    ("product", "version", "visible", "reserved"),
    [
        ("NVIDIA-L4", "0.5.19", 22563, 512 + 1.5 * 2048 + 128 + 2 * 24),
        ("NVIDIA-L4", "0.5.20", 22563, 512 + 1.5 * 4096 + 128 + 2 * 48),
        (H100, "0.5.23", 81085, 512 + 1.5 * 8192 + 128 + 2 * 256),
    ],
)
def test_the_share_of_sglang(product: str, version: str, visible: int, reserved: float) -> None:
    fit = judged(spec("Qwen/Qwen3-0.6B", engine={"type": "SGLang"}), product, version)
    assert fit.parts is not None
    # Of what is free beside CUDA's context.
    expected = (visible - 512) * (visible - reserved) / visible
    assert fit.parts.budget / (1 << 20) == pytest.approx(expected, abs=1)


def test_sglang_leaves_more_for_images() -> None:
    text = judged(spec("zai-org/GLM-4-9B-0414", engine={"type": "SGLang"}))
    images = judged(spec(engine={"type": "SGLang"}))
    assert text.parts is not None
    assert images.parts is not None
    assert images.parts.budget / text.parts.budget == pytest.approx(0.95 * 0.875, rel=1e-3)


@pytest.mark.parametrize(
    ("facts", "profile", "gib", "compute"),
    [
        (GpuFacts(product=H100), None, 79.18, (9, 0)),
        (GpuFacts(product=f"{H100}-SHARED"), None, 79.18, (9, 0)),
        (GpuFacts(product=H100, memory_mib=81559), None, 79.18, (9, 0)),
        (GpuFacts(product=H100, memory_mib=40960), None, 39.5, (9, 0)),
        (GpuFacts(product="NVIDIA-X900", memory_mib=49152), None, 47.5, None),
        (GpuFacts(product="NVIDIA-A100-SXM4-80GB"), "1g.10gb", 9.5, (8, 0)),
        (GpuFacts(product="NVIDIA-A100-SXM4-80GB"), "3g.40gb", 39.25, (8, 0)),
        (GpuFacts(product="NVIDIA-H200"), "3g.71gb", 69.5, (9, 0)),
        (GpuFacts(product="NVIDIA-B200"), "2g.45gb", 44.0, (10, 0)),
        (GpuFacts(product=H100, memory_mib=40448), "3g.40gb", 39.5, (9, 0)),
    ],
)
def test_memory_of_gpus_and_slices(facts: GpuFacts, profile: str | None, gib: float, compute: Any) -> None:
    gpu = Gpu.of(facts, profile)
    assert gpu is not None
    assert gpu.visible / GIBIBYTE == pytest.approx(gib, rel=0.03)
    assert gpu.compute == compute


def test_a_slice_of_an_unknown_gpu_is_unknown() -> None:
    assert Gpu.of(GpuFacts(product="NVIDIA-X900"), "3g.40gb") is None


def test_the_engines_own_figures_are_compared() -> None:
    fit = judged(spec())
    near = compare(fit, round(fit.tokens * 0.98), 19.2)
    assert near is not None
    assert not near.off
    assert near.kv_error_percent == pytest.approx(2.04, abs=0.01)
    far = compare(fit, round(fit.tokens * 0.9))
    assert far is not None
    assert far.off
    assert f"{fit.tokens:,} were expected (+11.1 %)" in far.sentence
    heavy = compare(fit, fit.tokens, 25.0)
    assert heavy is not None
    assert heavy.off
    assert heavy.weights_error_percent == pytest.approx(-23.3, abs=0.1)
    assert compare(fit, 0) is None

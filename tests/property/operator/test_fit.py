"""Memory fit over random models, specs and GPUs."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from autoglm_operator.api.v1alpha1 import Spec
from autoglm_operator.decide.allocated import GpuFacts
from autoglm_operator.decide.fit import Architecture, Fit, Verdict, assess
from autoglm_operator.decide.fit.config import ConfigError
from autoglm_operator.decide.fit.gpus import products
from autoglm_operator.decide.fit.models import known_config, known_ids

VERSIONS = st.sampled_from(["0.12.0", "0.19.1", "0.20.0", "0.28.0", "0.33.0"])
MODELS = st.sampled_from(known_ids())
POWERS = st.sampled_from([1, 2, 4, 8])
COMPUTE = st.sampled_from([(7, 0), (7, 5), (8, 0), (8, 9), (9, 0), (10, 0)])
MEMORY = st.integers(1024, 300_000)
CONTEXT = st.integers(256, 10_000_000)


@st.composite
def specs(draw: st.DrawFn) -> Spec:
    tensor, pipeline, data = draw(POWERS), draw(st.integers(1, 4)), draw(st.integers(1, 4))
    engine: dict[str, Any] = {
        "type": draw(st.sampled_from(["vLLM", "SGLang"])),
        "quantization": draw(st.none() | st.sampled_from(["fp8", "awq", "gptq", "mxfp4"])),
        "kvCache": {
            "dtype": draw(st.sampled_from(["auto", "fp8_e4m3"])),
            "utilizationPercent": draw(st.none() | st.integers(10, 98)),
            "cpuOffload": draw(st.none() | st.just("16Gi")),
        },
        "cpuOffload": draw(st.none() | st.just("4Gi")),
        "batching": {
            "maxNumSeqs": draw(st.none() | st.integers(1, 65_536)),
            "maxBatchedTokens": draw(st.none() | st.integers(16, 1_048_576)),
        },
        "speculative": draw(st.none() | st.sampled_from([{"method": "ngram"}, {"method": "mtp"}, {"method": "eagle"}])),
    }
    return Spec.model_validate(
        {
            "model": {"source": {"huggingFace": "some/model"}, "contextLength": draw(st.none() | CONTEXT)},
            "engine": engine,
            "resources": {
                "gpu": {"count": tensor * pipeline * data},
                "parallelism": {"tensor": tensor, "pipeline": pipeline, "data": data},
            },
        }
    )


def known(model_id: str) -> Architecture:
    config = known_config(model_id)
    assert config is not None
    return Architecture.parse(config)


def judged(spec: Spec, model_id: str, memory: int, version: str = "0.33.0") -> Fit:
    return assess(spec, GpuFacts(memory_mib=memory, compute=(9, 0)), known(model_id), version)


def with_tensor(spec: Spec, tensor: int) -> Spec:
    resources = spec.resources
    parallelism = resources.parallelism.model_copy(update={"tensor": tensor})
    gpu = resources.gpu.model_copy(update={"count": tensor * parallelism.pipeline * parallelism.data})
    return spec.model_copy(update={"resources": resources.model_copy(update={"parallelism": parallelism, "gpu": gpu})})


def with_context(spec: Spec, length: int) -> Spec:
    return spec.model_copy(update={"model": spec.model.model_copy(update={"context_length": length})})


@given(spec=specs(), model_id=MODELS, memory=MEMORY, percent=st.integers(10, 98), more=st.integers(0, 300_000))
@settings(deadline=None)
def test_more_memory_never_fits_less(spec: Spec, model_id: str, memory: int, percent: int, more: int) -> None:
    # With a given batch: a larger GPU has a larger default batch, which can leave less.
    batching = spec.engine.batching.model_copy(update={"max_num_seqs": 256, "max_batched_tokens": 2048})
    cache = spec.engine.kv_cache.model_copy(update={"utilization_percent": percent})
    engine = spec.engine.model_copy(update={"batching": batching, "kv_cache": cache})
    spec = spec.model_copy(update={"engine": engine})
    less, most = judged(spec, model_id, memory), judged(spec, model_id, memory + more)
    assert most.sequences >= less.sequences
    assert most.fits is not False or less.fits is False


@given(spec=specs(), model_id=MODELS, memory=MEMORY, short=CONTEXT, more=st.integers(0, 1_000_000))
@settings(deadline=None)
def test_more_tokens_never_need_less(spec: Spec, model_id: str, memory: int, short: int, more: int) -> None:
    one, other = (judged(with_context(spec, length), model_id, memory) for length in (short, short + more))
    assert one.parts is not None
    assert other.parts is not None
    assert other.parts.needed >= one.parts.needed


@given(spec=specs(), model_id=MODELS, tensor=POWERS)
@settings(deadline=None)
def test_tensor_parallelism_never_raises_weights(spec: Spec, model_id: str, tensor: int) -> None:
    spec = spec.model_copy(update={"engine": spec.engine.model_copy(update={"speculative": None})})
    one, other = (judged(with_tensor(spec, width), model_id, 80_000) for width in (tensor, tensor * 2))
    assert one.parts is not None
    assert other.parts is not None
    assert other.parts.weights <= one.parts.weights


@given(spec=specs(), model_id=MODELS, version=VERSIONS, index=st.integers(0, len(products()) - 1))
@settings(deadline=None, max_examples=60)
def test_every_proposed_option_fits(spec: Spec, model_id: str, version: str, index: int) -> None:
    gpu, model = products()[index], known(model_id)
    fit = assess(spec, GpuFacts(product=gpu.name), model, version)
    for option in fit.options:
        document = spec.model_dump(by_alias=True, mode="json")
        product = gpu.name
        for path, value in option.fields:
            *parents, last = path.split(".")
            place = document
            for name in parents:
                place = place[name]
            place[last] = value
            product = str(value) if path == "resources.gpu.product" else product
        again = assess(Spec.model_validate(document), GpuFacts(product=product), model, version)
        assert again.verdict is Verdict.FITS, (option, again.sentence)


NUMBERS = st.none() | st.booleans() | st.floats() | st.text(max_size=4) | st.integers(-2, 1 << 70)
BASES = st.sampled_from([known_config(model_id) or {} for model_id in known_ids()])


@given(data=st.data(), base=BASES, spec=specs(), memory=st.integers(-5, 1 << 60), compute=st.none() | COMPUTE)
@settings(deadline=None, max_examples=200)
def test_no_configuration_breaks_it(
    data: st.DataObject, base: dict[str, Any], spec: Spec, memory: int, compute: tuple[int, int] | None
) -> None:
    keys = st.sampled_from(sorted(base))
    config = {**base, **data.draw(st.dictionaries(keys, NUMBERS | st.lists(NUMBERS, max_size=3), max_size=3))}
    try:
        model = Architecture.parse(config)
    except ConfigError as error:
        assert str(error)  # noqa: PT017  # either outcome is right
        return
    fit = assess(spec, GpuFacts(memory_mib=memory, compute=compute), model, "0.33.0")
    assert fit.sentence
    assert fit.sequences >= 0

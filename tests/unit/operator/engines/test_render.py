"""What holds for both engines: what is rendered is owned, known to each release, and quickly made."""

import time
from itertools import product

import pytest

from autoglm_operator.api.v1alpha1 import EngineType, KvCacheDType, Quantization, SpeculativeMethod
from autoglm_operator.errors import Terminal
from autoglm_operator.render.engines import Role, render
from autoglm_operator.render.engines.owned_flags import SGLANG_OWNED, VLLM_OWNED
from autoglm_operator.render.engines.release import releases, resolve

OWNED = {EngineType.VLLM: VLLM_OWNED, EngineType.SGLANG: SGLANG_OWNED}
EVERYTHING = {
    "model": {"source": {"huggingFace": "a/b"}, "revision": "abc", "contextLength": 4096, "dtype": "bfloat16"},
    "batching": {"maxNumSeqs": 64, "maxBatchedTokens": 8192, "chunkedPrefill": False, "maxQueuedRequests": 10},
    "quantization": "fp8",
    "kvCache": {"utilizationPercent": 92, "dtype": "fp8_e4m3", "cpuOffload": "64Gi"},
    "cpuOffload": "8Gi",
    "lora": {"adapters": [{"name": "x", "source": {"huggingFace": "a/x"}}], "maxCpuLoras": 8},
    "resources": {"gpu": {"count": 8}, "parallelism": {"tensor": 4, "pipeline": 2, "nodes": 2, "expert": True}},
    "tracing": {"endpoint": "http://otel:4317"},
}
#: The fastest of these many renderings is the cost of the code; the others are the machine's.
TIMES = 50
MOST_SECONDS = 0.002


@pytest.mark.parametrize("engine", list(OWNED))
def test_what_carries_a_field_is_owned(engine, options):
    release = resolve(engine, "")
    spec = EVERYTHING | {"speculative": {"method": "eagle", "model": "a/head"}}
    for role in (Role.LEADER, Role.WORKER):
        for word in options(engine.value, role=role, **spec):
            assert set(release.flags[word].spellings) & set(OWNED[engine]), word


@pytest.mark.parametrize(("engine", "version"), [(engine, version) for engine in OWNED for version in releases(engine)])
def test_each_release_has_what_is_rendered_for_it(engine, version, options):
    release = resolve(engine, version)
    spec = EVERYTHING | {"batching": {}} if engine is EngineType.VLLM else EVERYTHING
    for word, values in options(engine.value, version, role=Role.LEADER, **spec).items():
        flag = release.flags[word]
        assert (flag.kind == "none") == (not values), word
        assert not flag.choices or set(values) <= set(flag.choices), word


@pytest.mark.parametrize(("engine", "version"), [(engine, version) for engine in OWNED for version in releases(engine)])
def test_each_choice_is_taken_or_refused_by_name(engine, version, process):
    release = resolve(engine, version)
    choices = [({"quantization": one}, "--quantization", one) for one in Quantization]
    choices += [({"kvCache": {"dtype": one}}, "--kv-cache-dtype", one) for one in KvCacheDType if one != "auto"]
    for spec, name, value in choices:
        if value in release.flags[name].choices:
            assert value in process(engine.value, version, **spec).args
            continue
        with pytest.raises(Terminal, match=rf"{value}: {engine} {version} cannot express it") as refused:
            process(engine.value, version, **spec)
        assert refused.value.reason == "UnsupportedByEngine"


def test_every_method_of_speculation_has_a_word_in_both_engines(options):
    for engine, method in product(OWNED, SpeculativeMethod):
        drafted = method in {SpeculativeMethod.EAGLE, SpeculativeMethod.EAGLE3, SpeculativeMethod.DRAFT_MODEL}
        speculative = {"method": method, **({"model": "a/b"} if drafted else {})}
        assert [word for word in options(engine.value, speculative=speculative) if word.startswith("--speculative")]


@pytest.mark.parametrize("engine", list(OWNED))
def test_rendering_takes_less_than_two_milliseconds(engine, plan_of):
    plan = plan_of(engine.value, **EVERYTHING, extraArgs=["--skip-tokenizer-init"])
    render(plan)
    durations = []
    for _ in range(TIMES):
        started = time.perf_counter()
        render(plan)
        durations.append(time.perf_counter() - started)
    assert min(durations) < MOST_SECONDS

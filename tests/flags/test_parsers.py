"""What is accepted starts: command lines rendered over the whole spec go through the engines' own argument parsers."""

import json
import re
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from autoglm_operator.api import types
from autoglm_operator.api.v1alpha1 import (
    DType,
    EngineType,
    KvCacheDType,
    LoraAdapter,
    Quantization,
    Spec,
    SpeculativeMethod,
)
from autoglm_operator.api.validation import violations
from autoglm_operator.decide.plan import make_plan
from autoglm_operator.errors import Terminal
from autoglm_operator.observe.world import Deployment, Observed
from autoglm_operator.render.engines import Role, release, render
from autoglm_operator.render.engines.owned_flags import SGLANG_OWNED, VLLM_OWNED
from autoglm_operator.settings import Images

pytestmark = pytest.mark.flags

#: The first release that serves AutoGLM, one in the middle and the newest.
VERSIONS = [
    (EngineType.VLLM, "0.12.0"),
    (EngineType.VLLM, "0.20.0"),
    (EngineType.VLLM, "0.33.0"),
    (EngineType.SGLANG, "0.5.6.post1"),
    (EngineType.SGLANG, "0.5.15"),
    (EngineType.SGLANG, "0.5.23"),
]
#: Accepted specs for each of them.
SPECS = 2000
OWNED = {EngineType.VLLM: VLLM_OWNED, EngineType.SGLANG: SGLANG_OWNED}
GROUP = {"LWS_LEADER_ADDRESS": "autoglm-0.autoglm-0.team-a", "LWS_WORKER_INDEX": "1"}
#: Flags whose value must be a file that is there when the parser runs.
FILES = ("--chat-template",)
#: A value of each form that a flag may want.
VALUES = {None: "$(HF_TOKEN) --x", "int": "3", "float": "0.5", "amount": "8k", "json": "{}", "list": "[1]"}


def matching(pattern, longest=60):
    return st.from_regex(re.compile(pattern, re.ASCII), fullmatch=True).filter(
        lambda text: len(text) <= longest and "\n" not in text
    )


MODEL_IDS = matching(types.MODEL_ID_PATTERN)
NAMES = matching(types.SERVED_NAME_PATTERN)
REVISIONS = matching(types.REVISION_PATTERN)
PATHS = matching(types.PATH_PATTERN)
MEMORY = st.sampled_from(["512Mi", "7.5Gi", "16Gi", "64G", "1Ti"])


def maybe(**fields):
    return st.fixed_dictionaries({}, optional=fields)


def claims():
    return st.builds(lambda rest: {"claimName": "weights", **rest}, maybe(path=PATHS))


def sources():
    return st.one_of(
        st.sampled_from(["zai-org/AutoGLM-Phone-9B", "zai-org/AutoGLM-Phone-9B-Multilingual"]).map(
            lambda model: {"huggingFace": model}
        ),
        MODEL_IDS.map(lambda model: {"huggingFace": model}),
        MODEL_IDS.map(lambda model: {"modelScope": model}),
        claims().map(lambda claim: {"pvc": claim}),
        maybe(path=PATHS).map(lambda rest: {"ociImage": {"reference": "registry.corp/models/phone:1", **rest}}),
        st.just({"url": "https://mirror.corp/models/phone"}),
    )


def models():
    return st.builds(
        lambda source, rest: {"source": source, **rest},
        sources(),
        maybe(
            revision=REVISIONS,
            servedName=NAMES,
            contextLength=st.integers(256, 200_000),
            dtype=st.sampled_from(list(DType)),
            trustRemoteCode=st.booleans(),
        ),
    )


def speculative():
    drafts = {SpeculativeMethod.EAGLE, SpeculativeMethod.EAGLE3, SpeculativeMethod.DRAFT_MODEL}
    return st.builds(
        lambda method, model, tokens: {"method": method, **({"model": model} if method in drafts else {}), **tokens},
        st.sampled_from(list(SpeculativeMethod)),
        MODEL_IDS,
        maybe(numTokens=st.integers(1, 32)),
    )


def loras():
    source = st.one_of(MODEL_IDS.map(lambda model: {"huggingFace": model}), claims().map(lambda claim: {"pvc": claim}))
    names = matching(LoraAdapter.model_json_schema()["properties"]["name"]["pattern"])
    adapter = st.fixed_dictionaries({"name": names, "source": source})
    return st.builds(
        lambda adapters, rest: {"adapters": adapters, **rest},
        st.lists(adapter, min_size=1, max_size=3, unique_by=lambda one: one["name"]),
        maybe(
            maxRank=st.sampled_from([8, 16, 32, 64, 128, 256]),
            maxLoras=st.integers(1, 4),
            maxCpuLoras=st.integers(4, 64),
        ),
    )


def engines(engine, version):
    fields = {
        "batching": maybe(
            maxNumSeqs=st.integers(1, 512),
            maxBatchedTokens=st.integers(512, 65_536),
            chunkedPrefill=st.booleans(),
            maxQueuedRequests=st.integers(1, 1_000),
            maxQueuedTokens=st.integers(1, 1_000_000),
        ),
        "quantization": st.sampled_from(list(Quantization)),
        "kvCache": maybe(
            prefixCaching=st.booleans(),
            utilizationPercent=st.integers(10, 98),
            dtype=st.sampled_from(list(KvCacheDType)),
            cpuOffload=MEMORY,
        ),
        "cpuOffload": MEMORY,
        "speculative": speculative(),
        "lora": loras(),
        "extraArgs": extra_args(engine, version),
    }
    if engine is EngineType.VLLM:
        fields["sampling"] = maybe(
            temperature=st.floats(0, 2),
            topP=st.floats(0.01, 1),
            topK=st.integers(1, 1_000),
            minP=st.floats(0, 1),
            repetitionPenalty=st.floats(0.5, 2),
            maxTokens=st.integers(1, 10_000),
        )
    return maybe(**fields).map(lambda rest: {"type": engine.value, "version": version, **rest})


def extra_args(engine, version):
    """Return flags that are the user's own, in the forms that the parser takes."""
    flags = {flag.name: flag for flag in release.resolve(engine, version).flags.values()}
    taken = {*OWNED[engine], *FILES}
    free = [flag for flag in flags.values() if not set(flag.spellings) & taken]
    words = st.sampled_from(sorted(free, key=lambda flag: flag.name)).flatmap(_words)
    return st.lists(words, max_size=3, unique_by=lambda word: word[0].partition("=")[0]).map(
        lambda lists: [word for one in lists for word in one]
    )


def _words(flag):
    if flag.kind == "none":
        return st.sampled_from([[word] for word in flag.spellings if word.startswith("--")])
    value = st.sampled_from(flag.choices or (VALUES[flag.form],))
    return st.one_of(value.map(lambda text: [flag.name, text]), value.map(lambda text: [f"{flag.name}={text}"]))


@st.composite
def layouts(draw):
    tensor, pipeline, data = (
        draw(st.sampled_from([1, 2, 4, 8])),
        draw(st.sampled_from([1, 2, 4])),
        draw(st.integers(1, 2)),
    )
    nodes = draw(st.sampled_from([number for number in (1, 2) if pipeline % number == 0]))
    parallelism = {"tensor": tensor, "pipeline": pipeline, "data": data, "expert": draw(st.booleans()), "nodes": nodes}
    return {"gpu": {"count": tensor * pipeline * data}, "parallelism": parallelism}


def specs(engine, version):
    return st.builds(
        lambda model, engine, resources, rest: {"model": model, "engine": engine, "resources": resources, **rest},
        models(),
        engines(engine, version),
        layouts(),
        maybe(
            tracing=st.just({"endpoint": "http://otel-collector:4317", "sampleRatio": 0.1}),
            warmStart=st.sampled_from(["Lazy", "Full", "Hybrid"]).map(lambda mode: {"mode": mode}),
        ),
    )


@pytest.fixture(scope="module")
def plain_plan():
    """Return the plan of a small deployment, to put other specs into."""
    document = {
        "apiVersion": "autoglm.io/v1alpha1",
        "kind": "AutoGLMDeployment",
        "metadata": {"name": "phone", "namespace": "team-a", "uid": "uid-of-phone", "generation": 1},
        "spec": {"model": {"source": {"huggingFace": "zai-org/AutoGLM-Phone-9B"}}},
    }
    return make_plan(Observed(Deployment.parse(document), {}, (), frozenset(), 0.0), Images())


def expanded(arguments):
    """Return `arguments` as the kubelet hands them over: `$(NAME)` expanded where it is known, `$$` made `$`."""

    def one(found):
        if found[0] == "$$":
            return "$"
        return GROUP.get(found[1], found[0])

    return [re.sub(r"\$\$|\$\(([A-Za-z_][A-Za-z0-9_]*)\)", one, argument) for argument in arguments]


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("engine", "version"), VERSIONS)
def test_what_is_accepted_parses(engine, version, plain_plan, parser_of, count_parsed):
    parser = parser_of(engine, version)

    @settings(
        max_examples=SPECS,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(specs(engine, version))
    def accepted(spec):
        parsed = Spec.model_validate(spec)
        defaulted = parsed.model_dump(mode="json", by_alias=True, exclude_none=True)
        assume(not violations({"metadata": {"name": "phone"}, "spec": defaulted}))
        served = parsed.model.served_name or "phone"
        plan = replace(
            plain_plan, spec=parsed, served_name=served, decided=replace(plain_plan.decided, version=version)
        )
        roles = [Role.LEADER, Role.WORKER] if parsed.resources.parallelism.nodes > 1 else [Role.ALONE]
        try:
            processes = [render(plan, role) for role in roles]
        except Terminal:
            assume(condition=False)
        for process in processes:
            values = parser.parse(expanded(process.args))
            _nothing_got_out_of_its_place(parsed, served, values)
            count_parsed([f"{engine.value} {version}"])

    accepted()


def _nothing_got_out_of_its_place(spec, served, values):
    assert values["served_model_name"] in (served, [served])
    assert values.get("port", 8000) == 8000
    for value in _free_values(spec.engine.extra_args):
        assert value in json.dumps(values, ensure_ascii=False), values
    if spec.engine.lora:
        assert len(values.get("lora_modules") or values["lora_paths"]) == len(spec.engine.lora.adapters)


def _free_values(words):
    return [VALUES[None] for word in words if VALUES[None] in word]

"""Whatever a spec says within its schema: rendering is a function of it, and nothing in it gets out of its place."""

import json
import re
from copy import deepcopy

from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from autoglm_operator.api import names
from autoglm_operator.api.crd import custom_resource_definition
from autoglm_operator.apply.diff import differences
from autoglm_operator.cli.schema import problems
from autoglm_operator.decide.plan import make_plan
from autoglm_operator.errors import Terminal
from autoglm_operator.observe.world import Deployment, Observed
from autoglm_operator.render.bundle import bundle
from autoglm_operator.settings import Images

SPEC = custom_resource_definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
#: Words that a shell, a template or a log would take for something else.
HOSTILE = st.sampled_from(
    ["$(id)", "${HOME}", "`id`", ";reboot", "a b", "a\nb", "--flag", "{{.Values}}", "'", '"', "\\", "\x00", "ü", "%s"]
)


def values(schema):
    """Return a strategy for what the schema takes."""
    return st.sampled_from(schema["enum"]) if "enum" in schema else KINDS[schema["type"]](schema)


def objects(schema):
    required = set(schema.get("required", ()))
    fields = {key: values(value) for key, value in schema.get("properties", {}).items() if key != "namespace"}
    return st.fixed_dictionaries(
        {key: value for key, value in fields.items() if key in required},
        optional={key: value for key, value in fields.items() if key not in required},
    )


def integers(schema):
    low, high = schema["minimum"], schema["maximum"]
    return st.integers(low, min(high, 64) if low <= 64 else high)


def texts(schema):
    pattern = schema.get("pattern", "^[a-z][a-z0-9]*$")
    return st.from_regex(re.compile(pattern, re.ASCII), fullmatch=True).filter(
        lambda text: len(text) <= schema["maxLength"] and "\n" not in text
    )


KINDS = {
    "object": objects,
    "array": lambda schema: st.lists(values(schema["items"]), min_size=schema.get("minItems", 0), max_size=2),
    "integer": integers,
    "number": lambda schema: st.floats(
        schema["minimum"], schema["maximum"], exclude_min=schema.get("exclusiveMinimum", False)
    ),
    "boolean": lambda schema: st.booleans(),
    "string": texts,
}


def keep_rules(spec):
    """Change what breaks a rule across fields, in place."""
    model, engine, resources = spec["model"], spec.setdefault("engine", {}), spec.setdefault("resources", {})
    if len(model["source"]) != 1:
        model["source"] = {"huggingFace": "zai-org/AutoGLM-Phone-9B"}
    if not {"huggingFace", "modelScope"} & set(model["source"]):
        model.pop("hubEndpoint", None)
    if "url" in model["source"]:
        spec.setdefault("warmStart", {})["mode"] = "Hybrid"
    spec.get("warmStart", {}).pop("cache", None)
    keep_engine_rules(engine)
    ranks = resources.setdefault("parallelism", {})
    ranks["tensor"] = 1 << (ranks.get("tensor", 1).bit_length() - 1)
    ranks["nodes"] = 1 if ranks.get("pipeline", 1) % ranks.get("nodes", 1) else ranks.get("nodes", 1)
    count = ranks["tensor"] * ranks.get("pipeline", 1) * ranks.get("data", 1)
    if count > 256:
        ranks |= {"pipeline": 1, "data": 1, "nodes": 1}
        count = ranks["tensor"]
    resources["gpu"] = {"count": count}
    if resources.get("cpuPinning"):
        resources |= {"cpu": "8", "memory": "64Gi"}
    if scaling := spec.get("autoscaling"):
        scaling["minReplicas"] = min(scaling.get("minReplicas", 1), scaling["maxReplicas"])
        scaling.pop("scaleDownHold", None)
        scaling.get("signals", {}).setdefault("queueDepth", {})
        for schedule in scaling.get("schedules", []):
            schedule.pop("maxReplicas", None)
            schedule |= {"duration": "1h", "minReplicas": scaling["maxReplicas"]}


def keep_engine_rules(engine):
    if engine.get("type", "vLLM") == "Simulator":
        for name in ("speculative", "lora", "sampling", "cpuOffload", "extraArgs", "extraEnv"):
            engine.pop(name, None)
    else:
        engine.pop("simulator", None)
    if speculative := engine.get("speculative"):
        speculative.pop("model", None)
        if speculative["method"] in {"eagle", "eagle3", "draftModel"}:
            speculative["model"] = "a/b"
    if lora := engine.get("lora"):
        lora |= {"maxRank": 16, "maxLoras": 1}
        for index, adapter in enumerate(lora["adapters"]):
            adapter |= {"name": f"adapter-{index}", "source": {"huggingFace": "a/b"}}
    for index, variable in enumerate(engine.get("extraEnv", [])):
        variable["name"] = f"X{index}"
        variable.pop("secretKeyRef", None)
        variable.setdefault("value", "1")
    engine.pop("extraArgs", None)


@st.composite
def documents(draw):
    """Return an AutoGLMDeployment that the API server takes."""
    spec = draw(values(SPEC))
    keep_rules(spec)
    meta = {"name": draw(st.from_regex("[a-z][a-z0-9-]{0,38}[a-z0-9]", fullmatch=True)), "namespace": "team-a"}
    head = {"apiVersion": names.API_VERSION, "kind": names.KIND}
    return head | {"metadata": meta | {"uid": "u", "generation": 1, "resourceVersion": "1"}, "spec": spec}


def render(document):
    deployment = Deployment.parse(deepcopy(document))
    assert deployment.spec_error == ""
    try:
        return made(deployment)
    except Terminal as error:
        refusal = str(error)
    assert refusal.startswith("spec."), "a refusal names the field"
    return reject()


def made(deployment):
    observed = Observed(deployment, {}, (), frozenset({"PodMonitor", "LeaderWorkerSet"}), 0.0)
    return bundle(deployment, make_plan(observed, Images()), Images())


def text(children):
    return json.dumps(children, sort_keys=True, allow_nan=False)


def workload(children):
    """Return the pod spec of the engine pods; an image that is still asked for its version has none."""
    for child in children:
        if child["kind"] == "Deployment":
            return child["spec"]["template"]["spec"]
        if child["kind"] == "LeaderWorkerSet":
            return child["spec"]["leaderWorkerTemplate"]["leaderTemplate"]["spec"]
    return reject()


SLOW = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))


@SLOW
@given(documents())
def test_what_the_schema_takes_is_rendered(document):
    assert problems(document) == []
    children = render(document)
    assert json.loads(text(children)) == children, "every object is JSON"


@SLOW
@given(documents(), documents())
def test_there_and_back_is_where_it_was(one, two):
    two["metadata"] = one["metadata"]
    first = text(render(one))
    text(render(two))
    assert text(render(one)) == first


@SLOW
@given(documents())
def test_the_order_of_fields_does_not_matter(document):
    backwards = json.loads(json.dumps(document), object_pairs_hook=lambda pairs: dict(reversed(pairs)))
    assert text(render(backwards)) == text(render(document))


@SLOW
@given(documents())
def test_what_is_rendered_has_no_difference_to_itself(document):
    for child in render(document):
        assert list(differences(child, json.loads(json.dumps(child)))) == []


@SLOW
@given(documents())
def test_pods_are_restricted(document):
    pod = workload(render(document))
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC", "nodeName", "hostUsers"} & set(pod)
    assert all(set(volume) - {"name"} <= {"emptyDir", "persistentVolumeClaim", "image"} for volume in pod["volumes"])
    for container in pod["containers"] + pod["initContainers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


@SLOW
@given(documents())
def test_text_of_a_user_is_one_word_of_the_command_line(document):
    container = workload(render(document))["containers"][0]
    assert container["command"][0] in {"vllm", "autoglm-simulator", "python3"}
    assert not {"sh", "bash", "-c"} & set(container["command"])
    spec = document["spec"]
    given_texts = [spec["model"].get("servedName")]
    if spec.get("warmStart", {}).get("mode", "Lazy") == "Lazy":
        given_texts.append(spec["model"]["source"].get("huggingFace"))
    for value in filter(None, given_texts):
        assert value in container["args"]
    assert all(isinstance(word, str) for word in container["args"])


@SLOW
@given(documents(), HOSTILE, st.booleans())
def test_hostile_text_is_refused_or_stays_one_word(document, hostile, behind):
    value = f"x{hostile}" if behind else hostile
    document["spec"]["model"]["servedName"] = value
    if not problems(document):
        assert value == "x--flag", "nothing but letters, digits and . _ / - gets this far"
        assert workload(render(document))["containers"][0]["args"].count(value) == 1

"""What the API server itself makes of the CRD and of good and bad documents: no webhook, no operator."""

import copy
import re

import pytest
import yaml

from autoglm_operator.api import names
from autoglm_operator.api.environment import RESERVED_ENVIRONMENT
from autoglm_operator.api.rule import EACH
from autoglm_operator.api.validation import RULES
from autoglm_operator.cli.schema import problems

pytestmark = pytest.mark.api

LONG = "x" * 41
TOKEN = {"source": {"huggingFace": "zai-org/AutoGLM-Phone-9B"}}
PVC = {"claimName": "weights"}


def spec(**changes):
    return {"model": TOKEN, "engine": {"type": "Simulator"}, "resources": {"gpu": {"count": 0}}} | changes


def model(**changes):
    return spec(model=TOKEN | changes)


def document(given, name="phone"):
    return {"apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": {"name": name}, "spec": given}


def autoscaled(**changes):
    return spec(autoscaling={"maxReplicas": 4} | changes)


def window(**given):
    return {"schedule": "30 8 * * 1-5", "duration": "10h", **given}


def scheduled(**given):
    return autoscaled(schedules=[window(**given)])


def vllm(resources=None, **engine):
    return {"model": TOKEN, "engine": engine, "resources": resources or {}}


ADAPTER = {"name": "a", "source": {"huggingFace": "a/b"}}
OCI = {"reference": "registry.example/model:1"}
URL = {"url": "https://mirror.example/model"}
REAL_ONLY = [
    {"speculative": {"method": "ngram"}},
    {"lora": {"adapters": [ADAPTER]}},
    {"sampling": {}},
    {"cpuOffload": "1Gi"},
    {"extraArgs": ["--x"]},
    {"extraEnv": [{"name": "A", "value": "1"}]},
]
RESERVED_BY_ADVICE = {
    advice: [name for name, other in RESERVED_ENVIRONMENT.items() if other == advice]
    for advice in RESERVED_ENVIRONMENT.values()
}


def adapters(source):
    return vllm(lora={"adapters": [{"name": "a", "source": source}]})


def env(name="A", **fields):
    return vllm(extraEnv=[{"name": name} | fields])


def ranks(count, **parallelism):
    return vllm(resources={"gpu": {"count": count}, "parallelism": parallelism})


#: rule's CEL text → documents that keep it, documents that break it
RULE_CASES = {
    "size(self.metadata.name)": ([document(spec(), "x" * 40)], [document(spec(), LONG)]),
    "!self.metadata.name.contains": ([document(spec(), "a-b")], [document(spec(), "a.b")]),
    "self.metadata.name.matches": ([document(spec(), "a1")], [document(spec(), "1a")]),
    "[has(self.huggingFace), has(self.modelScope)": (
        [document(model()), document(spec(model={"source": {"pvc": PVC}})), document(model(source={"ociImage": OCI}))],
        [document(spec(model={"source": {}})), document(model(source=TOKEN["source"] | {"pvc": PVC}))],
    ),
    "[has(self.huggingFace), has(self.pvc)]": (
        [document(adapters({"huggingFace": "a/b"}))],
        [document(adapters({})), document(adapters({"huggingFace": "a/b", "pvc": PVC}))],
    ),
    "[has(self.value), has(self.secretKeyRef)]": (
        [document(env(value="")), document(env(secretKeyRef={"name": "s"}))],
        [document(env()), document(env(value="1", secretKeyRef={"name": "s"}))],
    ),
    "!has(self.hubEndpoint)": (
        [document(model(hubEndpoint="https://mirror.example")), document(model())],
        [document(model(source={"pvc": PVC}, hubEndpoint="https://mirror.example"))],
    ),
    "!has(self.model.source.url)": (
        [document(model(source=URL) | {"warmStart": {"mode": mode}}) for mode in ("Hybrid", "Full")],
        [document(model(source=URL)), document(model(source=URL) | {"warmStart": {"mode": "Lazy"}})],
    ),
    "!has(self.claimName)": (
        [document(spec(warmStart={"cache": cache})) for cache in ({"claimName": "c"}, {"size": "1Gi"}, {})],
        [document(spec(warmStart={"cache": {"claimName": "c", "size": "1Gi"}}))],
    ),
    "self.type != 'Simulator'": (
        [document(spec(engine={"type": "Simulator", "extraArgs": []})), document(vllm(cpuOffload="1Gi"))],
        [document(spec(engine={"type": "Simulator"} | fields)) for fields in REAL_ONLY],
    ),
    "has(self.model) == (self.method": (
        [document(vllm(speculative=given)) for given in ({"method": "ngram"}, {"method": "eagle", "model": "a/b"})],
        [document(vllm(speculative=given)) for given in ({"method": "mtp", "model": "a/b"}, {"method": "draftModel"})],
    ),
    "self.adapters.all": (
        [document(vllm(lora={"adapters": [ADAPTER, ADAPTER | {"name": "b"}]}))],
        [document(vllm(lora={"adapters": [ADAPTER, ADAPTER]}))],
    ),
    "self.maxRank in": (
        [document(vllm(lora={"adapters": [ADAPTER], "maxRank": rank})) for rank in (8, 256)],
        [document(vllm(lora={"adapters": [ADAPTER], "maxRank": rank})) for rank in (9, 48, 255)],
    ),
    "!has(self.maxCpuLoras)": (
        [document(vllm(lora={"adapters": [ADAPTER], "maxCpuLoras": 4}))],
        [document(vllm(lora={"adapters": [ADAPTER], "maxCpuLoras": 3}))],
    ),
    **{
        f"!(self.name in ['{variables[0]}'": (
            [document(env(value="1"))],
            [document(env(name, value="1")) for name in variables],
        )
        for variables in RESERVED_BY_ADVICE.values()
    },
    "!self.name.startsWith": (
        [document(env("MY_KUBERNETES_", value="1"))],
        [document(env("KUBERNETES_SERVICE_HOST", value="1")), document(env("LWS_GROUP_SIZE", value="1"))],
    ),
    "self.tensor in": (
        [document(ranks(tensor=tensor, count=tensor)) for tensor in (1, 2, 64)],
        [document(ranks(tensor=tensor, count=tensor)) for tensor in (3, 6, 63)],
    ),
    "self.pipeline % self.nodes": (
        [document(ranks(pipeline=4, nodes=2, count=4))],
        [document(ranks(pipeline=4, nodes=3, count=4)), document(ranks(nodes=2, count=1))],
    ),
    "!has(self.migProfile)": (
        [document(vllm(resources={"gpu": {"migProfile": "3g.40gb"}}))],
        [document(vllm(resources={"gpu": {"migProfile": "3g.40gb", "count": 2}, "parallelism": {"tensor": 2}}))],
    ),
    "!self.cpuPinning": (
        [document(vllm(resources={"cpuPinning": True, "cpu": "8", "memory": "64Gi"}))],
        [
            document(vllm(resources={"cpuPinning": True} | given))
            for given in ({}, {"cpu": "8"}, {"cpu": "500m", "memory": "64Gi"}, {"cpu": "0", "memory": "64Gi"})
        ],
    ),
    "!has(self.__namespace__)": (
        [document(model(tokenSecretRef={"name": "hf"})), document(spec(model={"source": {"pvc": PVC}}))],
        [
            document(adapters({"pvc": PVC | {"namespace": "other"}})),
            document(env(secretKeyRef={"name": "s", "namespace": "other"})),
            document(model(tokenSecretRef={"name": "hf", "namespace": "other"})),
            document(spec(model={"source": {"pvc": PVC | {"namespace": "other"}}})),
        ],
    ),
    "self.claimName.matches": (
        [document(spec(model={"source": {"pvc": {"claimName": name}}})) for name in ("a", "a-b.c", "0")],
        [
            document(spec(model={"source": {"pvc": {"claimName": name}}}))
            for name in ("other/weights", "../weights", "A", "a_b", "a-", "weights\n", "wéights")
        ],
    ),
    "self.name.matches": (
        [document(model(tokenSecretRef={"name": name})) for name in ("hf", "hf.token-1")],
        [document(model(tokenSecretRef={"name": name})) for name in ("other/hf", "HF", "-hf", "hf token")],
    ),
    "!has(self.simulator)": (
        [document(spec(engine={"type": "Simulator", "simulator": {}}))],
        [document(spec(engine={"type": "vLLM", "simulator": {}}, resources={}))],
    ),
    "self.gpu.count == 0": (
        [
            document(spec(resources={})),
            document(ranks(count=8, tensor=4, pipeline=2)),
            document(ranks(count=8, tensor=2, data=4)),
            document(spec(resources={"gpu": {"count": 0}, "parallelism": {"tensor": 4}})),
        ],
        [
            document(spec(resources={"gpu": {"count": 4}})),
            document(ranks(count=1, tensor=2)),
            document(ranks(count=4, tensor=4, data=2)),
        ],
    ),
    "self.resources.gpu.count > 0": (
        [document(spec()), document(spec(engine={}, resources={}))],
        [document(spec(engine={"type": "vLLM"})), document(spec(engine={"type": "SGLang"}))],
    ),
    "self.minReplicas <= self.maxReplicas": (
        [document(autoscaled(minReplicas=4)), document(autoscaled())],
        [document(autoscaled(minReplicas=5))],
    ),
    "has(self.signals.queueDepth)": (
        [document(autoscaled()), document(autoscaled(signals={"latencyP99": {}}))],
        [document(autoscaled(signals={}))],
    ),
    "duration(self.scaleDownHold)": (
        [document(autoscaled(scaleDownHold=hold)) for hold in ("1h", "60m", "3600s", "1ms")],
        [document(autoscaled(scaleDownHold=hold)) for hold in ("61m", "3601s", "999999h")],
    ),
    "has(self.minReplicas) || has(self.maxReplicas)": (
        [document(scheduled(minReplicas=2)), document(scheduled(maxReplicas=3))],
        [document(scheduled())],
    ),
    "duration(self.duration)": (
        [document(scheduled(minReplicas=2, duration=length)) for length in ("168h", "10080m", "1s")],
        [document(scheduled(minReplicas=2, duration=length)) for length in ("169h", "10081m")],
    ),
    "!has(self.schedules)": (
        [
            document(autoscaled()),
            document(autoscaled(schedules=[])),
            document(scheduled(minReplicas=4)),
            document(scheduled(minReplicas=9, maxReplicas=9)),
            document(scheduled(maxReplicas=1)),
        ],
        [
            document(scheduled(minReplicas=5)),
            document(scheduled(minReplicas=3, maxReplicas=2)),
            document(autoscaled(minReplicas=2, schedules=[window(maxReplicas=1)])),
        ],
    ),
}


@pytest.fixture(scope="module")
def submit(cluster, shared_namespace):
    """Ask the API server about a document without storing it; return the error message, or `None`."""
    path = cluster.path(names.API_VERSION, names.KIND, shared_namespace)

    def ask(given):
        answer = cluster.call("POST", path, given, dryRun="All", fieldValidation="Strict")
        assert answer.is_success or answer.status_code in {400, 422}, answer.text
        assert "Warning" not in answer.headers or not answer.is_success
        return None if answer.is_success else answer.json()["message"]

    return ask


def rule_of(key):
    return [rule for rule in RULES if rule.cel.startswith(key)]


def field_of(rule):
    """Return the path of the field that an error names, in the first item of each list."""
    return ".".join(rule.path).replace(f".{EACH}", "[0]") + rule.field.replace("__", "")


def test_every_rule_has_its_cases():
    covered = [rule for key in RULE_CASES for rule in rule_of(key)]
    assert sorted({rule.cel for rule in covered}) == sorted({rule.cel for rule in RULES})
    assert all(good and bad for good, bad in RULE_CASES.values())


@pytest.mark.parametrize("key", RULE_CASES)
def test_rule_in_cel_and_in_python(submit, key):
    good, bad = RULE_CASES[key]
    for given in good:
        assert submit(given) is None
        assert problems(given) == []
    for given in bad:
        refusal = submit(given)
        own = "\n".join(problems(given))
        broken = [rule for rule in rule_of(key) if rule.message in refusal and field_of(rule) in refusal]
        assert len(broken) == 1, f"{given['spec']}: {refusal}"
        (rule,) = broken
        field = field_of(rule)
        assert rule.message in own
        assert (field or "metadata.name") in own


def bad_gpu(**gpu):
    return document(spec(resources={"gpu": {"count": 0} | gpu}))


#: what a person gets wrong → (document, field's path, words of the API server's answer)
BAD = {
    "wrong field": (document(spec(replica=3)), "spec.replica", 'unknown field "spec.replica"'),
    "wrong nested field": (
        document(autoscaled(objective={"ttft99": "2s"})),
        "spec.autoscaling.objective.ttft99",
        "unknown field",
    ),
    "negative number": (document(spec(replicas=-1)), "spec.replicas", "greater than or equal to 0"),
    "negative GPUs": (bad_gpu(count=-1), "spec.resources.gpu.count", "greater than or equal to 0"),
    "unknown engine": (
        document(spec(engine={"type": "TensorRT"})),
        "spec.engine.type",
        'supported values: "vLLM", "SGLang", "Simulator"',
    ),
    "minReplicas over maxReplicas": (
        document(autoscaled(minReplicas=5)),
        "spec.autoscaling.minReplicas",
        "lower minReplicas or raise maxReplicas",
    ),
    "over-long name": (document(spec(), LONG), "metadata.name", "choose a shorter one"),
    "secret of another namespace": (
        document(model(tokenSecretRef={"name": "hf", "namespace": "kube-system"})),
        "spec.model.tokenSecretRef.namespace",
        "references stay inside the namespace: remove `namespace`",
    ),
    "claim of another namespace": (
        document(spec(model={"source": {"pvc": PVC | {"namespace": "kube-system"}}})),
        "spec.model.source.pvc.namespace",
        "references stay inside the namespace: remove `namespace`",
    ),
    "another namespace by a path": (
        document(model(tokenSecretRef={"name": "kube-system/hf"})),
        "spec.model.tokenSecretRef.name",
        "plain name of a Secret in the same namespace",
    ),
    "no model": (document({"engine": {"type": "vLLM"}}), "spec.model", "Required value"),
    "no spec": ({key: value for key, value in document({}).items() if key != "spec"}, "spec", "Required value"),
    "text for a number": (document(spec(replicas="3")), "spec.replicas", "must be of type integer"),
    "number for a text": (document(model(revision=7)), "spec.model.revision", "must be of type string"),
    "text for a switch": (
        document(spec(engine={"type": "Simulator", "kvCache": {"prefixCaching": "yes"}})),
        "spec.engine.kvCache.prefixCaching",
        "must be of type boolean",
    ),
    "a share over one": (
        document(spec(tracing={"endpoint": "http://otel:4317", "sampleRatio": 1.5})),
        "spec.tracing.sampleRatio",
        "less than or equal to 1",
    ),
    "a port that is none": (
        document(spec(tracing={"endpoint": "http://otel:70000"})),
        "spec.tracing.endpoint",
        "should match",
    ),
    "no duration": (
        document(autoscaled(objective={"ttftP99": "2 seconds"})),
        "spec.autoscaling.objective.ttftP99",
        "should match",
    ),
    "no memory": (document(spec(resources={"memory": "100m"})), "spec.resources.memory", "should match"),
    "list for an object": (document(spec(engine=["vLLM"])), "spec.engine", "must be of type object"),
    "a path out of the volume": (
        document(spec(model={"source": {"pvc": PVC | {"path": "../../etc"}}})),
        "spec.model.source.pvc.path",
        "should match",
    ),
    "a shell in an image": (
        document(spec(engine={"type": "Simulator", "image": "a; rm -rf /"})),
        "spec.engine.image",
        "should match",
    ),
    "a flag for a model": (
        document(model(source={"huggingFace": "--trust-remote-code/x"})),
        "spec.model.source.huggingFace",
        "should match",
    ),
    "an infinite temperature": (
        document(vllm(sampling={"temperature": 1e300})),
        "spec.engine.sampling.temperature",
        "less than or equal to 2",
    ),
    "a line break in an argument": (
        document(vllm(extraArgs=["--x\n--y"])),
        "spec.engine.extraArgs[0]",
        "should match",
    ),
    "a wrong field in a list": (
        document(vllm(extraEnv=[{"name": "A", "value": "1", "valueFrom": {}}])),
        "spec.engine.extraEnv[0].valueFrom",
        "unknown field",
    ),
    "a mirror that is a file": (
        document(model(hubEndpoint="file:///etc/passwd")),
        "spec.model.hubEndpoint",
        "should match",
    ),
    "a label that is none": (
        document(spec(scheduling={"nodeSelector": {"a": "b c"}})),
        "spec.scheduling.nodeSelector.a",
        "should match",
    ),
    "a megabyte": (document(model(servedName="x" * 1_000_000)), "spec.model.servedName", "may not be more than 200"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_by_the_api_server_itself(submit, case):
    given, path, words = BAD[case]
    refusal = submit(given)
    assert refusal
    assert path in refusal
    assert words.lower() in refusal.lower()
    own = problems(given)
    assert own, "kubectl autoglm render refuses the same"
    assert any(path in line for line in own)


#: fields that would let a tenant out of the pod: none of them exists
ESCAPES = ["hostPath", "privileged", "hostPID", "hostNetwork", "runAsUser", "serviceAccountName", "nodeName", "sysctls"]


@pytest.mark.parametrize("name", ESCAPES)
def test_escapes_are_no_fields(submit, name):
    assert f'unknown field "spec.{name}"' in submit(document(spec(**{name: True})))


NOT_A_NUMBER = [float("nan"), float("inf")]


@pytest.mark.parametrize("value", NOT_A_NUMBER)
def test_what_json_cannot_say_is_refused_offline_too(value):
    assert problems(document(spec(tracing={"endpoint": "http://otel:4317", "sampleRatio": value})))


@pytest.mark.parametrize("name", ["autoglm.yaml", "autoglm-h100.yaml"])
def test_examples_are_taken(submit, name, pytestconfig):
    given = yaml.safe_load((pytestconfig.rootpath / "examples" / name).read_text())
    assert submit(given) is None
    assert problems(given) == []


NAMES = ["phone", "a", "A", "a_b", "a.b", "-a", "a-", "x" * 40, LONG, "", "ü", "1a", "a b"]


@pytest.mark.parametrize("name", NAMES)
def test_names_offline_as_on_the_server(submit, name):
    given = document(spec(), name)
    assert (submit(given) is None) == (problems(given) == [])


NULLS = [spec(autoscaling=None), spec(engine={"type": None, "image": None}, resources={}), spec(replicas=None)]


@pytest.mark.parametrize("given", NULLS)
def test_null_is_left_out_offline_as_on_the_server(submit, given):
    assert submit(document(given)) is None
    assert problems(document(given)) == []


def test_every_field_refuses_every_wrong_type_as_offline(submit):
    """Put a value of each type in each field: the plugin and the API server agree every time."""
    everything = spec(
        autoscaling={
            "maxReplicas": 4,
            "minReplicas": 1,
            "scaleDownHold": "5m",
            "objective": {"ttftP99": "2s"},
            "prediction": {"mode": "Auto"},
            "actuator": "HPA",
            "schedules": [window(minReplicas=2, maxReplicas=3, timeZone="Asia/Shanghai")],
        },
        tracing={"endpoint": "http://otel:4317", "sampleRatio": 0.5},
        rollout={"strategy": "Recreate"},
        replicas=1,
        warmStart={"mode": "Hybrid", "cache": {"size": "10Gi"}},
        scheduling={
            "nodeSelector": {"a": "b"},
            "tolerations": [],
            "affinity": {},
            "priorityClassName": "high",
        },
        tolerance="Strict",
    )
    disagreements = []
    for path in paths(everything):
        for value in ("text", -1, 0.5, 10**9, True, [], {}):
            given = copy.deepcopy(everything)
            put(given, path, value)
            refusal, own = submit(document(given)), problems(document(given))
            if (refusal is None) != (own == []):
                disagreements.append((path, value, refusal, own))
    assert disagreements == []


def paths(value, path=()):
    if path:
        yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from paths(item, (*path, key))


def put(target, path, value):
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value


def test_defaults_are_filled_in(cluster, namespace, manifest):
    stored = cluster.create(manifest("phone", namespace, autoscaling={"maxReplicas": 2}))
    assert stored["spec"]["replicas"] == 1
    cache = {"prefixCaching": True, "dtype": "auto"}
    assert stored["spec"]["engine"] == {"type": "Simulator", "batching": {}, "kvCache": cache}
    assert stored["spec"]["autoscaling"]["signals"] == {"queueDepth": {}, "latencyP99": {}, "memoryPressure": {}}
    assert stored["spec"]["autoscaling"]["objective"] == {"ttftP99": "2s", "itlP99": "100ms"}
    assert stored["status"] == {"observedGeneration": -1, "replicas": 0, "readyReplicas": 0}


def test_scale_and_status_and_columns(cluster, namespace, manifest):
    stored = cluster.create(manifest("phone", namespace))
    scaled = cluster.patch(stored, {"spec": {"replicas": 3}}, "scale")
    assert scaled["spec"]["replicas"] == 3
    status = {"observedGeneration": 1, "replicas": 2, "readyReplicas": 1, "selector": "a=b", "modelName": "m"}
    after = cluster.patch(stored, {"status": status, "spec": {"replicas": 7}}, "status")
    assert after["status"]["replicas"] == 2
    assert after["spec"]["replicas"] == 3, "a write of the status changes no spec"
    path = cluster.path(names.API_VERSION, names.KIND, namespace, "phone", "scale")
    assert cluster.call("GET", path).json()["status"] == {"replicas": 2, "selector": "a=b"}
    table = "application/json;as=Table;v=v1;g=meta.k8s.io"
    path = cluster.path(names.API_VERSION, names.KIND, namespace)
    answer = cluster.http.get(path, headers={"Accept": table}).json()
    columns = [column["name"] for column in answer["columnDefinitions"]]
    row = dict(zip(columns, answer["rows"][0]["cells"], strict=True))
    assert columns[:8] == ["Name", "Ready", "Replicas", "Desired", "Model", "Engine", "GPU", "P99 TTFT"]
    assert (row["Replicas"], row["Desired"], row["Model"], row["Engine"]) == (1, 3, "m", "Simulator")


BAD_STATUS = [
    {"readyReplicas": -1},
    {"conditions": [{"type": "Ready"}]},
    {"autoscaling": {"desiredReplicas": -1}},
]


@pytest.mark.parametrize("status", BAD_STATUS)
def test_a_bad_status_is_refused(cluster, namespace, manifest, status):
    stored = cluster.create(manifest("phone", namespace))
    with pytest.raises(AssertionError, match=re.escape("is invalid")):
        cluster.patch(stored, {"status": status}, "status")

"""Each child, and what the pod makes of the command line of each engine."""

import json

import pytest

from autoglm_agent.otlp_setting import setting
from autoglm_operator.api import names
from autoglm_operator.api.signals import DESIRED_REPLICAS, KV_CACHE_UTILIZATION, QUEUE_DEPTH, TTFT_P99
from autoglm_operator.api.v1alpha1 import EngineType
from autoglm_operator.decide.engine_image import engine_image
from autoglm_operator.decide.plan import make_plan
from autoglm_operator.decide.start.timing import DRAIN_SECONDS, EXIT_SECONDS, PRE_STOP_SECONDS
from autoglm_operator.observe.world import Deployment, Observed
from autoglm_operator.render.autoscaler import quantity
from autoglm_operator.render.bundle import bundle
from autoglm_operator.render.engines.common import ratio
from autoglm_operator.settings import Images
from autoglm_simulator import flags as simulator_flags

MODEL = {"source": {"huggingFace": "zai-org/AutoGLM-Phone-9B"}}
OTHER = {"source": {"huggingFace": "Qwen/Qwen3-8B"}}
PVC = {"source": {"pvc": {"claimName": "weights", "path": "autoglm/9b"}}}


@pytest.fixture
def render(deployment_document):
    def make(kinds=frozenset(), images=None, **spec):
        deployment = Deployment.parse(deployment_document(**spec))
        plan = make_plan(Observed(deployment, {}, (), frozenset(kinds), 0.0), Images())
        return {child["kind"]: child for child in bundle(deployment, plan, images or Images())}

    return make


@pytest.fixture
def pod(render):
    return lambda **spec: render(**spec)["Deployment"]["spec"]["template"]["spec"]


@pytest.fixture
def engine(pod):
    return lambda **spec: pod(**spec)["containers"][0]


def options(arguments):
    """Return the flags of a command line with their values; `True` for a flag without one, several joined by blanks."""
    found, name = {}, None
    for word in arguments:
        if word.startswith("--"):
            name = word
            found[name] = True
        elif name is not None:
            found[name] = word if found[name] is True else f"{found[name]} {word}"
    return found


EVERYTHING = {
    "batching": {"maxNumSeqs": 64, "maxBatchedTokens": 8192},
    "quantization": "fp8",
    "kvCache": {"prefixCaching": False, "utilizationPercent": 92},
}
TRACING = {"endpoint": "http://otel:4317", "sampleRatio": 0.25}
PARALLEL = {"gpu": {"count": 4}, "parallelism": {"tensor": 2, "pipeline": 2}}


def test_vllm(engine):
    container = engine(model=MODEL, engine={"type": "vLLM", **EVERYTHING}, resources=PARALLEL, tracing=TRACING)
    assert container["command"] == ["vllm", "serve"]
    assert container["args"][0] == "zai-org/AutoGLM-Phone-9B"
    found = options(container["args"])
    assert found["--served-model-name"] == "phone"
    assert found["--max-model-len"] == "25480"
    assert found["--max-num-seqs"] == "64"
    assert found["--max-num-batched-tokens"] == "8192"
    assert found["--gpu-memory-utilization"] == "0.92"
    assert found["--no-enable-prefix-caching"] is True
    assert (found["--tensor-parallel-size"], found["--pipeline-parallel-size"]) == ("2", "2")
    assert found["--shutdown-timeout"] == str(DRAIN_SECONDS)
    assert json.loads(found["--mm-processor-kwargs"]) == {"max_pixels": 5_000_000}
    assert "--allowed-local-media-path" not in found
    env = {item["name"]: item.get("value") for item in container["env"]}
    assert env["OTEL_TRACES_SAMPLER_ARG"] == "0.25"
    assert env["OTEL_SERVICE_NAME"] == "phone"


def test_vllm_of_another_model_follows_no_publisher(engine):
    found = options(engine(model=OTHER, engine={"type": "vLLM"}, resources={})["args"])
    assert "--max-model-len" not in found
    assert not any(name.startswith("--mm-") for name in found)
    assert "--max-num-seqs" not in found, "what is left out is the engine's own default"


@pytest.mark.parametrize(
    ("version", "timeout", "quiet"),
    [
        ("0.33.0", True, True),
        ("0.18.0", True, True),
        ("0.17.1", False, True),
        ("0.15.0", False, False),
        (None, True, True),
    ],
)
def test_vllm_flags_by_version(engine, version, timeout, quiet):
    found = options(engine(model=OTHER, engine={"type": "vLLM", "version": version}, resources={})["args"])
    assert ("--shutdown-timeout" in found, "--disable-access-log-for-endpoints" in found) == (timeout, quiet)


def test_sglang(engine):
    container = engine(model=MODEL, engine={"type": "SGLang", **EVERYTHING}, resources=PARALLEL, tracing=TRACING)
    assert container["command"] == ["python3", "-m", "sglang.launch_server"]
    found = options(container["args"])
    assert found["--model-path"] == "zai-org/AutoGLM-Phone-9B"
    assert (found["--host"], found["--port"]) == ("0.0.0.0", "8000")
    assert found["--disable-radix-cache"] is True
    assert found["--otlp-traces-endpoint"] == "otel:4317"
    assert found["--enable-metrics"] is True
    assert container["startupProbe"]["httpGet"]["path"] == "/ready"


def test_simulator(engine):
    simulator = {"profile": "tiny-demo", "startupSeconds": 3}
    container = engine(
        engine={"type": "Simulator", "simulator": simulator, **EVERYTHING}, resources={"gpu": {"count": 0}}
    )
    found = options(container["args"])
    assert container["command"] == ["autoglm-simulator", "serve"]
    assert (found["--profile"], found["--startup-seconds"]) == ("tiny-demo", "3")
    assert "resources" not in container or "limits" not in container["resources"]


def test_simulator_understands_what_is_rendered(engine):
    container = engine(engine={"type": "Simulator", **EVERYTHING}, model=MODEL | {"contextLength": 4096})
    assert simulator_flags.parse([container["command"][1], *container["args"]])


def test_claim_and_token(pod):
    made = pod(model=PVC | {"tokenSecretRef": {"name": "hf"}}, engine={"type": "vLLM"}, resources={})
    container = made["containers"][0]
    assert container["args"][0] == "/models/autoglm/9b"
    assert {"name": "model", "mountPath": "/models", "readOnly": True} in container["volumeMounts"]
    assert made["volumes"][-1] == {"name": "model", "persistentVolumeClaim": {"claimName": "weights", "readOnly": True}}
    env = {item["name"]: item for item in container["env"]}
    assert env["HF_TOKEN"]["valueFrom"]["secretKeyRef"] == {"name": "hf", "key": "token"}
    assert env["HF_HUB_OFFLINE"]["value"] == "1"
    assert "--revision" not in container["args"]


def test_resources_tolerations_and_node(pod):
    resources = {"gpu": {"count": 2, "product": "H100"}, "parallelism": {"tensor": 2}, "cpu": "4", "memory": "64Gi"}
    made = pod(engine={"type": "vLLM"}, resources=resources)
    assert made["containers"][0]["resources"] == {
        "requests": {"cpu": "4", "memory": "64Gi", "nvidia.com/gpu": "2"},
        "limits": {"memory": "64Gi", "nvidia.com/gpu": "2"},
    }
    assert made["nodeSelector"] == {"nvidia.com/gpu.product": "H100"}
    assert made["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert "tolerations" not in pod(resources={"gpu": {"count": 0}})


def test_a_drain_fits_in_the_grace_period(pod):
    made = pod()
    assert made["terminationGracePeriodSeconds"] == PRE_STOP_SECONDS + DRAIN_SECONDS + EXIT_SECONDS
    assert made["containers"][0]["lifecycle"] == {"preStop": {"sleep": {"seconds": PRE_STOP_SECONDS}}}


def test_agent(render):
    images = Images(agent="mirror/agent:1", agent_source="replay", pull_policy="Never")
    made = render(images=images, resources=PARALLEL)["Deployment"]["spec"]["template"]["spec"]
    (agent,) = made["initContainers"]
    assert agent["restartPolicy"] == "Always", "a native sidecar"
    assert (agent["image"], agent["imagePullPolicy"]) == ("mirror/agent:1", "Never")
    assert agent["args"][-2:] == ["--gpus", "4"]
    assert not [entry for entry in agent["env"] if entry["name"].startswith("OTEL")]


def test_the_agent_sends_its_figures_where_the_chart_says(render):
    made = render(images=Images(agent_otlp_endpoint="http://collector:4317"))["Deployment"]["spec"]["template"]["spec"]
    environment = [entry["name"] for entry in made["initContainers"][0]["env"]]
    values = {entry["name"]: entry.get("value") for entry in made["initContainers"][0]["env"]}
    assert setting({"OTEL_EXPORTER_OTLP_ENDPOINT": values["OTEL_EXPORTER_OTLP_ENDPOINT"]}).grpc
    assert "k8s.pod.name=$(POD_NAME)" in values["OTEL_RESOURCE_ATTRIBUTES"].split(",")
    # A reference is replaced only by what stands before it.
    assert max(map(environment.index, ("POD_NAME", "POD_NAMESPACE"))) < environment.index("OTEL_RESOURCE_ATTRIBUTES")


@pytest.mark.parametrize(
    ("spec", "default", "expected"),
    [
        ({"image": "mine:1", "version": "0.20.0"}, "r/vllm:v0.33.0", "mine:1"),
        ({}, "r/vllm:v0.33.0", "r/vllm:v0.33.0"),
        ({"version": "0.20.0"}, "r/vllm:v0.33.0", "r/vllm:v0.20.0"),
        ({"version": "0.20.0"}, "host:5000/vllm", "host:5000/vllm:v0.20.0"),
        ({"version": "0.20.0"}, "host:5000/vllm:v1@sha256:ab", "host:5000/vllm:v0.20.0"),
    ],
)
def test_image(deployment_document, spec, default, expected):
    parsed = Deployment.parse(deployment_document(engine={"type": "vLLM", **spec})).spec
    assert engine_image(parsed, Images(engines={EngineType.VLLM: default})) == expected


def test_simulator_has_one_version(deployment_document):
    parsed = Deployment.parse(deployment_document(engine={"type": "Simulator", "version": "0.20.0"})).spec
    assert engine_image(parsed, Images(engines={EngineType.SIMULATOR: "sim:1"})) == "sim:1"


def metrics_of(children):
    return {
        item["object"]["metric"]["name"]: item["object"]["target"]
        for item in children["HorizontalPodAutoscaler"]["spec"]["metrics"]
    }


def test_hpa_reads_the_law_alone_unless_targets_are_given(render):
    autoscaling = {"minReplicas": 2, "maxReplicas": 9, "scaleDownHold": "90s"}
    hpa = render(autoscaling=autoscaling)["HorizontalPodAutoscaler"]["spec"]
    assert metrics_of(render(autoscaling=autoscaling)) == {
        DESIRED_REPLICAS.name: {"type": "AverageValue", "averageValue": "1"}
    }
    assert (hpa["minReplicas"], hpa["maxReplicas"]) == (2, 9)
    assert hpa["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 60, "the law has held for 90 s already"
    assert hpa["behavior"]["scaleUp"]["policies"][0]["value"] == 9
    described = {"apiVersion": names.API_VERSION, "kind": names.KIND, "name": "phone"}
    assert hpa["scaleTargetRef"] == described
    assert hpa["metrics"][0]["object"]["describedObject"] == described


def test_hpa_reads_every_signal_with_a_target(render):
    signals = {"queueDepth": {"target": 4}, "latencyP99": {"target": 75}, "memoryPressure": {"target": 85}}
    made = render(autoscaling={"maxReplicas": 2, "signals": signals, "objective": {"ttftP99": "2s"}})
    found = metrics_of(made)
    behavior = made["HorizontalPodAutoscaler"]["spec"]["behavior"]
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] == 180, "nobody else holds a raw signal"
    assert found[QUEUE_DEPTH.name] == {"type": "AverageValue", "averageValue": "4"}
    assert found[TTFT_P99.name] == {"type": "Value", "value": "1500m"}
    assert found[KV_CACHE_UTILIZATION.name] == {"type": "Value", "value": "850m"}


@pytest.mark.parametrize(
    ("thousandths", "expected"), [(1500, "1500m"), (2000, "2"), (0.2, "1m"), (999.6, "1"), (60, "60m")]
)
def test_quantity(thousandths, expected):
    assert quantity(thousandths) == expected


def test_pod_monitor_where_there_is_one(render):
    assert "PodMonitor" not in render()
    monitor = render(kinds={"PodMonitor"})["PodMonitor"]
    assert [item["port"] for item in monitor["spec"]["podMetricsEndpoints"]] == ["http", "agent"]


def test_ports_have_one_name_everywhere(render):
    children = render()
    made = children["Deployment"]["spec"]["template"]["spec"]
    ports = {
        port["name"]: port["containerPort"]
        for item in made["containers"] + made["initContainers"]
        for port in item["ports"]
    }
    assert ports == {"http": names.ENGINE_PORT, "agent": names.AGENT_PORT}
    (service,) = children["Service"]["spec"]["ports"]
    assert service["targetPort"] in ports
    (rule,) = children["NetworkPolicy"]["spec"]["ingress"]
    assert {port["port"] for port in rule["ports"]} == set(ports.values())


def test_selectors_meet_the_pods(render):
    children = render(autoscaling={"maxReplicas": 2}, kinds={"PodMonitor"})
    labels = children["Deployment"]["spec"]["template"]["metadata"]["labels"]
    for selector in (
        children["Service"]["spec"]["selector"],
        children["Deployment"]["spec"]["selector"]["matchLabels"],
        children["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        children["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
        children["PodMonitor"]["spec"]["selector"]["matchLabels"],
    ):
        assert selector
        assert selector.items() <= labels.items()


def test_the_template_hash_follows_the_pod_alone(render):
    def template(**spec):
        meta = render(**spec)["Deployment"]["spec"]["template"]["metadata"]
        return meta["annotations"][names.ANNOTATION_TEMPLATE]

    assert template(replicas=1) == template(replicas=5)
    assert template() == template(autoscaling={"maxReplicas": 2})
    assert template() != template(model=OTHER)


@pytest.mark.parametrize(("percent", "expected"), [(None, None), (92, "0.92"), (98, "0.98"), (10, "0.10")])
def test_ratio(percent, expected):
    assert ratio(percent) == expected


@pytest.mark.parametrize(
    ("endpoint", "protocol", "flag"),
    [
        ("http://otel:4317", "grpc", "http://otel:4317"),
        ("http://otel:4318", "http/protobuf", "http://otel:4318/v1/traces"),
        ("http://otel:4318/v1/traces", "http/protobuf", "http://otel:4318/v1/traces"),
        ("https://otel/otlp/", "http/protobuf", "https://otel/otlp/v1/traces"),
    ],
)
@pytest.mark.parametrize("kind", ["vLLM", "Simulator"])
def test_engines_are_told_where_how_and_from_whom_traces_go(engine, endpoint, protocol, flag, kind):
    container = engine(engine={"type": kind}, tracing={"endpoint": endpoint})
    env = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert container["args"][container["args"].index("--otlp-traces-endpoint") + 1] == flag
    assert env["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"] == protocol
    attributes = env["OTEL_RESOURCE_ATTRIBUTES"].split(",")
    assert {"k8s.pod.name=$(POD_NAME)", "k8s.node.name=$(NODE_NAME)", "k8s.container.name=engine"} <= set(attributes)
    order = list(env)
    assert max(order.index(name) for name in ("POD_NAME", "POD_NAMESPACE", "NODE_NAME")) < order.index(
        "OTEL_RESOURCE_ATTRIBUTES"
    ), "the kubelet expands only what comes before"


def test_an_engine_without_tracing_has_none_of_it(engine):
    assert not [entry for entry in engine()["env"] if entry["name"].startswith("OTEL") or entry["name"] == "NODE_NAME"]

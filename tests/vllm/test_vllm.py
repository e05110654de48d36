"""The real vLLM, on a CPU, under the operator on a real node: start, answers, metrics, traces, drain, failures."""

import json
import re
import time

import httpx
import pytest
import tiny_model
from tiny_model import SERVED_NAME, recitation

from autoglm_operator.api.signals import DESIRED_REPLICAS, ITL_P99, QUEUE_DEPTH, RUNNING_REQUESTS, TTFT_P99
from autoglm_operator.api.v1alpha1 import Spec
from autoglm_operator.autoscaler.engine_metrics import NAMES
from autoglm_operator.decide.fit.architecture import Architecture
from autoglm_operator.decide.fit.estimate import kv_per_token

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1800)]

_QUESTION = {"model": SERVED_NAME, "messages": [{"role": "user", "content": "Recite."}], "temperature": 0}


@pytest.fixture
def kv_bytes(deployment) -> int:
    """Return what fit says that a token takes in the KV cache, in bytes."""
    model = Architecture.parse(tiny_model.config())
    return model.layers * kv_per_token(Spec.model_validate(deployment.get("agd", "tiny")["spec"]), model)


def _option(manifest, flag: str) -> str:
    words = manifest["spec"]["engine"]["extraArgs"]
    return words[words.index(flag) + 1]


def _ask(engine, **options):
    return httpx.post(f"{engine.url}/v1/chat/completions", json=_QUESTION | options, timeout=120).raise_for_status()


def test_the_pod_is_restricted_and_starts_once(deployment):
    (pod,) = deployment.pods()
    (engine,) = [item for item in pod["status"]["containerStatuses"] if item["name"] == "engine"]
    assert engine["restartCount"] == 0
    (container,) = [item for item in pod["spec"]["containers"] if item["name"] == "engine"]
    assert container["command"] == ["vllm", "serve"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    conditions = {item["type"]: item["lastTransitionTime"] for item in pod["status"]["conditions"]}
    print(f"pod {pod['metadata']['name']}: scheduled {conditions['PodScheduled']}, ready {conditions['Ready']}")


def test_is_the_version_that_the_spec_names(engines, manifest):
    (engine,) = engines()
    said = httpx.get(f"{engine.url}/version", timeout=60).raise_for_status().json()["version"]
    assert said == manifest["spec"]["engine"]["version"]


def test_answers_in_one_piece(engines):
    (engine,) = engines()
    answer = _ask(engine, max_tokens=60).json()
    assert answer["choices"][0]["message"]["content"] == recitation(60)
    assert answer["usage"]["completion_tokens"] == 60


def test_answers_as_a_stream(engines):
    (engine,) = engines()
    lines = _ask(engine, max_tokens=60, stream=True).text.split("\n\n")
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: {")]
    assert "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks) == recitation(60)
    assert lines[-2] == "data: [DONE]"


def test_tells_the_metrics_that_the_autoscaler_reads(engines):
    (engine,) = engines()
    text = engine.metrics()
    for name in NAMES:
        if name.startswith("vllm:"):
            assert re.search(rf"^{name}(\{{| )", text, re.MULTILINE), name


def test_the_kv_cache_holds_what_fit_says(deployment, engines, manifest, kv_bytes):
    (engine,) = engines()
    labels = engine.labels("vllm:cache_config_info")
    told = int(labels["num_gpu_blocks"]) * int(labels["block_size"])
    computed = int(_option(manifest, "--kv-cache-memory-bytes")) // kv_bytes
    print(f"KV cache: the engine tells {told} tokens; fit says {kv_bytes} B a token, so {computed}")
    assert told == pytest.approx(computed, rel=0.05)
    deployment.within(
        60,
        "the autoscaler reports the size of the KV cache",
        lambda: (deployment.get("agd", "tiny")["status"].get("serving") or {}).get("kvCacheTokens") == told,
    )


def test_signals_reach_the_metrics_api(deployment, engines, observer):
    (engine,) = engines()
    for signal in (DESIRED_REPLICAS, QUEUE_DEPTH, RUNNING_REQUESTS, TTFT_P99, ITL_P99):

        def served(signal=signal) -> bool:
            _ask(engine, max_tokens=30)
            return observer._metric(signal) is not None

        deployment.within(90, f"the metrics API serves {signal.name}", served)
    assert deployment.get("agd", "tiny")["status"]["autoscaling"]["desiredReplicas"] == 1


def test_spans_of_requests_reach_the_collector(deployment, engines, collector):
    (engine,) = engines()
    _ask(engine, max_tokens=5)
    deployment.within(
        60, "a span llm_request arrives", lambda: any(span.name == "llm_request" for span in collector.spans)
    )
    span = next(span for span in collector.spans if span.name == "llm_request")
    attributes = {item.key: item.value for item in span.attributes}
    assert attributes["gen_ai.usage.completion_tokens"].int_value > 0


def test_no_request_is_lost_while_replicas_come_and_go(deployment, engines, traffic, logs):
    deployment.within(60, "streams are running", lambda: engines()[0].metric("vllm:num_requests_running") >= 6)
    deployment.patch({"autoscaling": {"minReplicas": 2, "maxReplicas": 2}})
    deployment.within(600, "two engines are ready", lambda: len(engines()) == 2)

    def both_busy() -> bool:
        return all(engine.metric("vllm:num_requests_running") >= 1 for engine in engines())

    deployment.within(300, "both hold streams", both_busy)
    before = {engine.name for engine in engines()}
    with logs(sorted(before)) as files:
        deployment.patch({"autoscaling": {"minReplicas": 1, "maxReplicas": 1}})
        deployment.within(
            400, "one engine has drained and is gone", lambda: len(deployment.pods()) == 1 and len(engines()) == 1
        )
        (gone,) = before - {engine.name for engine in engines()}
        time.sleep(2)  # the last lines of its log are on their way
    report = traffic.stop()
    print(f"traffic: {json.dumps(report)}")
    log = files[gone].read_text()
    drained = re.search(r"draining in-flight requests count=(\d+) timeout=(\d+)s", log)
    assert drained, f"{gone} held no request when it was told to stop, or said nothing:\n{log[-3000:]}"
    print(f"{gone} drained {drained[1]} requests with {drained[2]} s to do so")
    assert report["lost"] == []
    assert report["answered"]["short"] > 0
    assert report["answered"]["long"] >= 6


def test_an_argument_that_vllm_does_not_know_is_refused_before_a_pod_starts(deployment, manifest):
    before = {pod["metadata"]["name"] for pod in deployment.pods()}
    good = manifest["spec"]["engine"]["extraArgs"]
    deployment.patch({"engine": {"extraArgs": [*good, "--no-such-flag"]}})

    def refused() -> bool:
        return deployment.conditions().get("Stalled", {}).get("status") == "True"

    deployment.within(60, "the argument is refused", refused)
    message = deployment.conditions()["Stalled"]["message"]
    assert "--no-such-flag" in message
    assert {pod["metadata"]["name"] for pod in deployment.pods()} == before
    deployment.patch({"engine": {"extraArgs": good}})
    deployment.within(60, "it is ready with the old arguments", deployment.is_ready)


def test_a_context_longer_than_the_kv_cache_ends_in_a_reason(deployment, engines, manifest, kv_bytes):
    (old,) = engines()
    # Twice what the cache holds, and no more than the model claims to read.
    tokens = 2 * int(_option(manifest, "--kv-cache-memory-bytes")) // kv_bytes
    assert tokens < tiny_model.MAX_POSITION
    deployment.patch({"model": {"contextLength": tokens}})

    def stalled() -> bool:
        return deployment.conditions().get("Stalled", {}).get("reason") == "KVCacheTooSmall"

    deployment.within(600, "the deployment says that the KV cache is too small", stalled)
    print(deployment.conditions()["Stalled"]["message"])
    assert [engine.name for engine in engines()] == [old.name]
    assert _ask(old, max_tokens=5).json()["choices"][0]["message"]["content"] == recitation(5)
    deployment.patch({"model": {"contextLength": manifest["spec"]["model"]["contextLength"]}})
    deployment.within(300, "it is ready with the old context", deployment.is_ready)


def test_delete_leaves_nothing(deployment):
    deployment.kubectl("delete", "agd", "tiny", "--wait")
    kinds = "pods,deployments,replicasets,services,hpa,pdb,networkpolicies,serviceaccounts"
    selector = "app.kubernetes.io/managed-by=autoglm-operator"
    deployment.within(300, "every child is gone", lambda: not deployment.get(kinds, "-l", selector)["items"])

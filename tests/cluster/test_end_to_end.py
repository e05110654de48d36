"""The main job on a real node: apply → Ready → load → up → load ends → down → delete → nothing left."""

import json
import sys
import time
from pathlib import Path

import pytest

from autoglm_demo import steps
from autoglm_demo.commands import run, tool
from autoglm_demo.observe import Observer, Sample
from autoglm_demo.settings import NAMESPACE, SYSTEM_NAMESPACE, Load, Target

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

LOAD = Load(rate=0.5, spike_start=10, spike_rate=6.0, spike_duration=45, quiet_duration=30)
PLUGIN = Path(sys.executable).parent / "kubectl-autoglm"


@pytest.fixture(scope="module")
def target():
    target = Target(cluster="autoglm-e2e")
    yield target
    steps.tear_down(target)


@pytest.fixture(scope="module")
def kubeconfig(target):
    path = steps.bring_up_cluster(target)
    steps.build_images(target)
    steps.install_chart(target, path)
    return path


@pytest.fixture(scope="module")
def deployment(kubeconfig) -> Observer:
    observer, _ = steps.apply_example(kubeconfig)
    return observer


@pytest.fixture(scope="module")
def under_load(target, kubeconfig, deployment) -> tuple[list[Sample], dict]:
    steps.start_load(target, kubeconfig, LOAD)
    samples = []
    deadline = time.monotonic() + LOAD.duration + 120
    while time.monotonic() < deadline and not (time.monotonic() > deadline - 120 and steps.load_finished(kubeconfig)):
        samples.append(deployment.sample())
        time.sleep(0.5)
    return samples, steps.load_report(kubeconfig)


def test_pods_run_engine_and_agent(kubeconfig, deployment):
    pods = _json(kubeconfig, "get", "pods", "-l", "autoglm.io/deployment")["items"]
    assert len(pods) == 1
    assert [c["name"] for c in pods[0]["spec"]["containers"]] == ["engine"]
    assert [(c["name"], c["restartPolicy"]) for c in pods[0]["spec"]["initContainers"]] == [("agent", "Always")]


def test_printer_columns_are_filled(kubeconfig, deployment):
    shown = run(tool("kubectl"), "get", "agd", "-n", NAMESPACE, kubeconfig=kubeconfig).splitlines()
    assert shown[0].split()[:7] == ["NAME", "READY", "REPLICAS", "DESIRED", "MODEL", "ENGINE", "GPU"]
    assert shown[1].split()[:6] == ["autoglm-phone", "True", "1", "1", "autoglm-phone-9b", "Simulator"]


def test_the_metrics_api_is_available_through_the_aggregator(kubeconfig):
    services = json.loads(run(tool("kubectl"), "get", "apiservice", "-o", "json", kubeconfig=kubeconfig))["items"]
    ours = [item for item in services if item["spec"].get("group") == "custom.metrics.k8s.io"]
    assert {item["spec"]["version"] for item in ours} == {"v1beta1", "v1beta2"}
    for item in ours:
        available = next(c for c in item["status"]["conditions"] if c["type"] == "Available")
        assert available["status"] == "True", available


def test_helm_test_passes(kubeconfig, deployment):
    run(tool("helm"), "test", "autoglm", "-n", SYSTEM_NAMESPACE, kubeconfig=kubeconfig)


def test_load_scales_up_and_no_request_fails(under_load):
    samples, report = under_load
    assert max(sample.wanted for sample in samples) > 1
    assert max(sample.ready for sample in samples) > 1
    assert report["requests"] > 0
    assert report["failed"] == 0, report["failures"]


def test_every_signal_was_served(under_load):
    samples, _ = under_load
    for field in ("desired", "queue", "running", "ttft_p99", "itl_p99", "kv_cache", "gpu_memory"):
        assert any(getattr(sample, field) is not None for sample in samples), field


def test_explain_tells_the_last_decision(kubeconfig, under_load):
    text = run(str(PLUGIN), "explain", "autoglm-phone", "-n", NAMESPACE, kubeconfig=kubeconfig)
    assert "Last decision at" in text
    assert "replicas answer requests" in text


def test_scales_down_when_the_load_has_ended(deployment, under_load):
    _eventually(lambda: deployment.sample().ready == 1 and deployment.sample().existing == 1, 240, "scale down to 1")


def test_a_spec_that_cannot_work_keeps_the_old_pods_and_says_so(kubeconfig, deployment, under_load):
    patch = {"spec": {"engine": {"image": "localhost/autoglm/absent:none"}}}
    _kubectl(kubeconfig, "patch", "agd", "autoglm-phone", "--type", "merge", "-p", json.dumps(patch))

    def stalled() -> bool:
        conditions = {c["type"]: c for c in deployment.deployment()["status"]["conditions"]}
        return conditions["Stalled"]["reason"] == "ImageUnavailable" and conditions["Ready"]["status"] == "False"

    _eventually(stalled, 90, "condition Stalled with reason ImageUnavailable")
    assert deployment.sample().ready == 1
    events = _json(kubeconfig, "get", "events.events.k8s.io")["items"]
    assert any(event["reason"] == "ImageUnavailable" and event["type"] == "Warning" for event in events)
    back = {"spec": {"engine": {"image": None}}}
    _kubectl(kubeconfig, "patch", "agd", "autoglm-phone", "--type", "merge", "-p", json.dumps(back))
    _eventually(lambda: deployment.sample().is_ready, 90, "Ready again with the old spec")


def test_delete_leaves_nothing(kubeconfig, deployment, under_load):
    _kubectl(kubeconfig, "delete", "agd", "autoglm-phone", "--wait")
    kinds = "pods,deployments,replicasets,services,hpa,pdb,networkpolicies,serviceaccounts"
    selector = "app.kubernetes.io/managed-by=autoglm-operator"
    _eventually(lambda: not _json(kubeconfig, "get", kinds, "-l", selector)["items"], 240, "every child gone")


def _eventually(check, seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(1)


def _kubectl(kubeconfig: Path, *arguments: str) -> str:
    return run(tool("kubectl"), *arguments, "-n", NAMESPACE, kubeconfig=kubeconfig)


def _json(kubeconfig: Path, *arguments: str) -> dict:
    return json.loads(_kubectl(kubeconfig, *arguments, "-o", "json"))

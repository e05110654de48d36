"""The main job on a real node: apply → Ready → load → up → load ends → down → delete → nothing left."""

import json
import logging
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml
from kubernetes import client, config

from autoglm_demo import steps
from autoglm_demo.commands import run, tool
from autoglm_demo.observe import Observer, Sample
from autoglm_demo.settings import EXAMPLE, NAMESPACE, SYSTEM_NAMESPACE, Load, Target
from autoglm_operator.api import names

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

LOAD = Load(rate=0.5, spike_start=10, spike_rate=6.0, spike_duration=45, quiet_duration=30)
PLUGIN = Path(sys.executable).parent / "kubectl-autoglm"
logger = logging.getLogger(__name__)


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


def test_benchmarks_run_to_their_verdict_and_one_that_is_killed_says_what_it_has(kubeconfig, deployment, tmp_path):
    _reports_claim(kubeconfig, tmp_path)
    _benchmark(kubeconfig, "before")
    _eventually(lambda: _ended(kubeconfig, "before"), 60, "the first run's end")
    _benchmark(kubeconfig, "after", baseline={"name": "before"})
    _benchmark(kubeconfig, "killed", duration="5m")
    _eventually(lambda: _ended(kubeconfig, "after"), 60, "the second run's end")
    conditions = _ended(kubeconfig, "after")
    assert {name: conditions[name] for name in ("Complete", "ObjectiveMet", "ReportWritten")} == {
        "Complete": ("True", "RunFinished"),
        "ObjectiveMet": ("True", "ObjectiveHeld"),
        "ReportWritten": ("True", "ReportWritten"),
    }
    last = _json(kubeconfig, "get", "agb", "after")["status"]["lastRun"]
    assert last["comparison"]
    assert (tmp_path / last["report"].partition(":")[2] / "report.html").exists()
    _kubectl(kubeconfig, "delete", "pod", "-l", "autoglm.io/benchmark=killed", "--wait=false")
    _eventually(lambda: _ended(kubeconfig, "killed"), 60, "the killed run's end")
    assert _ended(kubeconfig, "killed")["Complete"] == ("False", "RunPartial")
    report = _json(kubeconfig, "get", "agb", "killed")["status"]["lastRun"]["report"].partition(":")[2]
    assert json.loads((tmp_path / report / "result.json").read_text())["partialReason"] == "stopped by SIGTERM"
    _kubectl(kubeconfig, "delete", "agb", "--all")
    _eventually(lambda: not _json(kubeconfig, "get", "jobs,pods", "-l", "autoglm.io/benchmark")["items"], 60, "no Jobs")


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


class Steady(threading.Thread):
    """A deployment of its own, with room in its batch for long answers, and what becomes of its pods."""

    def __init__(self, kubeconfig: Path) -> None:
        super().__init__(daemon=True)
        self._kubeconfig = kubeconfig
        api = config.new_client_from_config(str(kubeconfig))
        self._pods, self._slices = client.CoreV1Api(api), client.DiscoveryV1Api(api)
        self._ended = threading.Event()
        self.stages: dict[str, str] = {}
        self.removed: dict[str, str] = {}
        self.served: set[str] = set()

    def order(self, least: int) -> float:
        """Set the fewest replicas; return when."""
        document = yaml.safe_load(EXAMPLE.read_text())
        document["metadata"]["name"] = "steady"
        document["spec"]["engine"]["batching"]["maxNumSeqs"] = 128
        document["spec"]["autoscaling"] |= {"minReplicas": least, "scaleDownHold": "5s"}
        _apply(self._kubeconfig, document)
        return time.monotonic()

    def run(self) -> None:
        ours = f"{names.LABEL_DEPLOYMENT}=steady"
        while not self._ended.wait(0.2):
            for pod in self._pods.list_namespaced_pod(NAMESPACE, label_selector=ours).items:
                self.stages[pod.metadata.name] = stage = pod.metadata.labels[names.LABEL_SERVING]
                if pod.metadata.deletion_timestamp is not None:
                    self.removed.setdefault(pod.metadata.name, stage)
            slices = self._slices.list_namespaced_endpoint_slice(NAMESPACE, label_selector=ours).items
            ready = [one for item in slices for one in item.endpoints or [] if one.conditions.ready]
            self.served = {one.target_ref.name for one in ready}

    def out(self) -> list[str]:
        """Return the pods that are taken out of service."""
        return [name for name, stage in self.stages.items() if stage != names.SERVING and name not in self.removed]

    def end(self) -> None:
        self._ended.set()
        self.join(10)
        _kubectl(self._kubeconfig, "delete", "agd", "steady", "--wait")


@pytest.fixture
def steady(kubeconfig, deployment):
    made = Steady(kubeconfig)
    made.start()
    yield made
    made.end()


def _start_long_answers(target: Target, kubeconfig: Path, seconds: int) -> None:
    """Start the load generator of the demo: answers of about seven seconds, each on a connection of its own."""
    job = steps._job(target, LOAD)
    words = ["--url", "http://steady:8000/v1", "--profile", "poisson", "--rate", "0.5", "--duration", str(seconds)]
    words += ["--model", "autoglm-phone-9b", "--prompt-tokens", "16", "--output-tokens", "300", "-o", "json"]
    job["spec"]["template"]["spec"]["containers"][0]["args"] = ["run", *words]
    _kubectl(kubeconfig, "delete", "job", "load", "--ignore-not-found", "--wait")
    _apply(kubeconfig, job)


def test_replicas_that_leave_lose_no_request_and_come_back_at_once(target, kubeconfig, steady):
    steady.order(3)
    _eventually(lambda: len(steady.served) == 3, 90, "three replicas that are sent requests")
    _start_long_answers(target, kubeconfig, 100)
    time.sleep(12)
    lowered = steady.order(1)
    _eventually(steady.out, 60, "a replica out of service", pause=0.05)
    out = time.monotonic()
    asked = steady.order(3)
    _eventually(lambda: not steady.out(), 15, "all replicas labelled as serving", pause=0.05)
    labelled = time.monotonic()
    _eventually(lambda: len(steady.served) == 3, 15, "three replicas that are sent requests", pause=0.05)
    back = time.monotonic()
    assert steady.removed == {}
    assert back - labelled < 2
    again = steady.order(1)
    _eventually(lambda: len(steady.removed) == 2, 150, "two replicas removed")
    gone = time.monotonic()
    _eventually(lambda: steps.load_finished(kubeconfig), 150, "the end of the load")
    report = steps.load_report(kubeconfig)
    logger.info(
        "out of service after %.1f s; back %.1f s after they were asked for, %.1f s after their label; two removed "
        "after %.0f s as %s; %d requests, %d failed",
        *(out - lowered, back - asked, back - labelled, gone - again, steady.removed),
        *(report["requests"], report["failed"]),
    )
    assert set(steady.removed.values()) == {names.DRAINED}, "exactly those that had finished"
    assert report["requests"] > 20
    assert report["failed"] == 0, report["failures"]


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


def _eventually(check, seconds: float, what: str, pause: float = 1.0) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(pause)


def _reports_claim(kubeconfig: Path, folder: Path) -> None:
    """Make a claim of a folder of this machine that pods of any user may write to."""
    for each in (folder, *folder.parents[:2]):
        each.chmod(0o777)
    size, kept = {"storage": "1Gi"}, {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    volume = kept | {"capacity": size, "hostPath": {"path": str(folder)}}
    claim = kept | {"volumeName": "reports", "resources": {"requests": size}}
    for kind, spec in (("PersistentVolume", volume), ("PersistentVolumeClaim", claim)):
        _apply(kubeconfig, {"apiVersion": "v1", "kind": kind, "metadata": {"name": "reports"}, "spec": spec})


def _benchmark(kubeconfig: Path, name: str, **changes) -> None:
    spec = {
        "target": {"deploymentRef": {"name": "autoglm-phone"}},
        "profile": {"type": "Constant", "rate": 1},
        "workload": {"promptTokens": 64, "outputTokens": 8},
        "duration": "5s",
        "objective": {"ttftP99": "30s"},
        "report": {"pvc": {"claimName": "reports"}},
    }
    meta = {"apiVersion": "autoglm.io/v1alpha1", "kind": "AutoGLMBenchmark", "metadata": {"name": name}}
    _apply(kubeconfig, meta | {"spec": spec | changes})


def _ended(kubeconfig: Path, name: str) -> dict[str, tuple[str, str]]:
    """Return status and reason of the conditions of a benchmark whose run has ended; empty before."""
    status = _json(kubeconfig, "get", "agb", name).get("status", {})
    found = {c["type"]: (c["status"], c["reason"]) for c in status.get("conditions", [])}
    return found if "lastRun" in status and "job" not in status else {}


def _kubectl(kubeconfig: Path, *arguments: str) -> str:
    return run(tool("kubectl"), *arguments, "-n", NAMESPACE, kubeconfig=kubeconfig)


def _apply(kubeconfig: Path, document: dict) -> None:
    run(tool("kubectl"), "apply", "-n", NAMESPACE, "-f", "-", kubeconfig=kubeconfig, stdin=yaml.safe_dump(document))


def _json(kubeconfig: Path, *arguments: str) -> dict:
    return json.loads(_kubectl(kubeconfig, *arguments, "-o", "json"))

"""A cluster of its own with the operator and the real vLLM, and what asks the engine and looks at it."""

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

HERE = Path(__file__).resolve().parent
# Test folders are no packages: what stands beside this file is found by its name.
sys.path.insert(0, str(HERE))

import tiny_model  # noqa: E402
from otlp_collector import Collector  # noqa: E402

from autoglm_demo import steps  # noqa: E402
from autoglm_demo.commands import own, run, show, tool  # noqa: E402
from autoglm_demo.observe import Observer  # noqa: E402
from autoglm_demo.settings import ROOT, Target  # noqa: E402
from localcluster import prerequisites  # noqa: E402

Document = dict[str, Any]

NAMESPACE = "autoglm-vllm"
DEPLOYMENT = "tiny"
SELECTOR = f"autoglm.io/deployment={DEPLOYMENT}"
_IMAGE = "localhost/autoglm/vllm-cpu:dev"
#: While the image of 5 GB is loaded, there are four copies of it.
_DISK = 20 << 30


def progress(text: str) -> None:
    """Say what is going on: the whole takes minutes."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


@dataclass(frozen=True)
class Cluster:
    """The cluster as its administrator sees it, in the namespace of the test."""

    kubeconfig: Path
    name: str
    host_address: str

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return run(tool("kubectl"), "-n", NAMESPACE, *arguments, kubeconfig=self.kubeconfig, stdin=stdin)

    def apply(self, file: str, **values: str) -> None:
        """Apply a file that stands beside this one, with its names in capitals filled in."""
        text = (HERE / file).read_text()
        for name, value in values.items():
            text = text.replace(f" {name.upper()}", f" {value}")
        self.kubectl("apply", "-f", "-", stdin=text)

    def get(self, *what: str) -> Document:
        return json.loads(self.kubectl("get", *what, "-o", "json"))

    def pods(self) -> list[Document]:
        """Return the engine pods."""
        return self.get("pods", "-l", SELECTOR)["items"]

    def patch(self, spec: Document) -> None:
        self.kubectl("patch", "agd", DEPLOYMENT, "--type", "merge", "-p", json.dumps({"spec": spec}))

    def conditions(self) -> dict[str, Document]:
        """Return the conditions of the deployment that are about its newest spec."""
        found = self.get("agd", DEPLOYMENT)
        status = found.get("status") or {}
        if status.get("observedGeneration") != found["metadata"]["generation"]:
            return {}
        return {item["type"]: item for item in status.get("conditions") or []}

    def is_ready(self) -> bool:
        return self.conditions().get("Ready", {}).get("status") == "True"

    def within(self, seconds: float, what: str, check: Callable[[], Any]) -> Any:
        """Return what `check` returns once it is true; show what is there if that takes too long."""
        start = time.monotonic()
        progress(f"wait until {what}")
        while not (found := check()):
            if time.monotonic() - start > seconds:
                pytest.fail(f"not within {seconds:.0f} s: {what}\n{self.picture()}", pytrace=False)
            time.sleep(1)
        progress(f"  after {time.monotonic() - start:.0f} s")
        return found

    def picture(self) -> str:
        """Return what somebody would look at first."""
        parts = [self.kubectl("get", "agd,pods,hpa", "-o", "wide")]
        parts += [f"{item['type']}: {item}" for item in self.conditions().values()]
        parts += [
            self.kubectl("logs", pod["metadata"]["name"], "-c", "engine", "--tail", "15", "--ignore-errors")
            for pod in self.pods()
        ]
        return "\n".join(parts)


def _lacking() -> list[str]:
    """Return why this machine cannot run the test."""
    reasons = prerequisites.lacking_for_node()
    if (free := shutil.disk_usage(Path.home()).free) < _DISK:
        reasons.append(f"it needs {_DISK >> 30} GiB of free disk to load the image, and has {free >> 30}")
    return reasons


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Bring up a cluster with the operator, and remove all of it in the end."""
    if reasons := _lacking():
        pytest.skip(f"no real node can run here: {'; '.join(reasons)}")
    target = Target(cluster=NAMESPACE)
    try:
        kubeconfig = steps.bring_up_cluster(target)
        show(own("python"), "scripts/images.py", "operator", "agent", "--cluster", target.cluster)
        steps.install_chart(target, kubeconfig)
        status = json.loads(run(own("localcluster"), "status", "--name", target.cluster, "-o", "json"))
        yield Cluster(kubeconfig, target.cluster, status["host_address"])
    finally:
        steps.tear_down(target)


@pytest.fixture(scope="session")
def image(cluster) -> str:
    """Build the image of vLLM and load it; both take minutes the first time, and loading each time."""
    context = ROOT / ".local/images/vllm-cpu"
    shutil.rmtree(context, ignore_errors=True)
    context.mkdir(parents=True)
    shutil.copy(HERE / "Dockerfile", context)
    shutil.copy(HERE / "requirements.lock", context / "requirements.txt")
    progress("the image of vLLM: about 3 GB of wheels the first time, and 5 GB to load into the node")
    what = ("--dockerfile", str(context / "Dockerfile"), "--context", str(context))
    show(own("localcluster"), "images", "build", *what, "--tag", _IMAGE, "--name", cluster.name)
    return _IMAGE


@pytest.fixture(scope="session")
def collector(cluster) -> Iterator[Collector]:
    """Take the traces of the engines on the host, which pods reach by its address."""
    with Collector(cluster.host_address) as collector:
        yield collector


@pytest.fixture(scope="session")
def deployment(cluster, image, collector, tmp_path_factory) -> Cluster:
    """Apply the deployment and wait until it is ready."""
    models = tmp_path_factory.mktemp("models")
    models.chmod(0o755)
    tiny_model.write(models / "tiny")
    cluster.apply("objects.yaml", namespace=NAMESPACE, folder=str(models))
    cluster.apply("deployment.yaml", image=image, collector=collector.url)
    cluster.within(600, "vLLM is ready", cluster.is_ready)
    return cluster


@dataclass(frozen=True)
class Engine:
    """One engine pod, asked by its own address."""

    name: str
    url: str

    def metrics(self) -> str:
        return httpx.get(f"{self.url}/metrics", timeout=60).raise_for_status().text

    def metric(self, name: str) -> float:
        """Return the sum of a metric over its labels."""
        found = re.findall(rf"^{re.escape(name)}(?:\{{.*\}})? (\S+)$", self.metrics(), re.MULTILINE)
        assert found, f"{self.name} does not tell {name}"
        return sum(map(float, found))

    def labels(self, name: str) -> dict[str, str]:
        """Return the labels of a metric that is there once."""
        (found,) = re.findall(rf"^{re.escape(name)}\{{(.*)\}} ", self.metrics(), re.MULTILINE)
        return dict(re.findall(r'(\w+)="([^"]*)"', found))


@pytest.fixture
def engines(deployment) -> Callable[[], list[Engine]]:
    """Return the engines that are ready and not told to stop."""

    def find() -> list[Engine]:
        return [
            Engine(pod["metadata"]["name"], f"http://{pod['status']['podIP']}:8000")
            for pod in deployment.pods()
            if "deletionTimestamp" not in pod["metadata"]
            and any(item["type"] == "Ready" and item["status"] == "True" for item in pod["status"]["conditions"])
        ]

    return find


@pytest.fixture
def observer(deployment) -> Observer:
    return Observer(deployment.kubeconfig, NAMESPACE, DEPLOYMENT)


class Client:
    """The pod that asks through the Service."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def stop(self) -> Document:
        """End the traffic, wait for the answers in flight, and return the report."""
        self._cluster.kubectl("exec", "traffic", "--", "touch", "/tmp/stop")  # noqa: S108  # in the pod
        self._cluster.kubectl("wait", "pod/traffic", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=300s")
        return json.loads(self._cluster.kubectl("logs", "traffic").splitlines()[-1])


@pytest.fixture
def traffic(deployment, image) -> Iterator[Client]:
    """Start the traffic through the Service."""
    files = [f"--from-file={HERE / name}" for name in ("traffic.py", "tiny_model.py")]
    deployment.kubectl("create", "configmap", "traffic", *files)
    deployment.apply("traffic.yaml", image=image)
    deployment.kubectl("wait", "pod/traffic", "--for=condition=Ready", "--timeout=120s")
    yield Client(deployment)
    deployment.kubectl("delete", "pod/traffic", "configmap/traffic", "--grace-period=0", "--ignore-not-found")


@contextmanager
def followed(cluster: Cluster, pods: list[str], folder: Path) -> Iterator[dict[str, Path]]:
    """Write the logs of engines to files while they run, for they go with the pod."""
    files = {pod: folder / f"{pod}.log" for pod in pods}
    command = [tool("kubectl"), "--kubeconfig", str(cluster.kubeconfig), "-n", NAMESPACE, "logs", "-f", "-c", "engine"]
    followers = []
    try:
        for pod, file in files.items():
            with file.open("wb") as output:
                followers.append(subprocess.Popen([*command, pod], stdout=output, stderr=subprocess.STDOUT))
        yield files
    finally:
        for follower in followers:
            follower.terminate()
            follower.wait()


@pytest.fixture
def logs(deployment, tmp_path) -> Callable[..., Any]:
    return lambda pods: followed(deployment, pods, tmp_path)


@pytest.fixture(scope="session")
def manifest() -> Document:
    """Return the deployment as it stands in the file."""
    return yaml.safe_load((HERE / "deployment.yaml").read_text())

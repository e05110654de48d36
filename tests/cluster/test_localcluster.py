"""A second cluster comes up beside others, works, and goes without a trace."""

import json
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from localcluster import cgroups, processes
from localcluster.paths import ClusterPaths

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

LOCALCLUSTER = str(Path(sys.executable).parent / "localcluster")


def _localcluster(*arguments: str) -> str:
    return subprocess.run([LOCALCLUSTER, *arguments], check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def name():
    name = f"test-{uuid.uuid4().hex[:8]}"
    _localcluster("up", "--name", name, "--node", "none", "--kwok", "2", "--apiserver-arg=--event-ttl=30m")
    yield name
    _localcluster("down", "--name", name)


@pytest.fixture(scope="module")
def status(name):
    return json.loads(_localcluster("status", "--name", name, "-o", "json"))


@pytest.fixture(scope="module")
def kubectl(name):
    program = _localcluster("tool", "kubectl").strip()
    kubeconfig = _localcluster("kubeconfig", "--name", name).strip()

    def call(*arguments: str, stdin: str | None = None) -> str:
        command = [program, "--kubeconfig", kubeconfig, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, input=stdin).stdout

    return call


def test_fake_nodes_offer_gpus(kubectl):
    nodes = json.loads(kubectl("get", "nodes", "-o", "json"))["items"]
    assert [node["status"]["allocatable"]["nvidia.com/gpu"] for node in nodes] == ["8", "8"]


def test_a_pod_that_wants_a_fake_node_runs_there(kubectl):
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "wants-fake"},
        "spec": {
            "tolerations": [{"key": "kwok.x-k8s.io/node", "operator": "Exists"}],
            "containers": [{"name": "c", "image": "none", "resources": {"limits": {"nvidia.com/gpu": "4"}}}],
        },
    }
    kubectl("apply", "-f", "-", stdin=json.dumps(pod))
    kubectl("wait", "--for=condition=Ready", "pod/wants-fake", "--timeout=60s")


def test_writes_are_audited(kubectl, status):
    kubectl("create", "configmap", "seen")
    lines = Path(status["audit_log"]).read_text().splitlines()
    written = [event for event in map(json.loads, lines) if event.get("objectRef", {}).get("name") == "seen"]
    assert [event["verb"] for event in written] == ["create"]


def test_up_again_changes_nothing(name, status):
    options = ("--node", "none", "--kwok", "2", "--apiserver-arg=--event-ttl=30m")
    _localcluster("up", "--name", name, *options)
    assert json.loads(_localcluster("status", "--name", name, "-o", "json"))["processes"] == status["processes"]


def test_other_options_than_those_it_runs_with_are_refused(name):
    answer = subprocess.run(
        [LOCALCLUSTER, "up", "--name", name, "--node", "none"], check=False, capture_output=True, text=True
    )
    assert answer.returncode == 1
    assert "is up with other options" in answer.stderr


def test_down_leaves_nothing_even_after_a_crash():
    name = f"test-{uuid.uuid4().hex[:8]}"
    root = ClusterPaths.of(name).root
    before = _traces()
    mounts = Path("/proc/self/mountinfo").read_text()
    _localcluster("up", "--name", name, "--node", "none")
    status = json.loads(_localcluster("status", "--name", name, "-o", "json"))
    subprocess.run(
        ["kill", "-9", str(status["processes"]["etcd"]), str(status["processes"]["kube-scheduler"])], check=True
    )
    _localcluster("down", "--name", name)
    assert not root.exists()
    assert processes.find(root) == []
    assert cgroups.groups(name) == []
    assert Path("/proc/self/mountinfo").read_text() == mounts
    assert status["host_address"] not in subprocess.check_output(["ip", "address"], text=True)
    assert _traces() == before


def _traces() -> set[str]:
    tables = subprocess.run(["nft", "list", "tables"], check=False, capture_output=True, text=True).stdout
    return {path.name for path in Path("/sys/class/net").glob("lc*")} | {
        line for line in tables.splitlines() if "localcluster" in line
    }

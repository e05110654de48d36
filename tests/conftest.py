"""What tests of several folders share."""

import contextlib
import fcntl
import json
import logging
import os
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from autoglm_operator import tracing
from autoglm_operator.api import names
from autoglm_operator.kube import spans

Document = dict[str, Any]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files instead of comparing")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name what this machine could not run, last of all: a test that is skipped in silence passes for a good one."""
    reasons = Counter(str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", []))
    terminalreporter.section("not run on this machine", "-")
    for reason, number in sorted(reasons.items()):
        terminalreporter.write_line(f"{number} tests: {reason.removeprefix('Skipped: ')}")
    if not reasons:
        terminalreporter.write_line("nothing: every selected test was run")


@pytest.fixture(autouse=True)
def _loud_exporters() -> Iterator[None]:
    """Let OpenTelemetry log as before: agent, simulator and load generator silence it for their whole process."""
    exporters = logging.getLogger("opentelemetry")
    level = exporters.level
    yield
    exporters.setLevel(level)


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """Collect the operator's spans."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    for module in (spans, tracing):
        monkeypatch.setattr(module, "tracer", provider.get_tracer("t"))
    return exporter


@pytest.fixture(scope="session")
def deployment_document() -> Callable[..., Document]:
    """Make an AutoGLMDeployment as the API serves it; keywords replace parts of the spec."""

    def make(name: str = "phone", namespace: str = "team-a", *, generation: int = 1, **spec: Any) -> Document:
        simulated = {"engine": {"type": "Simulator"}, "model": {"source": {"huggingFace": "zai-org/AutoGLM-Phone-9B"}}}
        return {
            "apiVersion": names.API_VERSION,
            "kind": names.KIND,
            "metadata": {
                "name": name,
                "namespace": namespace,
                "uid": f"uid-of-{name}",
                "generation": generation,
                "resourceVersion": "1",
            },
            "spec": simulated | spec,
        }

    return make


@dataclass(frozen=True)
class ControlPlane:
    """A cluster whose API server and controller-manager are real.

    Attributes:
        kubeconfig: of the administrator.
        host_address: address of this machine that the API server can reach, for aggregated APIs and webhooks.
        audit_log: one JSON event a line, or `None` where there is none.
    """

    kubeconfig: Path
    host_address: str
    audit_log: Path | None


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _localcluster(*arguments: str) -> str:
    command = [str(Path(sys.executable).parent / "localcluster"), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=900).stdout
    except subprocess.CalledProcessError as error:
        pytest.fail(f"{' '.join(command)}: {error.stderr}", pytrace=False)


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory, worker_id, testrun_uid) -> Iterator[ControlPlane]:
    """One control plane for all workers: the first brings it up, the last takes it down.

    AUTOGLM_TEST_KUBECONFIG names a cluster to use instead; AUTOGLM_TEST_HOST_ADDRESS and AUTOGLM_TEST_AUDIT_LOG say
    more about it.
    """
    if given := os.environ.get("AUTOGLM_TEST_KUBECONFIG"):
        address = os.environ.get("AUTOGLM_TEST_HOST_ADDRESS") or socket.gethostbyname(socket.gethostname())
        audit = os.environ.get("AUTOGLM_TEST_AUDIT_LOG")
        yield ControlPlane(Path(given), address, Path(audit) if audit else None)
        return
    name = f"test-{testrun_uid[:8]}"
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent
    users, user = shared / "users", shared / "users" / worker_id
    with _locked(shared / "control-plane.lock"):
        users.mkdir(exist_ok=True)
        _localcluster("up", "--node", "none", "--name", name)
        user.touch()
    try:
        report = json.loads(_localcluster("status", "--name", name, "-o", "json"))
        yield ControlPlane(Path(report["kubeconfig"]), report["host_address"], Path(report["audit_log"]))
    finally:
        with _locked(shared / "control-plane.lock"):
            user.unlink()
            if not any(users.iterdir()):
                _localcluster("down", "--name", name)

"""What the scripts share: the control plane, the operator as a process, the audit log, and the record of a run."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / ".local/bench"
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class ControlPlane:
    """A local cluster without a node.

    Attributes:
        kubeconfig: of the administrator.
        audit_log: one JSON line for each request.
        processes: process id by component.
        host_address: address of this machine that the API server can reach.
    """

    kubeconfig: Path
    audit_log: Path
    processes: dict[str, int]
    host_address: str


@contextlib.contextmanager
def control_plane(name: str, *arguments: str) -> Iterator[ControlPlane]:
    """Run a control plane for the length of the block."""
    tool = str(BIN / "localcluster")
    try:
        subprocess.run([tool, "up", "--name", name, "--node", "none", *arguments], check=True)
        status = json.loads(subprocess.check_output([tool, "status", "--name", name, "-o", "json"]))
        yield ControlPlane(
            Path(status["kubeconfig"]), Path(status["audit_log"]), status["processes"], status["host_address"]
        )
    finally:
        subprocess.run([tool, "down", "--name", name], check=True)


@contextlib.contextmanager
def frozen(plane: ControlPlane, *components: str) -> Iterator[None]:
    """Stop components for the length of the block, so that only API server, etcd and the measured program work."""
    stopped = [plane.processes[component] for component in components if component in plane.processes]
    for process in stopped:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in stopped:
            os.kill(process, signal.SIGCONT)


@contextlib.contextmanager
def operator(plane: ControlPlane, log: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the operator as a process until the block ends."""
    variables = (
        os.environ | {"KUBECONFIG": str(plane.kubeconfig), "POD_NAME": "bench", "HEALTH_PORT": "18091"} | environment
    )
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-m", "autoglm_operator", "operator"], env=variables, stderr=output)
        try:
            _wait_leading(process, log)
            yield process
        finally:
            process.terminate()
            process.wait(timeout=15)


def _wait_leading(process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while b'"leading"' not in log.read_bytes():
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"the operator does not lead; its log is {log}:\n{log.read_text()[-2000:]}")
        time.sleep(0.2)


def resident_mib(process: int) -> float:
    """Return the resident memory of a process in MiB."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"process {process} has no VmRSS")


def writes(plane: ControlPlane, offset: int, user_agent: str = "autoglm-operator") -> Counter[str]:
    """Return the writes of one program since `offset` bytes of the audit log, by `verb resource`."""
    counted: Counter[str] = Counter()
    with plane.audit_log.open("rb") as log:
        log.seek(offset)
        for line in log:
            event = json.loads(line)
            if event.get("userAgent") == user_agent and event["verb"] in {"create", "update", "patch", "delete"}:
                reference = event["objectRef"]
                counted[
                    " ".join(filter(None, (event["verb"], reference["resource"], reference.get("subresource"))))
                ] += 1
    return counted


def spread(values: Sequence[float]) -> str:
    """Return minimum, median and maximum in words."""
    return f"{median(values):.2f} (min {min(values):.2f}, max {max(values):.2f}, n={len(values)})"


def record(name: str, figures: dict[str, Any]) -> None:
    """Print the figures and keep them under `.local/bench/`."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    (OUTPUT / f"{name}.json").write_text(json.dumps(figures, indent=2) + "\n")
    print(f"\n{name}")
    for key, value in figures.items():
        if not isinstance(value, list | dict):
            print(f"  {key:<44} {value}")

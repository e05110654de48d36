"""The first process of the node's namespaces: mounts, addresses, the node's programs, and the reaping of orphans.

When it dies, the kernel kills every process of the node, and with the last of them go its mounts, interfaces and rules.
That is why `down` needs to find nothing but this process, whatever crashed before.

Run as `python -m localcluster.node.init PLAN`, as process 1 of new mount, network and process namespaces.
"""

import dataclasses
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from localcluster.commands import run, succeeds
from localcluster.processes import NAME_VARIABLE

_POLL = 0.05
_PATIENCE = 30.0
_SYSCTLS = {
    "net/ipv4/ip_forward": "1",
    # Answers between two pods on the bridge must pass the rules that translated the question.
    "net/bridge/bridge-nf-call-iptables": "1",
}


@dataclass
class Program:
    """A program of the node."""

    name: str
    command: list[str]
    #: a socket that appears when it is ready for the next
    socket: str = ""
    #: a command to run then
    then: list[str] = field(default_factory=list)


@dataclass
class Plan:
    """What the first process is to do."""

    address: str
    gateway: str
    #: folder of the cluster's state → where it is mounted
    binds: dict[str, str]
    logs: str
    programs: list[Program]

    def to_json(self) -> str:
        """Return the plan as the content of a file."""
        return json.dumps(dataclasses.asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str) -> "Plan":
        """Read a plan."""
        raw = json.loads(text)
        raw["programs"] = [Program(**program) for program in raw["programs"]]
        return cls(**raw)


def main(plan_file: Path) -> None:
    """Do what the plan says and then reap for ever."""
    plan = Plan.from_json(plan_file.read_text())
    mount(plan)
    connect(plan)
    names = {start(program, Path(plan.logs)): program.name for program in plan.programs}
    _log("the node's programs are started")
    while True:
        reap(names)


def mount(plan: Plan) -> None:
    """Mount the cluster's folders where the programs expect theirs."""
    # Shared among the node's own namespaces only: the kubelet wants that of what it mounts into pods.
    run("mount", "--make-rshared", "/")
    for source, target in plan.binds.items():
        Path(source).mkdir(parents=True, exist_ok=True)
        run("mount", "--bind", source, target)


def connect(plan: Plan) -> None:
    """Wait until the host has put a link into this network, and configure it."""
    deadline = time.monotonic() + _PATIENCE
    while not succeeds("ip", "link", "show", "dev", "eth0"):
        if time.monotonic() > deadline:
            sys.exit(f"no link from the host within {_PATIENCE:.0f} s")
        time.sleep(_POLL)
    run("ip", "link", "set", "lo", "up")
    run("ip", "address", "add", plan.address, "dev", "eth0")
    run("ip", "link", "set", "eth0", "up")
    run("ip", "route", "add", "default", "via", plan.gateway)
    for name, value in _SYSCTLS.items():
        path = Path("/proc/sys", name)
        if path.exists():
            path.write_text(value)


def start(program: Program, logs: Path) -> int:
    """Start a program, wait until it is ready for the next, and return its process id."""
    variables = {**os.environ, NAME_VARIABLE: program.name}
    with (logs / f"{program.name}.log").open("ab") as output:
        process = subprocess.Popen(  # noqa: S603  # from the plan, which is ours
            program.command,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    _log(f"{program.name} started")
    deadline = time.monotonic() + _PATIENCE
    while program.socket and not Path(program.socket).is_socket():
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"{program.name} did not come up; see its log")
        time.sleep(_POLL)
    if program.then:
        run(*program.then)
    return process.pid


def reap(names: dict[int, str]) -> None:
    """Take the exit status of the next child, ours or an orphan."""
    pid, status = os.waitpid(-1, 0)
    if pid in names:
        _log(f"{names.pop(pid)} ended with status {os.waitstatus_to_exitcode(status)}")


def _log(text: str) -> None:
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

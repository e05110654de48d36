"""Starts processes that outlive the caller, and finds them again.

Each process carries the folder of its cluster and its name in its environment, and its children inherit both. So a
process is known to be ours by what the kernel says about it: there is no moment between a start and a note of it, and a
number that the kernel has given to somebody else is never mistaken for ours.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

CLUSTER_VARIABLE = "LOCALCLUSTER_STATE"
NAME_VARIABLE = "LOCALCLUSTER_PROCESS"
_START_TIME_FIELD = 19  # of /proc/PID/stat, counted after the command's closing bracket
_STATE_FIELD = 0
_SESSION_FIELD = 3


@dataclass(frozen=True, order=True)
class Process:
    """A process of a cluster."""

    name: str
    start_time: int
    pid: int
    #: whether it was started here, and not by one that was
    leads: bool


def start(root: Path, name: str, command: Sequence[str], log: Path) -> int:
    """Start a process in a session of its own and return its process id.

    Args:
        root: state folder of the cluster.
        name: what `status` calls it.
        command: program and arguments.
        log: file that receives its outputs.
    """
    variables = {**os.environ, **markers(root, name)}
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603  # arguments are built here, never by a shell
            command,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            cwd="/",
        )
    # It belongs to nobody here: without this Python warns about a child that still runs when the object goes.
    process.returncode = 0
    return process.pid


def markers(root: Path, name: str) -> dict[str, str]:
    """Return the variables by which a process is known."""
    return {CLUSTER_VARIABLE: str(root), NAME_VARIABLE: name}


def find(root: Path) -> list[Process]:
    """Return every living process of a cluster, children included."""
    mark = f"{CLUSTER_VARIABLE}={root}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            with contextlib.suppress(OSError):
                variables = (folder / "environ").read_bytes().split(b"\0")
                stat = (folder / "stat").read_text().rpartition(")")[2].split()
                if mark in variables and stat[_STATE_FIELD] != "Z":
                    leads = stat[_SESSION_FIELD] == folder.name
                    found.append(Process(_name(variables), int(stat[_START_TIME_FIELD]), int(folder.name), leads))
    return sorted(found)


def by_name(processes: list[Process]) -> dict[str, int]:
    """Return the process id of each name; children that bear the same name are left out."""
    return {process.name: process.pid for process in processes if process.leads}


def kill(root: Path, *, seconds: float = 10) -> list[Process]:
    """End every process of a cluster at once and return those that are still there after a while."""
    deadline = time.monotonic() + seconds
    while (left := find(root)) and time.monotonic() < deadline:
        for process in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        time.sleep(0.05)
    return left


def has_ended(pid: int) -> bool:
    """Say whether a process that this process has started is over."""
    return os.waitpid(pid, os.WNOHANG) != (0, 0)


def children(pid: int) -> list[int]:
    """Return the children of a process."""
    with contextlib.suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _name(variables: list[bytes]) -> str:
    prefix = f"{NAME_VARIABLE}=".encode()
    return next((item.removeprefix(prefix).decode() for item in variables if item.startswith(prefix)), "unnamed")

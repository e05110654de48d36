"""Runs other programs; what they print is shown only if they fail."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from autoglm_demo.settings import ROOT


class DemoError(Exception):
    """A step failed; the message says which and what it printed."""


def run(*command: str, kubeconfig: Path | None = None, stdin: str | None = None) -> str:
    """Run a command and return its standard output.

    Raises:
        DemoError: it failed.
    """
    environment = {"KUBECONFIG": str(kubeconfig)} if kubeconfig else {}
    result = subprocess.run(  # noqa: S603  # the demo's own commands
        command, check=False, cwd=ROOT, input=stdin, capture_output=True, text=True, env={**os.environ, **environment}
    )
    if result.returncode:
        raise DemoError(
            f"`{' '.join(command)}` failed with exit status {result.returncode}:\n{result.stderr or result.stdout}"
        )
    return result.stdout


def show(*command: str) -> None:
    """Run a command that shows its own progress.

    Raises:
        DemoError: it failed.
    """
    if subprocess.run(command, check=False, cwd=ROOT).returncode:  # noqa: S603  # the demo's own commands
        raise DemoError(f"`{' '.join(command)}` failed; its output is above")


def own(program: str) -> str:
    """Return the path of a program of this workspace."""
    return str(Path(sys.executable).parent / program)


def tool(name: str) -> str:
    """Return the path of `helm` or `kubectl`: the one on the PATH, or the one that localcluster builds."""
    return shutil.which(name) or run(own("localcluster"), "tool", name).strip()

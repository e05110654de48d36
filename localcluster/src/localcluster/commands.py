"""Runs other programs to their end; what they print is shown only if they fail."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from localcluster.errors import LocalClusterError

_SHOWN_LINES = 30


def run(
    *command: str,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    log: Path | None = None,
) -> str:
    """Run a command and return its standard output.

    Args:
        command: program and arguments; no shell is involved.
        cwd: folder to run it in.
        env: variables on top of this process's own.
        stdin: text for its standard input.
        log: file that receives both outputs instead; the returned text is then empty.

    Raises:
        LocalClusterError: the program is missing or failed; the message ends with its last lines.
    """
    variables = {**os.environ, **(env or {})}
    try:
        result = subprocess.run(  # noqa: S603  # arguments are built here, never by a shell
            command, check=False, cwd=cwd, env=variables, input=stdin, capture_output=True, text=True
        )
    except FileNotFoundError as error:
        raise LocalClusterError(f"`{command[0]}` is not installed") from error
    if log is not None:
        log.write_text(result.stdout + result.stderr)
    if result.returncode:
        raise LocalClusterError(_failure(command, result))
    return "" if log is not None else result.stdout


def succeeds(*command: str) -> bool:
    """Run a command whose failure is an answer, not an error."""
    try:
        run(*command)
    except LocalClusterError:
        return False
    return True


def _failure(command: Sequence[str], result: "subprocess.CompletedProcess[str]") -> str:
    last = (result.stderr or result.stdout).strip().splitlines()[-_SHOWN_LINES:]
    return f"`{' '.join(command)}` failed with exit status {result.returncode}:\n" + "\n".join(last)

"""What a replay takes, as users run it: `kubectl autoglm replay`, not compiled, in CPU seconds."""

import resource
import subprocess
import sys
from pathlib import Path

WEEK = "a week, fluid"
HOUR = "an hour at 20 requests/s, request by request"
MOST_SECONDS = 60.0
"""CPU time of either on one core."""


def measure_speed(traces: Path) -> dict[str, float]:
    """Return the CPU seconds of each kind of replay."""
    trace = ["--trace", str(traces / "servegen-m-large-rate.csv"), "--mean-rps", "20"]
    return {
        WEEK: _seconds([*trace, "--days", "0:7"]),
        HOUR: _seconds([*trace, "--days", f"0:{1 / 24:.6f}", "--fidelity", "request"]),
    }


def _seconds(arguments: list[str]) -> float:
    before = _spent()
    command = [sys.executable, "-m", "autoglm_operator.cli.main", "replay", *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return _spent() - before


def _spent() -> float:
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime

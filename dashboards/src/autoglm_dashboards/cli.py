"""Writes the dashboards to the repository: `autoglm-dashboards`, with `--check` to compare instead."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from autoglm_dashboards import autoscaling, benchmarks, control_plane, cost, deployment, gpu, overview
from autoglm_dashboards.alerts import files
from autoglm_dashboards.panels import Json

#: Each dashboard is kept twice: for people to import, and in the chart.
_FOLDERS: Final = (Path("dashboards"), Path("charts/autoglm-operator/files/dashboards"))
_NEEDED: Final = (Path("dashboards"), Path("charts/autoglm-operator"))


def dashboards() -> dict[str, Json]:
    """Return every dashboard by the name of its file."""
    boards = {
        "overview": overview,
        "deployment": deployment,
        "gpu": gpu,
        "autoscaling": autoscaling,
        "operator": control_plane,
        "cost": cost,
        "benchmarks": benchmarks,
    }
    return {f"{name}.json": board.dashboard() for name, board in boards.items()}


def outputs() -> dict[Path, str]:
    """Return the generated files by their path from the root of the repository."""
    texts = {name: json.dumps(board, indent=2) + "\n" for name, board in dashboards().items()}
    return {folder / name: text for folder in _FOLDERS for name, text in texts.items()} | files.outputs()


def main(arguments: Sequence[str] | None = None, root: Path | None = None) -> int:
    """Write what differs under `root`, the working directory by default; with `--check`, return 1 if anything does."""
    parser = argparse.ArgumentParser(prog="autoglm-dashboards", description="Write the Grafana dashboards.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file is out of date")
    check = parser.parse_args(arguments).check
    root = root or Path.cwd()
    missing = [str(folder) for folder in _NEEDED if not (root / folder).is_dir()]
    if missing:
        parser.error(f"{root} has no {', '.join(missing)}: run it in the root of the repository")
    stale = [path for path, text in outputs().items() if not _is(root / path, text)]
    if check and stale:
        sys.stderr.write(f"out of date: {', '.join(map(str, stale))}; run `make generate`\n")
        return 1
    for path in stale:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(outputs()[path], encoding="utf-8")
    return 0


def _is(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == text

"""promtool, and the files that it reads."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from autoglm_dashboards.alerts.groups import rules_file

RUNBOOKS = "https://runbooks.example.com"


@pytest.fixture(scope="session")
def promtool() -> str:
    """Path of promtool: from PATH, or else the one that localcluster builds; skip where there is none."""
    if found := shutil.which("promtool"):
        return found
    command = [str(Path(sys.executable).parent / "localcluster"), "tool", "promtool"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"needs promtool: neither in PATH nor from `localcluster tool promtool` ({error})")


@pytest.fixture(scope="session")
def rule_files(tmp_path_factory) -> dict[str, Path]:
    """A file for each group of rules, so that a test evaluates no more than it asks about: path by alert."""
    folder, files = tmp_path_factory.mktemp("rules"), {}
    for group in rules_file(RUNBOOKS, with_objectives=True)["groups"]:
        path = folder / f"{group['name']}.yaml"
        path.write_text(yaml.safe_dump({"groups": [group]}))
        files |= {rule["alert"]: path for rule in group["rules"] if "alert" in rule}
    return files


@pytest.fixture
def check_rules(promtool, tmp_path) -> Callable[[Path, list[dict]], str]:
    """Run unit tests of promtool on a file of rules and return what it complains of."""

    def run(rules: Path, tests: list[dict], interval: str = "1m") -> str:
        file = tmp_path / "tests.yaml"
        document = {"rule_files": [str(rules)], "evaluation_interval": interval, "tests": tests}
        file.write_text(yaml.safe_dump(document, width=10**6))
        result = subprocess.run([promtool, "test", "rules", str(file)], capture_output=True, text=True, check=False)
        return "" if result.returncode == 0 else result.stdout + result.stderr

    return run

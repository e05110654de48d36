"""Helm, and the chart as users render it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

RELEASE, NAMESPACE = "autoglm", "autoglm-system"
PROMETHEUS_OPERATOR = ("--api-versions", "monitoring.coreos.com/v1")


def _tool(name: str) -> str:
    """Return the path of a program: from PATH, or else the one that localcluster builds; skip where there is none."""
    if found := shutil.which(name):
        return found
    command = [str(Path(sys.executable).parent / "localcluster"), "tool", name]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"needs {name}: neither in PATH nor from `localcluster tool {name}` ({error})")


class Helm:
    """Runs helm with a home of its own."""

    def __init__(self, program: str, chart: Path, home: Path) -> None:
        self.chart = chart
        self._program = program
        self._rendered: dict[tuple[str, ...], str] = {}
        self._environ = os.environ | {
            f"HELM_{kind}_HOME": str(home / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")
        }

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        result = subprocess.run(
            [self._program, *arguments], capture_output=True, text=True, check=False, env=self._environ
        )
        assert result.returncode == 0 or not check, result.stderr
        return result

    def render(self, *arguments: str, release: str = RELEASE) -> str:
        """Return what helm renders; remembered, because it is the same each time but for what comes from a cluster."""
        key = (release, *arguments)
        if "--dry-run=server" in arguments or key not in self._rendered:
            command = ("template", release, str(self.chart), "--namespace", NAMESPACE)
            self._rendered[key] = self.run(*command, *arguments).stdout
        return self._rendered[key]

    def objects(self, *arguments: str, release: str = RELEASE) -> list[dict]:
        text = self.render(*arguments, release=release)
        return [document for document in yaml.load_all(text, yaml.CSafeLoader) if document]

    def refuses(self, *arguments: str) -> str:
        """Return why helm does not render the chart."""
        command = ("template", RELEASE, str(self.chart), "--namespace", NAMESPACE, *arguments)
        result = self.run(*command, check=False)
        assert result.returncode != 0, f"rendered with {arguments}"
        return result.stderr


@pytest.fixture(scope="session")
def chart(pytestconfig) -> Path:
    return pytestconfig.rootpath / "charts/autoglm-operator"


@pytest.fixture(scope="session")
def helm(chart, tmp_path_factory) -> Helm:
    return Helm(_tool("helm"), chart, tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="session")
def kubeconform() -> str:
    return _tool("kubeconform")


@pytest.fixture(scope="session")
def kubectl() -> str:
    return _tool("kubectl")


@pytest.fixture(scope="session", params=["default", "minimal", "namespaced", "everything", "grafana-alerts"])
def flavour(request, chart) -> tuple[str, ...]:
    """Arguments for helm: the defaults, and each example of values in ci/."""
    if request.param == "default":
        return PROMETHEUS_OPERATOR
    return ("--values", str(chart / f"ci/{request.param}-values.yaml"), *PROMETHEUS_OPERATOR)


@pytest.fixture(scope="session")
def objects(helm, flavour) -> list[dict]:
    return helm.objects(*flavour)

"""What the guide on monitoring tells to type and to copy works."""

import re
import shlex
import shutil
import subprocess
from itertools import pairwise

import pytest
import yaml

from autoglm_operator.api import names
from autoglm_operator.render import burn_rate

GUIDE = "docs/guides/monitoring.md"


@pytest.fixture
def guide(pytestconfig):
    return (pytestconfig.rootpath / GUIDE).read_text()


def _blocks(guide, language):
    return re.findall(rf"```{language}\n(.*?)```", guide, re.DOTALL)


def _sets(command):
    words = shlex.split(command.replace("\\\n", " "))
    return [value.split("=", 1) for flag, value in pairwise(words) if flag == "--set"]


@pytest.mark.alerts
@pytest.mark.timeout(1800)
def test_prometheus_takes_the_scrape_configuration(guide, promtool, pytestconfig, tmp_path):
    (text,) = _blocks(guide, "yaml")
    (tmp_path / "prometheus.yaml").write_text(text)
    shutil.copy(pytestconfig.rootpath / "dashboards/alerts/autoglm.rules.yaml", tmp_path)
    command = [promtool, "check", "config", str(tmp_path / "prometheus.yaml")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "1 rule files found" in result.stdout


def test_it_makes_the_labels_that_a_pod_monitor_makes(guide):
    (text,) = _blocks(guide, "yaml")
    control, engines = yaml.safe_load(text)["scrape_configs"]
    assert control["honor_labels"] is True
    made = {item.get("target_label") for item in engines["relabel_configs"]} - {None}
    label = re.sub(r"\W", "_", names.LABEL_DEPLOYMENT)
    assert made == {"namespace", "pod", "endpoint", label}
    kept = [item["source_labels"][0] for item in engines["relabel_configs"] if item.get("action") == "keep"]
    assert f"__meta_kubernetes_pod_labelpresent_{label}" in kept


def test_the_values_of_the_commands_are_values_of_the_chart(guide, pytestconfig):
    values = yaml.safe_load((pytestconfig.rootpath / "charts/autoglm-operator/values.yaml").read_text())
    commands = [block for block in _blocks(guide, "sh") if "helm" in block]
    assert len(commands) == 2
    for path, _ in (pair for command in commands for pair in _sets(command)):
        place = values
        for name in path.split("."):
            # Labels are the user's own.
            if place == {} and path.endswith("labels.release"):
                break
            assert name in place, path
            place = place[name]


def test_the_numbers_of_the_windows_are_those_of_the_rules(guide):
    words = " ".join(guide.split())
    for level in burn_rate.LEVELS:
        for burn in level.burns:
            if burn.factor > 1:
                assert f"{burn.factor:g} times" in words
    assert f"error budget of {burn_rate.PERIOD_DAYS} days" in words


def test_files_that_the_guide_names_are_there(guide, pytestconfig):
    for path in re.findall(r"`(dashboards/[\w./]+)`", guide):
        assert (pytestconfig.rootpath / path).exists(), path
    for target in re.findall(r"\]\((\.\./[^)]+)\)", guide):
        assert ((pytestconfig.rootpath / GUIDE).parent / target).exists(), target

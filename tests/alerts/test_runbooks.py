"""Each alert has a runbook, and what runbooks name exists."""

import re
import shlex
from itertools import pairwise

import pytest

from autoglm_agent import metrics as agent
from autoglm_dashboards.alerts.groups import alert_names
from autoglm_operator import metrics as operator
from autoglm_operator.api import names
from autoglm_operator.api.crd import custom_resource_definition
from autoglm_operator.autoscaler import metrics as autoscaler
from autoglm_operator.autoscaler.metrics_api.documents import VERSIONS
from autoglm_operator.cli.main import _parser
from autoglm_operator.settings import DEFAULT_RUNBOOKS
from autoglm_operator.slo_metrics import SLO_GOOD, SLO_REQUESTS

HEADINGS = ["Symptom", "Meaning", "First three commands", "Fixes", "When it is not that"]
METRICS = {
    metric.name for metric in (*operator.CATALOGUE, *autoscaler.CATALOGUE, *agent.CATALOGUE, SLO_GOOD, SLO_REQUESTS)
}
#: Values of labels in metrics' own selectors and of the metrics API, which begin like metrics.
SIGNALS = {"autoglm_desired_replicas", "autoglm_ttft_p99_seconds"}
#: Commands of kubectl, with the kinds that they are given.
KUBECTL = {
    "get": {"pods", "events", "agd", "lease", "apiservice", "secrets", "podmonitor", "endpointslices", "--raw"},
    "describe": {"hpa", "node", "resourcequota"},
    "logs": None,
}
SELECTORS = {
    f"{names.LABEL_DEPLOYMENT}=$NAME",
    "app.kubernetes.io/name=autoglm-operator",
    "app.kubernetes.io/name=autoglm-operator,app.kubernetes.io/component=operator",
    "app.kubernetes.io/name=autoglm-operator,app.kubernetes.io/component=autoscaler",
    "app.kubernetes.io/name=opentelemetry-collector",
    "kubernetes.io/service-name=$NAME",
}


@pytest.fixture(params=alert_names())
def runbook(request, pytestconfig) -> str:
    return (pytestconfig.rootpath / f"dashboards/runbooks/{request.param}.md").read_text()


def _commands(text):
    (block,) = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    return block.strip().splitlines()


def _exists(schema, path):
    """Whether the CRD has the field; `path` begins with spec or status."""
    for name in path.split("."):
        while "items" in schema:
            schema = schema["items"]
        if name not in schema.get("properties", {}):
            return False
        schema = schema["properties"][name]
    return True


SCHEMA = custom_resource_definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def test_alerts_and_runbooks_are_the_same(pytestconfig):
    files = {path.stem for path in (pytestconfig.rootpath / "dashboards/runbooks").glob("*.md")}
    assert files == set(alert_names())
    assert DEFAULT_RUNBOOKS.endswith("/dashboards/runbooks")


def test_the_pods_of_the_release_carry_the_labels_that_are_asked_for(pytestconfig):
    helpers = (pytestconfig.rootpath / "charts/autoglm-operator/templates/_helpers.tpl").read_text()
    assert "app.kubernetes.io/name: autoglm-operator" in helpers
    assert "app.kubernetes.io/component: {{ .component }}" in helpers


def test_a_runbook_has_its_headings(runbook):
    assert re.findall(r"^## (.*)$", runbook, re.MULTILINE) == HEADINGS
    assert all(part.strip() for part in re.split(r"^## .*$", runbook, flags=re.MULTILINE)[1:])


def test_the_first_three_commands_can_be_typed(runbook):
    commands = _commands(runbook)
    assert len(commands) == 3
    for command in commands:
        program, *words = shlex.split(command)
        if program == "helm":
            assert words[:2] == ["get", "values"]
        elif words[0] == "autoglm":
            assert _parser().parse_args(words[1:]).command == words[1]
        else:
            assert program == "kubectl"
            assert KUBECTL[words[0]] is None or words[1] in KUBECTL[words[0]], command


def test_commands_select_what_there_is(runbook):
    for command in _commands(runbook):
        words = shlex.split(command)
        for flag, value in pairwise(words):
            if flag == "-l":
                assert value in SELECTORS
            elif flag == "-c":
                assert value in {names.ENGINE_CONTAINER, names.AGENT_CONTAINER}
            elif flag == "--raw" and "custom.metrics" in value:
                assert value.split("/")[3] in VERSIONS
                assert value.rpartition("/")[2] in SIGNALS
            elif flag == "--raw":
                assert f":{names.AGENT_PORT}/proxy/state" in value
            elif value.startswith("jsonpath="):
                assert _exists(SCHEMA, value.removeprefix("jsonpath={.").removesuffix("}")), value


def test_fields_and_metrics_that_are_named_exist(runbook):
    for path in re.findall(r"`((?:spec|status)\.[A-Za-z0-9.]+)", runbook):
        assert _exists(SCHEMA, path), path
    for metric in re.findall(r"\bautoglm_(?:operator|autoscaler|engine|gpu|agent)_\w+", runbook):
        assert metric in METRICS, metric


def test_links_lead_to_other_runbooks(runbook):
    for target in re.findall(r"\]\((\w+)\.md\)", runbook):
        assert target in alert_names()

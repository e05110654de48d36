"""A real API server would take what the chart renders, and its authorizer grants what the roles mean to grant."""

import json
import subprocess
import time
import uuid

import pytest
import yaml
from tests.chart.openapi import write_schemas

from autoglm_operator.api.signals import SIGNALS

pytestmark = [pytest.mark.chart, pytest.mark.api]

#: Served by the Prometheus Operator, not by the API server.
FOREIGN = {"monitoring.coreos.com/v1"}
NAMESPACES = ("autoglm-system", "team-a", "team-b")


class Server:
    """A control plane through kubectl."""

    def __init__(self, kubectl, kubeconfig):
        self._command = [kubectl, "--kubeconfig", str(kubeconfig)]

    def run(self, *arguments, stdin=None, check=True):
        result = subprocess.run([*self._command, *arguments], input=stdin, capture_output=True, text=True, check=False)
        assert result.returncode == 0 or not check, result.stderr
        return result

    def get(self, path):
        return json.loads(self.run("get", "--raw", path).stdout)

    def apply(self, objects, *arguments):
        return self.run("apply", "--server-side", "--filename=-", *arguments, stdin=yaml.safe_dump_all(objects))

    def allows(self, user, groups=(), **attributes):
        """Return whether the authorizer lets a user do something."""
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": user, "groups": list(groups), "resourceAttributes": attributes},
        }
        answer = self.run("create", "--filename=-", "--output=json", stdin=json.dumps(review)).stdout
        return json.loads(answer)["status"]["allowed"]


@pytest.fixture(scope="session")
def server(request, kubectl):
    try:
        control_plane = request.getfixturevalue("control_plane")
    except pytest.FixtureLookupError:
        pytest.skip("needs the fixture control_plane")
    server = Server(kubectl, control_plane.kubeconfig)
    restricted = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    for name in NAMESPACES:
        labels = restricted if name == "autoglm-system" else {}
        server.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}])
    # The controller manager makes it too, a little later.
    server.apply(
        [{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": NAMESPACES[0]}}]
    )
    return server


@pytest.fixture(scope="session")
def schemas(server, tmp_path_factory):
    used = {
        "v1",
        "apps/v1",
        "policy/v1",
        "networking.k8s.io/v1",
        "rbac.authorization.k8s.io/v1",
        "apiregistration.k8s.io/v1",
        "apiextensions.k8s.io/v1",
    }
    return write_schemas(server.get, used, tmp_path_factory.mktemp("schemas"))


def _conform(kubeconform, schemas, objects):
    return subprocess.run(
        [kubeconform, "-schema-location", schemas, "-summary", "-output", "json"],
        input=yaml.safe_dump_all(objects),
        capture_output=True,
        text=True,
        check=False,
    )


def test_kubeconform_finds_nothing(kubeconform, schemas, objects):
    known = [item for item in objects if item["apiVersion"] not in FOREIGN]
    result = _conform(kubeconform, schemas, known)
    summary = json.loads(result.stdout)["summary"]
    assert result.returncode == 0, result.stdout
    assert summary["valid"] == len(known)
    assert summary["skipped"] == 0


def test_kubeconform_with_these_schemas_finds_a_misspelt_field_and_a_wrong_type(kubeconform, schemas, helm):
    (service, *_) = [item for item in helm.objects() if item["kind"] == "Service"]
    service["spec"]["selectors"] = service["spec"].pop("selector")
    assert "'selectors' not allowed" in _conform(kubeconform, schemas, [service]).stdout
    (deployment, *_) = [item for item in helm.objects() if item["kind"] == "Deployment"]
    deployment["spec"]["replicas"] = "two"
    assert "/spec/replicas" in _conform(kubeconform, schemas, [deployment]).stdout


def test_the_server_would_take_every_object_without_a_warning(server, objects):
    known = [item for item in objects if item["apiVersion"] not in FOREIGN]
    result = server.apply(known, "--dry-run=server")
    assert result.stdout.count("serverside-applied") == len(known)
    assert result.stderr == ""


@pytest.fixture(scope="session")
def rights(server, helm):
    """Apply the roles of a release of its own for the namespace team-a, and those that widen the users' roles.

    Returns the name that the release's accounts start with.
    """
    release = f"autoglm-{uuid.uuid4().hex[:8]}"
    wide = [item for item in helm.objects(release=release) if item["metadata"]["name"].endswith(("-view", "-edit"))]
    narrow = helm.objects("--set", "watchNamespaces={team-a}", release=release)
    roles = [item for item in (*wide, *narrow) if item["apiVersion"] == "rbac.authorization.k8s.io/v1"]
    roles += [_binding("viewer", "view"), _binding("editor", "edit")]
    server.apply(roles)
    yield f"system:serviceaccount:autoglm-system:{release}"
    mine = [item for item in roles if item["metadata"]["name"].startswith(release)]
    server.run("delete", "--filename=-", "--ignore-not-found", stdin=yaml.safe_dump_all(mine))


def _binding(user, role):
    """Return the binding of a user to a built-in role in team-a."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": f"test-{user}", "namespace": "team-a"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    }


def _eventually(allows, user, **attributes):
    """Whether a right arrives: authorizer and controller manager learn of roles a moment after they are written."""
    deadline = time.monotonic() + 20
    while not (allowed := allows(user, **attributes)) and time.monotonic() < deadline:
        time.sleep(0.2)
    return allowed


def _metric(name, namespace="team-a"):
    return {
        "namespace": namespace,
        "verb": "get",
        "group": "custom.metrics.k8s.io",
        "resource": "autoglmdeployments.autoglm.io",
        "subresource": name,
        "name": "phone",
    }


def test_the_hpa_controller_gets_each_signal_by_the_role_that_kubernetes_gives_it(server):
    user = "system:serviceaccount:kube-system:horizontal-pod-autoscaler"
    for signal in SIGNALS:
        assert _eventually(server.allows, user, **_metric(signal.name)), signal.name


def test_who_may_view_gets_each_signal_and_no_other_metric(server, rights):
    for signal in SIGNALS:
        assert _eventually(server.allows, "viewer", **_metric(signal.name)), signal.name
    assert not server.allows("viewer", **_metric("something_else"))
    assert not server.allows("viewer", **_metric(SIGNALS[0].name, namespace="team-b"))


def test_who_may_edit_creates_and_scales_deployments_and_who_may_view_does_not(server, rights):
    create = {"namespace": "team-a", "verb": "create", "group": "autoglm.io", "resource": "autoglmdeployments"}
    scale = create | {"verb": "patch", "subresource": "scale"}
    status = create | {"verb": "patch", "subresource": "status"}
    assert _eventually(server.allows, "editor", **create)
    assert _eventually(server.allows, "editor", **scale)
    assert not server.allows("editor", **status)
    assert not server.allows("viewer", **create)
    assert not server.allows("viewer", **scale)


def test_the_operator_works_in_its_namespaces_only(server, rights):
    user = f"{rights}-operator"
    apply = {"verb": "patch", "group": "apps", "resource": "deployments"}
    assert _eventually(server.allows, user, namespace="team-a", **apply)
    assert not server.allows(user, namespace="team-b", **apply)
    assert not server.allows(user, namespace="autoglm-system", **apply)
    assert not server.allows(user, namespace="team-a", verb="get", resource="secrets", name="token")


def test_each_process_holds_its_own_lease(server, rights):
    lease = {"namespace": "autoglm-system", "verb": "update", "group": "coordination.k8s.io", "resource": "leases"}
    for name, other in (("operator", "autoscaler"), ("autoscaler", "operator")):
        assert _eventually(server.allows, f"{rights}-{name}", name=f"autoglm-{name}", **lease)
        assert not server.allows(f"{rights}-{name}", name=f"autoglm-{other}", **lease)


def test_the_autoscaler_may_ask_the_authorizer(server, rights):
    review = {"verb": "create", "group": "authorization.k8s.io", "resource": "subjectaccessreviews"}
    assert _eventually(server.allows, f"{rights}-autoscaler", **review)
    assert not server.allows(f"{rights}-operator", **review)

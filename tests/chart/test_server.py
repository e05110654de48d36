"""A real API server would take what the chart renders, and its authorizer grants what the roles mean to grant."""

import json
import subprocess
import time
import uuid
from dataclasses import replace

import httpx
import pytest
import yaml
from tests.chart.openapi import write_schemas

from autoglm_operator.api.signals import SIGNALS
from autoglm_operator.autoscaler import drains
from autoglm_operator.autoscaler.pods import EnginePod
from autoglm_operator.decide.scaling.victims import Stage
from autoglm_operator.kube.connection import Connection

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
        "admissionregistration.k8s.io/v1",
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


_OWNER = {"apiVersion": "autoglm.io/v1alpha1", "kind": "AutoGLMDeployment", "name": "phone", "uid": str(uuid.uuid4())}


def _config_map(name, *owners, **data):
    meta = {"name": name, "namespace": "team-a", "ownerReferences": list(owners)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


def _policies(helm, release, resource):
    rendered = [item for item in helm.objects(release=release) if "AdmissionPolicy" in item["kind"]]
    return [item for item in rendered if item["metadata"]["name"] == f"{release}-autoscaler-{resource}"]


@pytest.fixture(scope="module")
def write(server, helm):
    """Return what writes a ConfigMap as the autoscaler, and as somebody else."""
    release = f"autoglm-{uuid.uuid4().hex[:8]}"
    policies = _policies(helm, release, "configmaps")
    assert [item["kind"] for item in policies] == ["ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"]
    narrow = helm.objects("--set", "watchNamespaces={team-a}", release=release)
    roles = [item for item in narrow if item["apiVersion"] == "rbac.authorization.k8s.io/v1"]
    server.apply(policies + roles)
    account = f"--as=system:serviceaccount:autoglm-system:{release}-autoscaler"

    def write(document, *user):
        text = yaml.safe_dump(document)
        options = ("--server-side", "--force-conflicts", "--field-manager=test", "--filename=-")
        return server.run("apply", *options, *(user or (account,)), stdin=text, check=False)

    # The policy is in force a moment after it was written.
    end = time.monotonic() + 30
    while (said := write(_config_map("any"))).returncode == 0 or "writes no ConfigMaps but those" not in said.stderr:
        assert time.monotonic() < end, said
        time.sleep(0.5)
    yield write, lambda document: write(document, "--as=admin", "--as-group=system:masters")
    mine = [item for item in (*policies, *roles) if item["metadata"]["name"].startswith(release)]
    server.run("delete", "--filename=-", "--ignore-not-found", stdin=yaml.safe_dump_all(mine))


def test_its_own_are_written_and_written_again(write):
    as_autoscaler, _ = write
    for number in range(2):
        said = as_autoscaler(_config_map("phone-autoscaling", _OWNER, number=str(number)))
        assert said.returncode == 0, said.stderr


@pytest.mark.parametrize(
    "document",
    [
        _config_map("aws-auth", _OWNER),
        _config_map("tablet-autoscaling"),
        _config_map("watch-autoscaling", _OWNER | {"apiVersion": "apps/v1", "kind": "Deployment"}),
    ],
)
def test_others_are_not_made(write, document):
    as_autoscaler, _ = write
    said = as_autoscaler(document)
    assert said.returncode != 0
    assert "the autoscaler writes no ConfigMaps but those that AutoGLMDeployments own" in said.stderr


def test_others_are_not_made_its_own(write):
    as_autoscaler, as_admin = write
    assert as_admin(_config_map("theirs-autoscaling", mine="1")).returncode == 0
    assert as_autoscaler(_config_map("theirs-autoscaling", _OWNER, mine="2")).returncode != 0
    # Nobody else is bound by it.
    assert as_admin(_config_map("theirs-autoscaling", _OWNER, mine="2")).returncode == 0


class Pods:
    """Two pods, one of them an engine's, and a ServiceAccount with the rights and limits of the chart's autoscaler."""

    def __init__(self, server, kubeconfig, release):
        # kubectl reads before it patches, which the autoscaler may not and does not.
        connection = Connection.from_kubeconfig(kubeconfig)
        self.http = httpx.Client(base_url=connection.server, verify=connection.ssl_context)
        self._account = f"system:serviceaccount:autoglm-system:{release}-autoscaler"
        ours = {"app.kubernetes.io/managed-by": "autoglm-operator", "autoglm.io/deployment": "phone", "team": "a"}
        self.made = [self._pod("engine", ours | {"autoglm.io/serving": "true"}), self._pod("other", {"team": "a"})]
        server.apply(self.made)

    @staticmethod
    def _pod(name, labels):
        meta = {"name": name, "namespace": "team-a", "labels": labels, "annotations": {"note": "kept"}}
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": meta,
            "spec": {"containers": [{"name": "c", "image": "none"}], "nodeSelector": {"none": "none"}},
        }

    def patch(self, name, body):
        """Patch `pods/status` as the autoscaler does; return what is wrong with it, empty if nothing is."""
        headers = {"Content-Type": "application/merge-patch+json", "Impersonate-User": self._account}
        path = f"/api/v1/namespaces/team-a/pods/{name}/status"
        answer = self.http.patch(path, content=json.dumps(body), headers=headers)
        return "" if answer.is_success else answer.json()["message"]


@pytest.fixture(scope="module")
def pods(server, helm, control_plane):
    release = f"autoglm-{uuid.uuid4().hex[:8]}"
    policies = _policies(helm, release, "pods")
    assert [item["kind"] for item in policies] == ["ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"]
    narrow = helm.objects("--set", "watchNamespaces={team-a}", release=release)
    roles = [item for item in narrow if item["apiVersion"] == "rbac.authorization.k8s.io/v1"]
    server.apply(policies + roles)
    made = Pods(server, control_plane.kubeconfig, release)
    end = time.monotonic() + 30
    while "writes to no pods but" not in (said := made.patch("other", {"metadata": {"labels": {"a": "b"}}})):
        assert time.monotonic() < end, said
        time.sleep(0.5)
    yield made
    made.http.close()
    mine = [item for item in (*policies, *roles) if item["metadata"]["name"].startswith(release)]
    text = yaml.safe_dump_all([*mine, *made.made])
    server.run("delete", "--filename=-", "--ignore-not-found", "--grace-period=0", stdin=text)


def test_an_engine_pod_is_taken_out_of_service_and_put_back(pods, server):
    pod = EnginePod("team-a", "engine", "", "phone", "", ready=True, unschedulable=False)
    out = replace(pod, serving=False, deletion_cost="-2147483647")
    for one, stage in ((pod, Stage.DRAINING), (out, Stage.DRAINED), (replace(out, drained=True), Stage.SERVING)):
        body = drains.body(one, stage, 1_700_000_000.0)
        del body["metadata"]["uid"]
        assert pods.patch("engine", body) == ""
        labels = server.get("/api/v1/namespaces/team-a/pods/engine")["metadata"]["labels"]
        assert labels["autoglm.io/serving"] == stage


@pytest.mark.parametrize(
    "body",
    [
        {"metadata": {"labels": {"team": "b"}}},
        {"metadata": {"labels": {"autoglm.io/deployment": None}}},
        {"metadata": {"annotations": {"note": "other"}}},
        {"metadata": {"annotations": {"more": "any"}}},
        {"status": {"podIP": "10.0.0.66", "podIPs": [{"ip": "10.0.0.66"}]}},
        {"status": {"phase": "Failed"}},
    ],
    ids=["label", "label away", "annotation", "another annotation", "address", "phase"],
)
def test_nothing_else_of_an_engine_pod_is_written(pods, body):
    assert "writes nothing to a pod but whether it is in service" in pods.patch("engine", body)


def test_no_other_pod_is_written(pods):
    said = pods.patch("other", {"metadata": {"labels": {"autoglm.io/serving": "draining"}}})
    assert "writes to no pods but the engine pods of AutoGLMDeployments" in said

"""What the chart does depends on what the cluster has: shown with a stand-in for the API server."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml

pytestmark = pytest.mark.chart

TLS = "/api/v1/namespaces/autoglm-system/secrets/autoglm-autoscaler-tls"
API_SERVICE = "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.custom.metrics.k8s.io"


#: The kinds of the chart: group version, plural, kind, whether in a namespace.
KINDS = (
    ("v1", "secrets", "Secret", True),
    ("v1", "services", "Service", True),
    ("v1", "serviceaccounts", "ServiceAccount", True),
    ("v1", "configmaps", "ConfigMap", True),
    ("v1", "pods", "Pod", True),
    ("apps/v1", "deployments", "Deployment", True),
    ("policy/v1", "poddisruptionbudgets", "PodDisruptionBudget", True),
    ("networking.k8s.io/v1", "networkpolicies", "NetworkPolicy", True),
    ("rbac.authorization.k8s.io/v1", "roles", "Role", True),
    ("rbac.authorization.k8s.io/v1", "rolebindings", "RoleBinding", True),
    ("rbac.authorization.k8s.io/v1", "clusterroles", "ClusterRole", False),
    ("rbac.authorization.k8s.io/v1", "clusterrolebindings", "ClusterRoleBinding", False),
    ("apiextensions.k8s.io/v1", "customresourcedefinitions", "CustomResourceDefinition", False),
    ("apiregistration.k8s.io/v1", "apiservices", "APIService", False),
    ("admissionregistration.k8s.io/v1", "validatingadmissionpolicies", "ValidatingAdmissionPolicy", False),
    ("admissionregistration.k8s.io/v1", "validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding", False),
)


def _discovery():
    """Return what an API server says about itself, by path."""
    versions = sorted({version for version, *_ in KINDS})
    groups = [{"groupVersion": version, "version": "v1"} for version in versions if "/" in version]
    documents = {
        "/version": {"major": "1", "minor": "36", "gitVersion": "v1.36.3"},
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {
            "kind": "APIGroupList",
            "apiVersion": "v1",
            "groups": [
                {"name": item["groupVersion"].partition("/")[0], "versions": [item], "preferredVersion": item}
                for item in groups
            ],
        },
    }
    for version in versions:
        resources = [
            {"name": plural, "singularName": "", "kind": kind, "namespaced": namespaced, "verbs": ["get"]}
            for group_version, plural, kind, namespaced in KINDS
            if group_version == version
        ]
        path = f"/apis/{version}" if "/" in version else f"/api/{version}"
        documents[path] = {
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": version,
            "resources": resources,
        }
    return documents


DISCOVERY = _discovery()


@pytest.fixture
def cluster(tmp_path):
    """Objects by path, which helm can look up, and the arguments that make it do so."""
    objects = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            path = self.path.partition("?")[0]
            answer = DISCOVERY.get(path) or objects.get(path)
            missing = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
            body = json.dumps(answer or missing).encode()
            self.send_response(200 if answer else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    kubeconfig = tmp_path / "kubeconfig"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "users": [{"name": "test", "user": {}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    }
    kubeconfig.write_text(yaml.safe_dump(config))
    yield objects, ("--dry-run=server", "--disable-openapi-validation", "--kubeconfig", str(kubeconfig))
    server.shutdown()
    server.server_close()


def _api_service(namespace, name):
    return {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": "v1beta1.custom.metrics.k8s.io"},
        "spec": {"group": "custom.metrics.k8s.io", "service": {"namespace": namespace, "name": name}},
    }


def _ours(item):
    """Return an object as helm stores it for this release."""
    annotations = {"meta.helm.sh/release-name": "autoglm", "meta.helm.sh/release-namespace": "autoglm-system"}
    labels = {"app.kubernetes.io/managed-by": "Helm"}
    return item | {"metadata": item["metadata"] | {"annotations": annotations, "labels": labels}}


def _by_kind(objects, kind):
    return [item for item in objects if item["kind"] == kind]


def test_certificates_are_made_once_and_kept(helm, cluster):
    objects, arguments = cluster
    (first,) = _by_kind(helm.objects(*arguments), "Secret")
    (second,) = _by_kind(helm.objects(*arguments), "Secret")
    assert first["data"] != second["data"]
    objects[TLS] = _ours(first)
    rendered = helm.objects(*arguments)
    (kept,) = _by_kind(rendered, "Secret")
    assert kept["data"] == first["data"]
    assert {item["spec"]["caBundle"] for item in _by_kind(rendered, "APIService")} == {first["data"]["ca.crt"]}


def _operator_environment(objects):
    (item,) = [item for item in _by_kind(objects, "Deployment") if item["metadata"]["name"] == "autoglm-operator"]
    return {entry["name"]: entry.get("value") for entry in item["spec"]["template"]["spec"]["containers"][0]["env"]}


@pytest.mark.parametrize("wish", [(), ("--set", "metricsAPI.enabled=false")])
def test_a_metrics_api_of_others_is_left_alone_and_the_operator_told(helm, cluster, wish):
    objects, arguments = cluster
    objects[API_SERVICE] = _api_service("monitoring", "prometheus-adapter")
    rendered = helm.objects(*arguments, *wish)
    assert not _by_kind(rendered, "APIService")
    assert not [item for item in rendered if item["metadata"]["name"].endswith(("-review", "-authentication-reader"))]
    environment = _operator_environment(rendered)
    assert environment["METRICS_API_REGISTERED"] == "false"
    assert environment["METRICS_API_SERVICE"] == "autoglm-system/autoglm-autoscaler"


def test_who_insists_on_the_metrics_api_is_told_whose_it_is_and_what_else_to_set(helm, cluster):
    objects, arguments = cluster
    objects[API_SERVICE] = _api_service("monitoring", "prometheus-adapter")
    message = helm.refuses(*arguments, "--set", "metricsAPI.enabled=true")
    assert "v1beta1.custom.metrics.k8s.io belongs to Service monitoring/prometheus-adapter" in message
    assert "set metricsAPI.enabled=auto or false" in message


@pytest.mark.parametrize("wish", [(), ("--set", "metricsAPI.enabled=true")])
def test_our_own_metrics_api_is_upgraded(helm, cluster, wish):
    objects, arguments = cluster
    objects[API_SERVICE] = _ours(_api_service("autoglm-system", "autoglm-autoscaler"))
    rendered = helm.objects(*arguments, *wish)
    assert len(_by_kind(rendered, "APIService")) == 2
    assert _operator_environment(rendered)["METRICS_API_REGISTERED"] == "true"


def test_another_backend_that_serves_our_metrics_is_taken_for_ours(helm, cluster):
    _, arguments = cluster
    rendered = helm.objects(*arguments, "--set", "metricsAPI.backend=monitoring/prometheus-adapter")
    assert not _by_kind(rendered, "APIService")
    environment = _operator_environment(rendered)
    assert environment["METRICS_API_SERVICE"] == "monitoring/prometheus-adapter"
    assert environment["METRICS_API_REGISTERED"] == "true"

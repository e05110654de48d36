"""The metrics API behind the real aggregation layer, read by the real HPA controller.

Operator, autoscaler, API server and controller-manager are real. There is no node: the pods are made Ready by hand, and
a stand-in answers for their engine and agent on a loopback address.
"""

import base64
import datetime as dt
import fcntl
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from autoglm_operator.api import names
from autoglm_operator.api.signals import SIGNALS

pytestmark = pytest.mark.api

GROUP = "custom.metrics.k8s.io"
VERSIONS = ("v1beta1", "v1beta2")
RBAC = "/apis/rbac.authorization.k8s.io/v1"
#: What the chart gives the autoscaler in a release that is limited to a namespace.
RULES = [
    {"apiGroups": ["autoglm.io"], "resources": ["autoglmdeployments"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": ["autoglm.io"], "resources": ["autoglmdeployments/status"], "verbs": ["patch"]},
    {"apiGroups": ["autoglm.io"], "resources": ["autoglmdeployments/scale"], "verbs": ["patch"]},
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": [""], "resources": ["pods/status"], "verbs": ["patch"]},
    {"apiGroups": [""], "resources": ["resourcequotas"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "create", "patch"]},
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create", "get", "update"]},
]
REVIEW = [{"apiGroups": ["authorization.k8s.io"], "resources": ["subjectaccessreviews"], "verbs": ["create"]}]


class Engine:
    """Stands in for engine and agent of a pod, on the ports they have in a pod."""

    def __init__(self, address):
        self.address = address
        self.waiting = 0
        self.alive = True
        self.servers = [self._serve(names.ENGINE_PORT, self._metrics), self._serve(names.AGENT_PORT, self._state)]

    def _metrics(self):
        return (
            f"vllm:num_requests_running {16 if self.waiting else 0}\n"
            f"vllm:num_requests_waiting {self.waiting}\nvllm:kv_cache_usage_perc 0.25\n"
        )

    def _state(self):
        gpu = {"memoryUsedBytes": 60, "memoryTotalBytes": 80, "sampleAgeSeconds": 0.5}
        return json.dumps({"version": 1, "gpus": [gpu]})

    def _serve(self, port, body):
        engine = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200 if engine.alive else 500)
                self.end_headers()
                self.wfile.write(body().encode())

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer((self.address, port), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    def stop(self):
        for server in self.servers:
            server.shutdown()
            server.server_close()


class Autoscaler:
    """One autoscaler process, registered as the backend of the API group."""

    def __init__(self, cluster, namespace, folder, address):
        self.cluster, self.namespace, self.folder, self.address = cluster, namespace, folder, address
        self.ports = [random.randint(20000, 32000) for _ in range(2)]
        self.log = folder / "autoscaler.log"
        self.process = None

    def install(self):
        host = f"autoscaler.{self.namespace}.svc"
        certificate = _serving_certificate(self.folder, host)
        here, port = f"/api/v1/namespaces/{self.namespace}", self.ports[0]
        self._post(f"{here}/services", {"metadata": {"name": "autoscaler"}, "spec": {"ports": [{"port": 443}]}})
        endpoints = {
            "metadata": {"name": "autoscaler", "labels": {"kubernetes.io/service-name": "autoscaler"}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [self.address], "conditions": {"ready": True}}],
            "ports": [{"port": port, "protocol": "TCP"}],
        }
        self._post(f"/apis/discovery.k8s.io/v1/namespaces/{self.namespace}/endpointslices", endpoints)
        self._authorize()
        self.start()
        for version in VERSIONS:
            spec = {
                "group": GROUP,
                "version": version,
                "groupPriorityMinimum": 100,
                "versionPriority": 200 if version == "v1beta2" else 100,
                "service": {"namespace": self.namespace, "name": "autoscaler", "port": 443},
                "caBundle": base64.b64encode(certificate).decode(),
            }
            services = "/apis/apiregistration.k8s.io/v1/apiservices"
            self._post(services, {"metadata": {"name": f"{version}.{GROUP}"}, "spec": spec})

    def uninstall(self):
        for version in VERSIONS:
            self.cluster.call("DELETE", f"/apis/apiregistration.k8s.io/v1/apiservices/{version}.{GROUP}")
        for kind, name in (("clusterrolebindings", "review"), ("clusterroles", "review")):
            self.cluster.call("DELETE", f"{RBAC}/{kind}/{self.namespace}-{name}")
        self.cluster.call("DELETE", f"{RBAC}/namespaces/kube-system/rolebindings/{self.namespace}")
        self.stop()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(15)

    def _post(self, path, body):
        answer = self.cluster.call("POST", path, body)
        assert answer.is_success, answer.text
        return answer.json()

    def _authorize(self):
        here, own = self.namespace, f"{self.namespace}-review"
        subject = {"kind": "ServiceAccount", "name": "autoscaler", "namespace": here}
        self._post(f"/api/v1/namespaces/{here}/serviceaccounts", {"metadata": {"name": "autoscaler"}})
        self._post(f"{RBAC}/namespaces/{here}/roles", {"metadata": {"name": "autoscaler"}, "rules": RULES})
        self._post(f"{RBAC}/clusterroles", {"metadata": {"name": own}, "rules": REVIEW})
        for path, name, kind, role in (
            (f"{RBAC}/namespaces/{here}/rolebindings", "autoscaler", "Role", "autoscaler"),
            (f"{RBAC}/clusterrolebindings", own, "ClusterRole", own),
            (f"{RBAC}/namespaces/kube-system/rolebindings", here, "Role", "extension-apiserver-authentication-reader"),
        ):
            reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role}
            self._post(path, {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]})

    def start(self):
        token = self._post(f"/api/v1/namespaces/{self.namespace}/serviceaccounts/autoscaler/token", {"spec": {}})
        admin = yaml.safe_load(self.cluster.kubeconfig.read_text())["clusters"][0]["cluster"]
        kubeconfig = self.folder / "kubeconfig"
        document = {
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
            "clusters": [{"name": "k", "cluster": admin}],
            "users": [{"name": "u", "user": {"token": token["status"]["token"]}}],
        }
        kubeconfig.write_text(yaml.safe_dump(document))
        environment = {
            "PATH": os.environ["PATH"],
            "KUBECONFIG": str(kubeconfig),
            "WATCH_NAMESPACES": self.namespace,
            "POD_NAMESPACE": self.namespace,
            "POD_NAME": "autoscaler-0",
            "API_PORT": str(self.ports[0]),
            "HEALTH_PORT": str(self.ports[1]),
            "TLS_CERT_FILE": str(self.folder / "tls.crt"),
            "TLS_KEY_FILE": str(self.folder / "tls.key"),
        }
        command = [sys.executable, "-m", "autoglm_operator", "autoscaler"]
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(command, stderr=output, env=environment)
        wait(30, lambda: self.direct("/healthz") is not None, self.log.read_text)

    def direct(self, path, **headers):
        """Return the answer to somebody who does not come through the API server; `None` if nobody listens."""
        url = f"https://{self.address}:{self.ports[0]}{path}"
        try:
            return httpx.get(url, headers=headers, verify=False)  # noqa: S501  # who asks is the point here
        except httpx.TransportError:
            return None


def _serving_certificate(folder: Path, host):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    encoding = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "tls.crt").write_bytes(pem)
    (folder / "tls.key").write_bytes(key.private_bytes(*encoding))
    return pem


@pytest.fixture(scope="module")
def autoscaler(cluster, control_plane, shared_namespace, tmp_path_factory):
    made = Autoscaler(cluster, shared_namespace, tmp_path_factory.mktemp("autoscaler"), control_plane.host_address)
    # A cluster has room for one backend of the API group: other workers wait for their turn.
    with control_plane.kubeconfig.open() as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        made.install()
        yield made
        made.uninstall()


@pytest.fixture(scope="module")
def engine():
    made = Engine(f"127.{random.randint(2, 250)}.{random.randint(2, 250)}.{random.randint(2, 250)}")
    yield made
    made.stop()


@pytest.fixture(scope="module")
def deployment(cluster, shared_operators, autoscaler, engine, manifest):
    """One AutoGLMDeployment with one pod that the stand-in answers for."""
    shared_operators.start()
    namespace = autoscaler.namespace
    autoscaling = {"maxReplicas": 8, "scaleDownHold": "5m"}
    batching = {"type": "Simulator", "batching": {"maxNumSeqs": 16}}
    cluster.create(manifest("phone", namespace, autoscaling=autoscaling, engine=batching))
    pod = wait(30, lambda: cluster.items("v1", "Pod", namespace))[0]
    conditions = [{"type": "Ready", "status": "True"}]
    status = {"phase": "Running", "podIP": engine.address, "podIPs": [{"ip": engine.address}], "conditions": conditions}
    cluster.patch({"apiVersion": "v1", "kind": "Pod", **pod}, {"status": status}, "status")
    wait(60, lambda: read(cluster, namespace).is_success, autoscaler.log.read_text)


def wait(seconds, condition, describe=str):
    """Return what `condition` returns once that is true."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, describe()
        time.sleep(0.1)
    return found


def read(cluster, namespace, metric="autoglm_desired_replicas", version="v1beta2", name="phone"):
    path = f"/apis/{GROUP}/{version}/namespaces/{namespace}/autoglmdeployments.autoglm.io/{name}/{metric}"
    return cluster.call("GET", path)


def value(cluster, namespace, metric="autoglm_desired_replicas"):
    return read(cluster, namespace, metric).json()["items"][0]["value"]


def condition(document, kind):
    conditions = document.get("status", {}).get("conditions", [])
    return next((item for item in conditions if item["type"] == kind), {"status": "Unknown"})


def hpa(cluster, namespace):
    return cluster.get("autoscaling/v2", "HorizontalPodAutoscaler", namespace, "phone")


@pytest.mark.parametrize("version", VERSIONS)
def test_the_api_service_becomes_available(cluster, autoscaler, version):
    path = f"/apis/apiregistration.k8s.io/v1/apiservices/{version}.{GROUP}"

    def available():
        return condition(cluster.call("GET", path).json(), "Available")["status"] == "True"

    wait(60, available, lambda: cluster.call("GET", path).text + autoscaler.log.read_text())


@pytest.mark.parametrize("version", VERSIONS)
def test_discovery_goes_through_the_aggregator(cluster, autoscaler, deployment, version):
    path = f"/apis/{GROUP}/{version}"
    found = wait(30, lambda: cluster.call("GET", path).is_success and cluster.call("GET", path).json())
    assert [item["name"].split("/")[1] for item in found["resources"]] == [signal.name for signal in SIGNALS]


def test_aggregated_discovery_and_openapi_know_the_group(cluster, autoscaler, deployment):
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

    def discovered():
        groups = cluster.http.get("/apis", headers={"Accept": accept}).json()["items"]
        ours = [group for group in groups if group["metadata"]["name"] == GROUP]
        return ours and ours[0]["versions"][0]["version"] == "v1beta2" and ours[0]["versions"][0]["resources"]

    (resource,) = wait(60, discovered)
    assert resource["resource"] == "autoglmdeployments.autoglm.io"
    assert {item["subresource"] for item in resource["subresources"]} == {signal.name for signal in SIGNALS}
    assert {item["responseKind"]["kind"] for item in resource["subresources"]} == {"MetricValueList"}
    wait(90, lambda: f"apis/{GROUP}/v1beta2" in cluster.call("GET", "/openapi/v3").json()["paths"])


def test_every_signal_can_be_read_in_both_versions(cluster, shared_namespace, deployment):
    expected = {"autoglm_kv_cache_utilization": "250m", "autoglm_queue_depth": "0", "autoglm_running_requests": "0"}
    expected |= {
        "autoglm_gpu_memory_utilization": "750m",
        "autoglm_ttft_p99_seconds": "0",
        "autoglm_itl_p99_seconds": "0",
    }
    wait(6, lambda: value(cluster, shared_namespace, "autoglm_queue_depth") == "0")
    for version in VERSIONS:
        for metric, text in expected.items():
            answer = read(cluster, shared_namespace, metric, version)
            assert answer.is_success, answer.text
            assert answer.json()["items"][0]["value"] == text


def test_what_does_not_exist_is_explained_through_the_aggregator(cluster, shared_namespace, deployment):
    answer = read(cluster, shared_namespace, name="tablet")
    assert (answer.status_code, answer.json()["reason"]) == (404, "NotFound")
    assert f"AutoGLMDeployment {shared_namespace}/tablet does not exist" in answer.json()["message"]


def test_only_who_may_read_reads(cluster, shared_namespace, deployment):
    path = (
        f"/apis/{GROUP}/v1beta2/namespaces/{shared_namespace}/autoglmdeployments.autoglm.io/phone/autoglm_queue_depth"
    )

    def as_eve():
        return cluster.http.get(path, headers={"Impersonate-User": "eve"})

    assert as_eve().status_code == httpx.codes.FORBIDDEN
    rules = [{"apiGroups": [GROUP], "resources": ["autoglmdeployments.autoglm.io/*", "*"], "verbs": ["get"]}]
    here = f"{RBAC}/namespaces/{shared_namespace}"
    assert cluster.call("POST", f"{here}/roles", {"metadata": {"name": "reader"}, "rules": rules}).is_success
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"}
    body = {"metadata": {"name": "eve"}, "roleRef": reference, "subjects": [{"kind": "User", "name": "eve"}]}
    assert cluster.call("POST", f"{here}/rolebindings", body).is_success
    end = time.monotonic() + 15
    while (answer := as_eve()).status_code != httpx.codes.OK and time.monotonic() < end:
        time.sleep(0.2)
    assert answer.is_success, answer.text
    elsewhere = cluster.http.get(path.replace(shared_namespace, "default"), headers={"Impersonate-User": "eve"})
    assert elsewhere.status_code == httpx.codes.FORBIDDEN


def test_the_server_believes_nobody_who_comes_directly(autoscaler):
    headers = {"X-Remote-User": "system:admin", "X-Remote-Group": "system:masters"}
    answer = autoscaler.direct(f"/apis/{GROUP}/v1beta2", **headers)
    assert answer.status_code == httpx.codes.UNAUTHORIZED


@pytest.fixture
def backlog(engine):
    """Return what makes 50 requests wait; they are gone after the test."""
    yield lambda: setattr(engine, "waiting", 50)
    engine.waiting = 0


def test_a_backlog_reaches_the_replicas_within_an_hpa_period_and_three_seconds(
    cluster, shared_namespace, deployment, backlog
):
    wait(45, lambda: condition(hpa(cluster, shared_namespace), "ScalingActive")["status"] == "True")
    backlog()
    start = time.monotonic()
    wait(6, lambda: value(cluster, shared_namespace) == "5")
    assert time.monotonic() - start < 4
    agd = lambda: cluster.get(names.API_VERSION, names.KIND, shared_namespace, "phone")  # noqa: E731
    wait(20, lambda: agd()["spec"]["replicas"] == 5, lambda: json.dumps(hpa(cluster, shared_namespace)["status"]))
    assert time.monotonic() - start < 18.5
    written = wait(20, lambda: agd()["status"].get("autoscaling", {}).get("desiredReplicas") == 5 and agd())
    decision = written["status"]["autoscaling"]["decision"]
    assert (decision["from"], decision["to"], decision["reason"]) == (1, 5, "QueueBacklog")
    managers = {item["manager"] for item in written["metadata"]["managedFields"] if "f:autoscaling" in str(item)}
    assert "autoglm-autoscaler" in managers
    (scaled,) = [item for item in written["metadata"]["managedFields"] if item.get("subresource") == "scale"]
    assert scaled["manager"] == "autoglm-autoscaler", "ahead of the HPA, which found it done"


def test_an_engine_that_fails_is_an_error_and_the_hpa_holds(cluster, shared_namespace, deployment, engine):
    engine.alive = False
    try:
        wait(20, lambda: read(cluster, shared_namespace).status_code == httpx.codes.SERVICE_UNAVAILABLE)
        assert "answered 500" in read(cluster, shared_namespace, "autoglm_queue_depth").json()["message"]
        replicas = cluster.get(names.API_VERSION, names.KIND, shared_namespace, "phone")["spec"]["replicas"]
        wait(30, lambda: condition(hpa(cluster, shared_namespace), "ScalingActive")["status"] == "False")
        assert cluster.get(names.API_VERSION, names.KIND, shared_namespace, "phone")["spec"]["replicas"] == replicas
    finally:
        engine.alive = True
    wait(10, lambda: read(cluster, shared_namespace).is_success)


def test_it_stops_when_told_and_releases_the_lease(cluster, shared_namespace, deployment, autoscaler):
    def lease():
        return cluster.get("coordination.k8s.io/v1", "Lease", shared_namespace, "autoglm-autoscaler")

    wait(10, lambda: (lease() or {"spec": {}})["spec"].get("holderIdentity") == "autoscaler-0")
    assert autoscaler.stop() == 0, autoscaler.log.read_text()
    assert lease()["spec"]["holderIdentity"] == ""
    levels = {json.loads(line)["level"] for line in autoscaler.log.read_text().splitlines()}
    assert "error" not in levels, autoscaler.log.read_text()
    autoscaler.start()
    wait(30, lambda: read(cluster, shared_namespace).is_success)


def test_decisions_outlive_the_process(cluster, shared_namespace, deployment, autoscaler, backlog):
    def records():
        kept = cluster.get("v1", "ConfigMap", shared_namespace, "phone-autoscaling")
        return json.loads(kept["data"]["decisions.json"]) if kept else []

    backlog()
    wait(30, lambda: any(record["to"] == 5 for record in records()), autoscaler.log.read_text)
    assert autoscaler.stop() == 0, autoscaler.log.read_text()
    before = records()
    log = autoscaler.log.read_text()
    assert "memory not" not in log, log
    autoscaler.start()
    # Written again on the way out, after it was read on the way in.
    wait(30, lambda: read(cluster, shared_namespace).is_success)
    time.sleep(6)
    assert autoscaler.stop() == 0
    after = records()
    autoscaler.start()
    wait(30, lambda: read(cluster, shared_namespace).is_success)
    assert [record["time"] for record in after[: len(before)]] == [record["time"] for record in before]
    made = cluster.get("v1", "ConfigMap", shared_namespace, "phone-autoscaling")
    agd = cluster.get(names.API_VERSION, names.KIND, shared_namespace, "phone")
    assert [owner["uid"] for owner in made["metadata"]["ownerReferences"]] == [agd["metadata"]["uid"]]

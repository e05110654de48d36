"""A real control plane, a namespace for each test, and operators as the processes that users run."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from autoglm_operator.api import names
from autoglm_operator.api.crd import custom_resource_definition
from autoglm_operator.api.kinds import KINDS, CustomKind
from autoglm_operator.kube import resources
from autoglm_operator.kube.connection import Connection
from autoglm_operator.observe.benchmark_caches import CHILD_KINDS as BENCHMARK_KINDS
from autoglm_operator.observe.caches import CHILD_KINDS, OPTIONAL_KINDS

Document = dict[str, Any]

#: What the chart gives the operator in a release that is limited to namespaces: no ClusterRole at all.
CHILDREN = dict.fromkeys(
    (api_version.rpartition("/")[0], resources.path(api_version, kind).rpartition("/")[2])
    for api_version, kind in (*CHILD_KINDS, *OPTIONAL_KINDS, *BENCHMARK_KINDS)
)
OURS = ["autoglmdeployments", "autoglmbenchmarks"]
OPERATOR_RULES = [
    {"apiGroups": ["autoglm.io"], "resources": OURS, "verbs": ["get", "list", "watch"]},
    {"apiGroups": ["autoglm.io"], "resources": [f"{kind}/status" for kind in OURS], "verbs": ["patch"]},
    {"apiGroups": ["autoglm.io"], "resources": [f"{kind}/finalizers" for kind in OURS], "verbs": ["update"]},
    *(
        {
            "apiGroups": [group],
            "resources": [resource],
            "verbs": ["get", "list", "watch", "create", "patch", "delete"],
        }
        for group, resource in CHILDREN
    ),
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
    {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create"]},
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create", "get", "update"]},
]


class Cluster:
    """Talks to the API server as the administrator; synchronous, and independent of the operator's own client."""

    def __init__(self, kubeconfig: Path) -> None:
        connection = Connection.from_kubeconfig(kubeconfig)
        self.kubeconfig = kubeconfig
        self.server = connection.server
        self.http = httpx.Client(base_url=connection.server, verify=connection.ssl_context, timeout=30)
        if token := connection.token():
            self.http.headers["Authorization"] = f"Bearer {token}"

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        content = None if body is None else json.dumps(body)
        kind = options.pop("content_type", "application/json")
        return self.http.request(method, path, content=content, headers={"Content-Type": kind}, params=options)

    def path(self, api_version: str, kind: str, namespace: str, name: str | None = None, subresource: str = "") -> str:
        return resources.path(api_version, kind, namespace, name, subresource)

    def create(self, obj: Document, **options: Any) -> Document:
        path = self.path(obj["apiVersion"], obj["kind"], obj["metadata"].get("namespace", ""))
        return _ok(self.call("POST", path, obj, **options))

    def get(self, api_version: str, kind: str, namespace: str, name: str) -> Document | None:
        answer = self.call("GET", self.path(api_version, kind, namespace, name))
        return None if answer.status_code == httpx.codes.NOT_FOUND else _ok(answer)

    def items(self, api_version: str, kind: str, namespace: str) -> list[Document]:
        return _ok(self.call("GET", self.path(api_version, kind, namespace)))["items"]

    def patch(self, obj: Document, body: Any, subresource: str = "") -> Document:
        meta = obj["metadata"]
        path = self.path(obj["apiVersion"], obj["kind"], meta["namespace"], meta["name"], subresource)
        return _ok(self.call("PATCH", path, body, content_type="application/merge-patch+json"))

    def delete(self, obj: Document) -> None:
        meta = obj["metadata"]
        _ok(self.call("DELETE", self.path(obj["apiVersion"], obj["kind"], meta["namespace"], meta["name"])))


def _ok(answer: httpx.Response) -> Document:
    assert answer.is_success, answer.text
    return answer.json()


@pytest.fixture(scope="session")
def cluster(control_plane) -> Iterator[Cluster]:
    """Return the cluster with the CRDs installed."""
    made = Cluster(control_plane.kubeconfig)
    for kind in KINDS:
        _install(made, kind)
    yield made
    made.http.close()


def _install(cluster: Cluster, kind: CustomKind) -> None:
    crd = custom_resource_definition(kind)
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{crd['metadata']['name']}"
    options = {"content_type": "application/apply-patch+yaml", "fieldManager": "tests", "force": "true"}
    answer = cluster.call("PATCH", path, crd, **options)
    assert answer.is_success, answer.text
    assert "Warning" not in answer.headers
    within(30, lambda: cluster.call("GET", f"/apis/{names.API_VERSION}/{kind.names.plural}").is_success)
    # The schema that was there before may be served for a moment longer.
    within(30, lambda: _serves_newest(cluster, crd))


def _serves_newest(cluster: Cluster, crd: Document) -> bool:
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{crd['metadata']['name']}"
    found = _ok(cluster.call("GET", path))
    conditions = {item["type"]: item["status"] for item in found["status"]["conditions"]}
    assert conditions.get("NonStructuralSchema", "False") == "False", found["status"]["conditions"]
    return conditions.get("Established") == "True"


def within(seconds: float, condition: Callable[[], Any], describe: Callable[[], Any] = str) -> Any:
    """Return what `condition` returns once that is true; fail after `seconds`."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > end:
            pytest.fail(f"not within {seconds} s: {describe()}")
        time.sleep(0.05)
    return found


@pytest.fixture(name="within", scope="session")
def _within() -> Callable[..., Any]:
    return within


def _namespace(cluster: Cluster) -> Iterator[str]:
    name = f"t-{uuid.uuid4().hex[:10]}"
    cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    cluster.call("DELETE", f"/api/v1/namespaces/{name}")


@pytest.fixture
def namespace(cluster) -> Iterator[str]:
    """Make a namespace for one test."""
    yield from _namespace(cluster)


@pytest.fixture(scope="module")
def shared_namespace(cluster) -> Iterator[str]:
    """Make a namespace for the tests of one module."""
    yield from _namespace(cluster)


@pytest.fixture(scope="session")
def manifest() -> Callable[..., Document]:
    """Make an AutoGLMDeployment as a user writes it; keywords replace parts of the spec."""

    def make(name: str, namespace: str, **spec: Any) -> Document:
        given = {
            "model": {"source": {"huggingFace": "zai-org/AutoGLM-Phone-9B"}},
            "engine": {"type": "Simulator"},
            "resources": {"gpu": {"count": 0}},
        }
        meta = {"name": name, "namespace": namespace}
        return {"apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": meta, "spec": given | spec}

    return make


@dataclass
class Operator:
    """One operator process."""

    process: subprocess.Popen[bytes]
    log: Path
    port: int

    def health(self, path: str) -> tuple[int, str]:
        try:
            answer = httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=2)
        except httpx.HTTPError as error:
            return 0, str(error)
        return answer.status_code, answer.text

    @property
    def leads(self) -> bool:
        return "autoglm_operator_leader 1.0" in self.health("/metrics")[1]

    def stop(self, sign: int = signal.SIGTERM) -> int:
        self.process.send_signal(sign)
        return self.process.wait(15)

    def lines(self) -> list[Document]:
        """Return what it logged; every line must be JSON."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@dataclass
class Operators:
    """Starts operators that serve one namespace with the rights of a Role."""

    cluster: Cluster
    namespace: str
    folder: Path
    user: str = ""
    token: str = ""
    started: list[Operator] = field(default_factory=list)

    def start(self, pod: str = "operator-0", server: str = "", *, wait: bool = True, **environ: str) -> Operator:
        number = len(self.started)
        kubeconfig = self.folder / f"kubeconfig-{number}"
        kubeconfig.write_text(yaml.safe_dump(self._kubeconfig(server or self.cluster.server)))
        log = self.folder / f"operator-{number}.log"
        port = _free_port()
        settings = {
            "KUBECONFIG": str(kubeconfig),
            "WATCH_NAMESPACES": self.namespace,
            "POD_NAME": pod,
            "POD_NAMESPACE": self.namespace,
            "HEALTH_PORT": str(port),
            "PATH": os.environ["PATH"],
        }
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "autoglm_operator", "operator"], stderr=output, env=settings | environ
            )
        operator = Operator(process, log, port)
        self.started.append(operator)
        if wait:
            within(60, lambda: operator.health("/readyz")[0] == httpx.codes.OK, log.read_text)
        return operator

    def _kubeconfig(self, server: str) -> Document:
        admin = yaml.safe_load(self.cluster.kubeconfig.read_text())["clusters"][0]["cluster"]
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
            "clusters": [{"name": "k", "cluster": admin | {"server": server}}],
            "users": [{"name": "u", "user": {"token": self.token}}],
        }

    def authorize(self) -> None:
        """Make the operator's ServiceAccount with a Role, and a token for it."""
        account, here = {"name": "operator", "namespace": self.namespace}, self.namespace
        rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{here}"
        _ok(self.cluster.call("POST", f"/api/v1/namespaces/{here}/serviceaccounts", {"metadata": account}))
        _ok(self.cluster.call("POST", f"{rbac}/roles", {"metadata": account, "rules": OPERATOR_RULES}))
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "operator"}
        subject = {"kind": "ServiceAccount", **account}
        binding = {"metadata": account, "roleRef": role, "subjects": [subject]}
        _ok(self.cluster.call("POST", f"{rbac}/rolebindings", binding))
        path = f"/api/v1/namespaces/{here}/serviceaccounts/operator/token"
        self.token = _ok(self.cluster.call("POST", path, {"spec": {}}))["status"]["token"]
        self.user = f"system:serviceaccount:{here}:operator"

    def stop(self) -> None:
        for operator in self.started:
            if operator.process.poll() is None:
                operator.process.kill()
                operator.process.wait()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _operators(cluster: Cluster, namespace: str, folder: Path) -> Iterator[Operators]:
    made = Operators(cluster, namespace, folder)
    made.authorize()
    yield made
    made.stop()


@pytest.fixture
def operators(cluster, namespace, tmp_path) -> Iterator[Operators]:
    """Start operators for the namespace of one test."""
    yield from _operators(cluster, namespace, tmp_path)


@pytest.fixture(scope="module")
def shared_operators(cluster, shared_namespace, tmp_path_factory) -> Iterator[Operators]:
    """Start operators for the namespace of one module."""
    yield from _operators(cluster, shared_namespace, tmp_path_factory.mktemp("operators"))


@pytest.fixture(scope="module")
def operator(shared_operators) -> Operator:
    """Start one operator for the namespace of one module."""
    return shared_operators.start()


@pytest.fixture
def here(operator, shared_namespace) -> str:
    """Return the namespace that the module's operator serves."""
    assert operator.process.poll() is None, operator.log.read_text()
    return shared_namespace


class Audit:
    """Reads what the API server was asked to do, from the moment this was made."""

    def __init__(self, log: Path | None) -> None:
        if log is None:
            pytest.skip("needs the audit log of the API server: set AUTOGLM_TEST_AUDIT_LOG")
        self._log = log
        self._start = log.stat().st_size

    def writes(self, user: str) -> list[tuple[str, str, str]]:
        """Return (verb, resource, name) of each write of `user`, but renewals of Leases."""
        with self._log.open("rb") as file:
            file.seek(self._start)
            events = [json.loads(line) for line in file.read().splitlines() if line.endswith(b"}")]
        return [
            (event["verb"], _resource(event), event["objectRef"].get("name", ""))
            for event in events
            if event["user"].get("username") == user
            and event["stage"] == "ResponseComplete"
            and event["verb"] not in {"get", "list", "watch"}
            and event.get("objectRef", {}).get("resource") != "leases"
        ]


def _resource(event: Document) -> str:
    reference = event["objectRef"]
    return "/".join(filter(None, (reference["resource"], reference.get("subresource"))))


@pytest.fixture
def audit(control_plane) -> Callable[[], Audit]:
    """Start to look at the audit log."""
    return lambda: Audit(control_plane.audit_log)

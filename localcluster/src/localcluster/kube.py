"""The few requests to the API server that bringing a cluster up needs."""

import http.client
import json
import ssl
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from localcluster.errors import LocalClusterError
from localcluster.paths import ClusterPaths
from localcluster.spec import State

_FIELD_MANAGER = "localcluster"
_REQUEST_TIMEOUT = 10.0
_POLL = 0.1
_PLURALS = {
    "Service": "services",
    "EndpointSlice": "endpointslices",
    "Node": "nodes",
    "ClusterRole": "clusterroles",
    "ClusterRoleBinding": "clusterrolebindings",
}


class Api:
    """Requests as administrator of a cluster."""

    def __init__(self, state: State, paths: ClusterPaths) -> None:
        self._host = urlsplit(state.server).netloc
        self._tls = ssl.create_default_context(cafile=str(paths.pki / "ca.crt"))
        self._tls.load_cert_chain(paths.pki / "admin.crt", paths.pki / "admin.key")

    def request(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json"
    ) -> tuple[int, str]:
        """Return the status and the text of an answer; connection errors are raised as OSError."""
        connection = http.client.HTTPSConnection(self._host, context=self._tls, timeout=_REQUEST_TIMEOUT)
        try:
            headers = {"Content-Type": content_type}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def get(self, path: str) -> dict[str, Any]:
        """Return an object, or an empty dict where there is none."""
        status, text = self.request("GET", path)
        if status == http.client.NOT_FOUND:
            return {}
        return _checked("GET", path, status, text)

    def apply(self, manifest: dict[str, Any]) -> None:
        """Apply an object on the server's side."""
        path = f"{object_path(manifest)}?fieldManager={_FIELD_MANAGER}&force=true"
        status, text = self.request("PATCH", path, manifest, "application/apply-patch+yaml")
        _checked("PATCH", path, status, text)

    def apply_status(self, manifest: dict[str, Any]) -> None:
        """Write an object's status."""
        path = f"{object_path(manifest)}/status"
        status, text = self.request("PATCH", path, {"status": manifest["status"]}, "application/merge-patch+json")
        _checked("PATCH", path, status, text)

    def is_ready(self) -> bool:
        """Say whether the API server answers that it is ready."""
        try:
            return self.request("GET", "/readyz")[0] == http.client.OK
        except OSError:
            return False

    def node_is_ready(self, name: str) -> bool:
        """Say whether a node is there and ready."""
        conditions = self.get(f"/api/v1/nodes/{name}").get("status", {}).get("conditions", [])
        return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)

    def node_offers(self, name: str, resource: str, count: int) -> bool:
        """Say whether a node has that much of a resource to allocate."""
        status = self.get(f"/api/v1/nodes/{name}").get("status", {})
        return str(status.get("allocatable", {}).get(resource)) == str(count)


def object_path(manifest: dict[str, Any]) -> str:
    """Return the API path of an object."""
    version, metadata = manifest["apiVersion"], manifest["metadata"]
    prefix = f"/api/{version}" if "/" not in version else f"/apis/{version}"
    namespace = f"/namespaces/{metadata['namespace']}" if "namespace" in metadata else ""
    return f"{prefix}{namespace}/{_PLURALS[manifest['kind']]}/{metadata['name']}"


def wait(what: str, check: Callable[[], bool], alive: Callable[[], None], seconds: float) -> None:
    """Wait for a condition.

    Args:
        what: what is waited for, for the message.
        check: the condition.
        alive: raises if waiting is pointless, because a process has died.
        seconds: how long.

    Raises:
        LocalClusterError: it did not come in time.
    """
    deadline = time.monotonic() + seconds
    while not check():
        alive()
        if time.monotonic() > deadline:
            raise LocalClusterError(f"{what}: not within {seconds:.0f} s")
        time.sleep(_POLL)


def _checked(method: str, path: str, status: int, text: str) -> dict[str, Any]:
    if status >= http.client.BAD_REQUEST:
        raise LocalClusterError(f"{method} {path}: {status} {text}")
    answer: dict[str, Any] = json.loads(text)
    return answer

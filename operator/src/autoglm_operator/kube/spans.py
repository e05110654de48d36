"""A client span for each request to the Kubernetes API that is part of something traced."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from autoglm_operator.kube.errors import ConnectionLost
from autoglm_operator.tracing import surrounding_span, tell

tracer = trace.get_tracer(__name__)

#: Semantic conventions have a name for these; `autoglm.object.name` holds every other.
_NAMES: Final = {
    "cronjobs": "k8s.cronjob.name",
    "daemonsets": "k8s.daemonset.name",
    "deployments": "k8s.deployment.name",
    "horizontalpodautoscalers": "k8s.hpa.name",
    "jobs": "k8s.job.name",
    "nodes": "k8s.node.name",
    "pods": "k8s.pod.name",
    "statefulsets": "k8s.statefulset.name",
}
_ERROR: Final = 400
_NOT_FOUND: Final = 404


class Request:
    """What the caller tells of its request as it goes on."""

    __slots__ = ("status",)

    def __init__(self) -> None:
        self.status = 0

    def answered(self, status: int) -> None:
        """Note the HTTP status."""
        self.status = status


@contextmanager
def request_span(method: str, server: str, path: str) -> Iterator[Request]:
    """Run the block in the span around it, and tell of the request in a span of its own if that one is recorded.

    The span is made when the request is over, in a pass when its step is: a request waits for the network, and what
    runs between two waits finds the processor's caches cold, which makes spans several times as dear there.

    Args:
        method: HTTP method.
        server: base URL of the API server.
        path: of the request; its query, which may hold tokens of a list, is not recorded.
    """
    around, request = surrounding_span(), Request()
    if not around.is_recording():
        yield request
        return
    start, lost = time.time_ns(), None
    try:
        with trace.use_span(around, record_exception=False, set_status_on_exception=False):
            yield request
    except ConnectionLost as error:
        lost = error
        raise
    finally:
        tell(_Over(method, server, path, start, time.time_ns(), request.status, lost))


@dataclass(frozen=True, slots=True)
class _Over:
    """A request that is over; `make` makes its span."""

    method: str
    server: str
    path: str
    start: int
    end: int
    status: int
    lost: ConnectionLost | None

    def make(self, parent: Span) -> None:
        resource, attributes = describe(self.path)
        where = urlsplit(self.server)
        attributes |= {
            "http.request.method": self.method,
            "url.path": self.path,
            "server.address": where.hostname or "",
            "server.port": where.port or 443,
        }
        if self.status:
            attributes["http.response.status_code"] = self.status
        problem, kind = self._problem()
        if problem:
            attributes["error.type"] = kind
        span = tracer.start_span(
            f"{self.method} {resource}",
            trace.set_span_in_context(parent),
            kind=SpanKind.CLIENT,
            attributes=attributes,
            start_time=self.start,
        )
        if problem:
            span.set_status(Status(StatusCode.ERROR, problem))
        span.end(self.end)

    def _problem(self) -> tuple[str, str]:
        """Return what went wrong in a sentence and in a word; two empty ones if nothing did."""
        if self.lost is not None:
            return str(self.lost), type(self.lost.__cause__).__name__
        # Whether something is there is often the question, and then this is the answer.
        if self.status >= _ERROR and not (self.status == _NOT_FOUND and self.method == "GET"):
            return f"HTTP {self.status}", str(self.status)
        return "", ""


def describe(path: str) -> tuple[str, dict[str, str | int]]:
    """Return what a path of the API is about, such as `deployments/status`, and the `k8s.*` names in it."""
    parts = path.strip("/").split("/")
    # /api/VERSION/... or /apis/GROUP/VERSION/...
    rest = parts[2:] if parts[0] == "api" else parts[3:]
    attributes: dict[str, str | int] = {}
    if len(rest) > 2 and rest[0] == "namespaces":  # noqa: PLR2004  # namespaces/NAME/RESOURCE
        attributes["k8s.namespace.name"] = rest[1]
        rest = rest[2:]
    if not rest:
        return "/".join(parts), attributes
    resource, name, subresource = (*rest, "", "")[:3]
    if name:
        attributes[_NAMES.get(resource, "autoglm.object.name")] = name
    return f"{resource}/{subresource}" if subresource else resource, attributes

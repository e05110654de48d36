"""A client span for each request to the Kubernetes API that is part of something traced."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from autoglm_operator.kube.errors import ConnectionLost
from autoglm_operator.tracing import current_span

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

    __slots__ = ("_reads", "_span")

    def __init__(self, span: Span | None, *, reads: bool) -> None:
        self._span = span
        self._reads = reads

    def answered(self, status: int) -> None:
        """Note the HTTP status."""
        if self._span is None:
            return
        self._span.set_attribute("http.response.status_code", status)
        # Whether something is there is often the question, and then this is the answer.
        if status >= _ERROR and not (status == _NOT_FOUND and self._reads):
            self._span.set_attribute("error.type", str(status))
            self._span.set_status(Status(StatusCode.ERROR, f"HTTP {status}"))


_UNTRACED: Final = Request(None, reads=True)


@contextmanager
def request_span(method: str, server: str, path: str) -> Iterator[Request]:
    """Run the block in the span of a request, if the span around it is recorded; otherwise in none.

    Args:
        method: HTTP method.
        server: base URL of the API server.
        path: of the request; its query, which may hold tokens of a list, is not recorded.
    """
    parent = current_span()
    if not parent.is_recording():
        yield _UNTRACED
        return
    resource, attributes = describe(path)
    where = urlsplit(server)
    attributes |= {
        "http.request.method": method,
        "url.path": path,
        "server.address": where.hostname or "",
        "server.port": where.port or 443,
    }
    with tracer.start_as_current_span(
        f"{method} {resource}",
        trace.set_span_in_context(parent),
        kind=SpanKind.CLIENT,
        attributes=attributes,
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield Request(span, reads=method == "GET")
        except ConnectionLost as error:
            span.set_attribute("error.type", type(error.__cause__).__name__)
            span.set_status(Status(StatusCode.ERROR, str(error)))
            raise


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

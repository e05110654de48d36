"""Traces of an operator as a collector receives them."""

import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

pytestmark = pytest.mark.api

STEPS = {"observe", "decide", "render", "apply", "report"}


class Collector(ThreadingHTTPServer):
    """Takes OTLP over HTTP and keeps the spans."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.spans = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        request = ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                self.server.spans += scope.spans
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        """Keep quiet."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    server = Collector()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_one_span_for_a_reconcile_and_a_child_for_each_step(cluster, operators, namespace, manifest, within, collector):
    operators.start(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
    cluster.create(manifest("phone", namespace))

    def children():
        roots = [span for span in collector.spans if span.name == "reconcile AutoGLMDeployment"]
        return {span.name for span in collector.spans if roots and span.parent_span_id == roots[0].span_id}

    within(30, lambda: children() >= STEPS)
    root = next(span for span in collector.spans if span.name == "reconcile AutoGLMDeployment")
    attributes = {item.key: item.value.string_value for item in root.attributes}
    assert attributes["k8s.namespace.name"] == namespace
    assert attributes["autoglm.deployment.name"] == "phone"
    assert not root.parent_span_id


def test_a_collector_that_is_down_stops_nothing(cluster, operators, namespace, manifest, within):
    operators.start(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    cluster.create(manifest("phone", namespace))
    within(15, lambda: cluster.get("apps/v1", "Deployment", namespace, "phone"))

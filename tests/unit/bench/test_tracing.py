import asyncio
import subprocess
import sys

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from autoglm_bench.drive import Driver
from autoglm_bench.load.arrivals import Arrivals, Phase
from autoglm_bench.load.lengths import fixed
from autoglm_bench.load.plan import Plan
from autoglm_bench.load.workload import Made, MadeWorkload
from autoglm_bench.wire.chat import ChatClient, Target
from autoglm_bench.wire.tracing import Tracing


@pytest.fixture
async def collector():
    """An OTLP receiver over HTTP that keeps what comes."""
    taken = []

    async def handle(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.splitlines()[1:-1])
        body = await reader.readexactly(int(fields[b"content-length"]))
        if fields.get(b"content-encoding") == b"gzip":
            raise AssertionError("not expected here")
        taken.append((head.split()[1], ExportTraceServiceRequest.FromString(body)))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", taken
    server.close()


async def drive(engine, endpoint):
    tracing = Tracing(endpoint, engine.url, "phone")
    workload = MadeWorkload(Made(prompt_tokens=fixed(4), output_tokens=fixed(5)), 0)
    plan = Plan("constant", workload, 0, [Phase("a", 10, 0.5, Arrivals.CONSTANT)])
    async with ChatClient(Target(engine.url, "phone", timeout=5)) as client:
        await Driver(plan, client, "phone", (), tracing).drive()
    return await asyncio.to_thread(tracing.close)


async def test_each_request_is_a_root_span_that_the_engine_hears_of(engine, collector):
    endpoint, taken = collector

    assert await drive(engine, endpoint) == ""
    assert {path for path, _ in taken} == {b"/v1/traces"}
    spans = [
        span for _, got in taken for part in got.resource_spans for scope in part.scope_spans for span in scope.spans
    ]
    # The last two digits are flags: sampled, and in newer versions that the trace id is random.
    sent = {line[:-2] for head in engine.heads for line in head.decode().splitlines() if line.startswith("traceparent")}
    assert len(spans) == 5
    assert {f"traceparent: 00-{span.trace_id.hex()}-{span.span_id.hex()}-" for span in spans} == sent
    attributes = {one.key: one.value for one in spans[0].attributes}
    assert (spans[0].name, spans[0].kind, spans[0].parent_span_id) == ("chat phone", 3, b"")
    assert attributes["gen_ai.operation.name"].string_value == "chat"
    assert attributes["gen_ai.request.model"].string_value == "phone"
    assert attributes["gen_ai.usage.output_tokens"].int_value == 5
    assert attributes["gen_ai.usage.input_tokens"].int_value == 17
    assert 0 < spans[0].end_time_unix_nano - spans[0].start_time_unix_nano < 5e9


async def test_failed_request_is_a_failed_span(engine, collector, script):
    engine.behaviour = script.answer("500 Internal Server Error")
    endpoint, taken = collector
    await drive(engine, endpoint)
    (span, *_) = taken[0][1].resource_spans[0].scope_spans[0].spans

    assert span.status.code == 2
    assert {one.key: one.value.string_value for one in span.attributes}["error.type"] == "status"


async def test_spans_that_cannot_be_exported_are_counted_and_nothing_else(engine, unused_tcp_port):
    assert (await drive(engine, f"http://127.0.0.1:{unused_tcp_port}")).startswith("5 of 5 spans were not exported: ")


def test_opentelemetry_is_not_imported_without_an_endpoint():
    code = (
        "import sys, autoglm_bench.__main__; print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )

    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"

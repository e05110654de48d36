"""What comes out of a real OpenTelemetry Collector that runs the example's configuration."""

import asyncio
import io
import json
import logging
import time

import pytest
from aiohttp import ClientSession, web
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Status, StatusCode

from autoglm_operator.telemetry import JsonFormatter
from autoglm_operator.trace_export import TIMEOUT_SECONDS, Export
from autoglm_simulator.flags import parse
from autoglm_simulator.server import Server

pytestmark = pytest.mark.collector


@pytest.fixture
def tracer(real_collector):
    """A tracer whose spans go to the collector."""
    url = f"{real_collector.url}/v1/traces"
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(Export(OTLPSpanExporter(url, timeout=TIMEOUT_SECONDS), url, lambda *_: None, every=0.1))
    yield provider.get_tracer("t")
    provider.shutdown()


def test_errors_slow_ones_and_decisions_are_kept_and_of_the_rest_a_share(real_collector, tracer, within):
    now = time.time_ns()
    for _ in range(200):
        tracer.start_span("fast").end()
    for _ in range(5):
        tracer.start_span("slow", start_time=now - 6 * 10**9).end(now)
        failed = tracer.start_span("failed")
        failed.set_status(Status(StatusCode.ERROR, "boom"))
        failed.end()
        tracer.start_span("scale", attributes={"autoglm.decision.reason": "QueueBacklog"}).end()

    def kept(name):
        return sum(span["name"] == name for span in real_collector.spans())

    within(20, lambda: kept("slow") == kept("failed") == kept("scale") == 5)
    assert 0 < kept("fast") < 100


def container_line(text):
    return f"2026-11-21T12:00:00.123456789Z stderr F {text}\n"


def test_lines_become_records_with_trace_and_object(real_collector, tracer, within):
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("autoglm_operator.test_lines")
    logger.propagate, logger.handlers[:] = False, [handler]
    with tracer.start_as_current_span("s") as span:
        logger.warning(
            "reconcile refused",
            extra={"namespace": "team-a", "deployment": "phone", "reason": "DoesNotFit", "error": "x"},
        )
    folder = real_collector.logs / "autoglm-system_autoglm-operator-0_5f0c3a52-7d1b-4a54-9f0e-0c9a1f5b7a11" / "operator"
    folder.mkdir(parents=True)
    plain = "INFO 11-21 09:46:07 [core.py:133] an engine's own line"
    (folder / "0.log").write_text(container_line(stream.getvalue().strip()) + container_line(plain))
    records = within(20, lambda: len(found := real_collector.records()) == 2 and found)
    ours = next(record for record in records if record["body"]["stringValue"] == "reconcile refused")
    context = span.get_span_context()
    assert (ours["traceId"], ours["spanId"]) == (f"{context.trace_id:032x}", f"{context.span_id:016x}")
    assert ours["severityText"] in ("warning", "WARN")
    assert ours["severityNumber"] == 13
    written = json.loads(stream.getvalue())
    at = int(ours["timeUnixNano"]) / 1e9
    assert time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) == written["time"][:19]
    assert {key: ours["attributes"][key] for key in ("namespace", "name", "reason")} == {
        "namespace": "team-a",
        "name": "phone",
        "reason": "DoesNotFit",
    }
    assert ours["resource"]["k8s.pod.name"] == "autoglm-operator-0"
    assert ours["resource"]["k8s.container.name"] == "operator"
    theirs = next(record for record in records if record is not ours)
    assert theirs["body"]["stringValue"] == plain


async def test_a_request_of_a_client_leads_to_the_span_of_the_engine(real_collector, monkeypatch, within):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "phone")
    # As an error, so that the collector keeps it whatever the ratio says.
    flags = ["--otlp-traces-endpoint", f"{real_collector.url}/v1/traces", "--enable-fault-injection"]
    server = Server(parse(["serve", "m", "--profile", "tiny-demo", *flags]))
    runner = web.AppRunner(server.app(), access_log=None, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    parent = "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"
    body = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 4, "ignore_eos": True}
    async with ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}") as client:
        for rate in (0, 1):
            await client.post("/faults", json={"errorRate": rate})
            answer = await client.post("/v1/chat/completions", json=body, headers={"Traceparent": parent})
            assert answer.status == (500 if rate else 200)
    await runner.cleanup()
    await server.close()

    def spans():
        return [span for span in real_collector.spans() if span["name"] == "llm_request"]

    await asyncio.to_thread(within, 20, lambda: len(spans()) == 2)
    good, bad = sorted(spans(), key=lambda span: "error.type" in span["attributes"])
    for span in (good, bad):
        assert (span["traceId"], span["parentSpanId"], span["kind"]) == ("ab" * 16, "cd" * 8, 2)
        assert span["resource"]["service.name"] == "phone"
    assert good["attributes"]["gen_ai.operation.name"] == "chat"
    assert good["attributes"]["gen_ai.usage.output_tokens"] == "4"
    seconds = (int(good["endTimeUnixNano"]) - int(good["startTimeUnixNano"])) / 1e9
    assert good["attributes"]["gen_ai.latency.e2e"] == pytest.approx(seconds, abs=0.001)
    assert abs(int(good["endTimeUnixNano"]) / 1e9 - time.time()) < 60
    assert bad["status"]["code"] == 2


def test_killed_midway(real_collector, tracer, within, caplog):
    caplog.set_level(logging.INFO)
    tracer.start_span("slow", start_time=time.time_ns() - 6 * 10**9).end()
    within(20, real_collector.spans)
    real_collector.process.kill()
    real_collector.process.wait()
    for _ in range(2):
        tracer.start_span("lost").end()
        time.sleep(1.5)
    assert [record.message for record in caplog.records] == ["collector takes no traces"]

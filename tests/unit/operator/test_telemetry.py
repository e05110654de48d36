"""Logs, traces, and the health endpoints."""

import io
import json
import logging
import subprocess
import sys

import pytest
from aiohttp.test_utils import TestClient, TestServer
from opentelemetry.sdk.trace import TracerProvider

from autoglm_operator.metrics import Metrics
from autoglm_operator.telemetry import JsonFormatter, health_app, setup_logging


def line(message="hello %s", *arguments, **extra):
    record = logging.getLogger("a.b").makeRecord("a.b", logging.INFO, "f", 1, message, arguments, None, extra=extra)
    record.created, record.msecs = 1_800_000_000.25, 250.0
    return json.loads(JsonFormatter().format(record))


def test_line_is_json_with_its_extra_fields():
    assert line("hello %s", "you", namespace="team-a", odd=object) == {
        "time": "2027-01-15T08:00:00.250Z",
        "level": "info",
        "logger": "a.b",
        "message": "hello you",
        "namespace": "team-a",
        "odd": "<class 'object'>",
    }


def test_newlines_stay_inside_the_line():
    record = logging.makeLogRecord({"msg": 'a\nb"c', "levelname": "INFO"})
    text = JsonFormatter().format(record)
    assert "\n" not in text
    assert json.loads(text)["message"] == 'a\nb"c'


def test_line_carries_the_ids_of_the_active_span():
    assert "trace_id" not in line("x")
    with TracerProvider().get_tracer("t").start_as_current_span("s") as span:
        found = line("x")
    context = span.get_span_context()
    assert int(found["trace_id"], 16) == context.trace_id
    assert int(found["span_id"], 16) == context.span_id
    assert (len(found["trace_id"]), len(found["span_id"])) == (32, 16)


def test_exception_is_in_the_line():
    try:
        raise RuntimeError("boom")
    except RuntimeError:
        record = logging.getLogger("a").makeRecord("a", logging.ERROR, "f", 1, "failed", (), sys.exc_info())
    assert "RuntimeError: boom" in json.loads(JsonFormatter().format(record))["exception"]


@pytest.fixture
def _logging_kept():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    noisy = {name: logging.getLogger(name).level for name in ("kopf", "aiohttp.access", "httpx", "asyncio")}
    yield
    root.handlers[:], root.level = handlers, level
    for name, before in noisy.items():
        logging.getLogger(name).setLevel(before)


@pytest.mark.usefixtures("_logging_kept")
def test_setup_logging(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    setup_logging("info")
    logging.getLogger("autoglm_operator.x").debug("hidden")
    logging.getLogger("autoglm_operator.x").info("shown", extra={"n": 1})
    logging.getLogger("kopf.objects").info("chatter")
    lines = [json.loads(text) for text in stream.getvalue().splitlines()]
    assert [(item["message"], item["n"]) for item in lines] == [("shown", 1)]


def test_without_an_endpoint_tracing_is_off():
    code = (
        "import sys; from autoglm_operator.telemetry import setup_tracing; from opentelemetry import trace\n"
        "setup_tracing('s', None, print, ratio=1.0, namespace='n', pod='p')()\n"
        "assert not trace.get_tracer('t').start_span('x').is_recording()\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry.exporter')]\n"
        "import threading; assert threading.active_count() == 1"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_object_has_one_key_whatever_it_is():
    assert line("x", namespace="a", deployment="phone")["name"] == "phone"
    assert line("x", namespace="a", benchmark="night")["name"] == "night"


async def test_health_endpoints():
    problems = {"live": None, "ready": "caches are not filled yet"}
    metrics = Metrics()
    metrics.reconciles.labels("success").inc()
    app = health_app(lambda: problems["live"], lambda: problems["ready"], metrics.exposition.render)
    async with TestClient(TestServer(app)) as http:
        for path, expected in (("/livez", (200, "ok\n")), ("/readyz", (503, "caches are not filled yet\n"))):
            response = await http.get(path)
            assert (response.status, await response.text()) == expected
        response = await http.get("/metrics")
        assert 'autoglm_operator_reconcile_total{result="success"} 1.0' in await response.text()
        openmetrics = await http.get("/metrics", headers={"Accept": "application/openmetrics-text"})
        assert openmetrics.headers["Content-Type"].startswith("application/openmetrics-text")

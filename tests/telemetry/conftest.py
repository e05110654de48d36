"""Collectors that are as collectors are when something is wrong with them, and a real one."""

import contextlib
import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from localcluster import toolchain

EXAMPLES = Path(__file__).parents[2] / "examples/observability"


@pytest.fixture
def free_port():
    """Return a function that gives ports of loopback that nobody listens to."""

    def port() -> int:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            return found.getsockname()[1]

    return port


@dataclass
class Answering:
    """An HTTP server that gives one answer to everything."""

    url: str
    requests: list[bytes]


@contextlib.contextmanager
def answering(status: int, body: bytes, port: int = 0) -> Iterator[Answering]:
    found: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            found.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield Answering(f"http://127.0.0.1:{server.server_address[1]}", found)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def silent() -> Iterator[str]:
    """Accept connections and never answer."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@contextlib.contextmanager
def garbage() -> Iterator[str]:
    """Answer what is no HTTP."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection:
                        connection.recv(65536)
                        connection.sendall(b"\x16\x03\x01 this is not HTTP\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.fixture
def collectors():
    """The kinds of wrong collectors."""

    class Kinds:
        pass

    Kinds.answering, Kinds.silent, Kinds.garbage = staticmethod(answering), staticmethod(silent), staticmethod(garbage)
    return Kinds


@dataclass
class RealCollector:
    """A real OpenTelemetry Collector with the example's configuration, but for where its output goes.

    Attributes:
        url: of OTLP over HTTP.
        folder: with `traces.json` and `logs.json`, one batch a line.
        logs: folder that it reads containers' logs from.
    """

    url: str
    folder: Path
    logs: Path
    process: subprocess.Popen[bytes]

    def spans(self) -> list[dict]:
        """Return the spans that came out, each with its resource's attributes."""
        return [
            span | {"resource": attributes(resource["resource"]), "attributes": attributes(span)}
            for batch in self._lines("traces.json")
            for resource in batch["resourceSpans"]
            for scope in resource["scopeSpans"]
            for span in scope["spans"]
        ]

    def records(self) -> list[dict]:
        """Return the log records that came out."""
        return [
            record | {"resource": attributes(resource.get("resource", {})), "attributes": attributes(record)}
            for batch in self._lines("logs.json")
            for resource in batch["resourceLogs"]
            for scope in resource["scopeLogs"]
            for record in scope["logRecords"]
        ]

    def _lines(self, name: str) -> list[dict]:
        path = self.folder / name
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def attributes(holder: dict) -> dict:
    """Return attributes of OTLP's JSON as a dict."""
    return {item["key"]: next(iter(item["value"].values()), "") for item in holder.get("attributes", [])}


@pytest.fixture
def real_collector(tmp_path, free_port) -> Iterator[RealCollector]:
    toolchain.ensure(["otelcol"])
    (tmp_path / "pods").mkdir()
    http = free_port()
    files = tmp_path / "files.yaml"
    files.write_text(
        "exporters:\n"
        f"  file/traces: {{path: {tmp_path}/traces.json, flush_interval: 100ms}}\n"
        f"  file/logs: {{path: {tmp_path}/logs.json, flush_interval: 100ms}}\n"
        "receivers: {filelog: {start_at: beginning, poll_interval: 100ms}}\n"
        "service:\n"
        "  telemetry: {metrics: {level: none}}\n"
        "  pipelines:\n"
        "    traces: {exporters: [file/traces]}\n"
        "    logs: {exporters: [file/logs]}\n"
    )
    environment = {
        "OTLP_GRPC": f"127.0.0.1:{free_port()}",
        "OTLP_HTTP": f"127.0.0.1:{http}",
        "POD_LOGS": str(tmp_path / "pods"),
        "DECISION_WAIT": "1s",
    }
    command = [toolchain.path("otelcol"), f"--config={EXAMPLES}/otel-collector.yaml", f"--config={files}"]
    log = tmp_path / "otelcol.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=os.environ | environment, stderr=output, stdout=output)
        try:
            deadline = time.monotonic() + 20
            while b"Everything is ready" not in log.read_bytes():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
            yield RealCollector(f"http://127.0.0.1:{http}", tmp_path, tmp_path / "pods", process)
        finally:
            process.terminate()
            process.wait(10)


@pytest.fixture
def within():
    """Wait until something is so."""

    def wait(seconds, check):
        deadline = time.monotonic() + seconds
        while not (found := check()):
            assert time.monotonic() < deadline, f"not within {seconds} s"
            time.sleep(0.05)
        return found

    return wait

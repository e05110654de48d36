"""The HTTP side: /metrics, /healthz, /engine/livez, /engine/readyz and /state."""

import json
import socket
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import Any, Final, cast

from autoglm_agent.collector import rows
from autoglm_agent.exposition import Exposition
from autoglm_agent.probes import Answer, liveness, readiness
from autoglm_agent.state import StateSource, document

#: Seconds one connection may last: a client that drips its request must not hold a thread.
_CONNECTION_SECONDS: Final = 5.0
#: Connections served at once; a further one is closed, which a scraper sees as an error.
_CONNECTIONS: Final = 16
#: A pass over the GPUs that takes longer than this hangs in the driver.
_HUNG_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.25

_Answer = tuple[HTTPStatus, str, bytes]
_JSON: Final = "application/json"
_TEXT: Final = "text/plain; charset=utf-8"


class Routes:
    """What each path answers.

    Args:
        state: the present state.
        started: monotonic time at which the agent started.
    """

    def __init__(self, state: StateSource, started: float) -> None:
        self._state = state
        self._started = started
        self._exposition = Exposition()

    def answer(self, path: str, accept: str) -> _Answer:
        """Return status, content type and body for a GET of `path`."""
        if path == "/metrics":
            return HTTPStatus.OK, *self._exposition.render(rows(self._state()), accept)
        if path == "/state":
            return HTTPStatus.OK, _JSON, _json(document(self._state(), time.time()))
        if path == "/healthz":
            return self._health()
        if path == "/engine/livez":
            return _probe(liveness(self._state()))
        if path == "/engine/readyz":
            return _probe(readiness(self._state()))
        return HTTPStatus.NOT_FOUND, _TEXT, b"known paths: /metrics /healthz /engine/livez /engine/readyz /state\n"

    def _health(self) -> _Answer:
        """Answer for the agent itself: a machine without GPUs and an engine that is down are no fault of its own."""
        state = self._state()
        last = state.snapshot.finished
        silent = state.now - (self._started if last is None else last)
        if silent > _HUNG_SECONDS:
            message = f"no pass over the GPUs has ended for {silent:.0f} s: the driver hangs\n"
            return HTTPStatus.SERVICE_UNAVAILABLE, _TEXT, message.encode()
        return HTTPStatus.OK, _TEXT, b"ok\n"


def _probe(answer: Answer) -> _Answer:
    status = HTTPStatus.OK if answer.ok else HTTPStatus.SERVICE_UNAVAILABLE
    return status, _TEXT, f"{answer.reason}\n".encode()


def _json(content: Any) -> bytes:
    # Compact: the autoscaler reads it from every pod every few seconds.
    return json.dumps(content, separators=(",", ":")).encode() + b"\n"


class _Handler(BaseHTTPRequestHandler):
    timeout = _CONNECTION_SECONDS

    def do_GET(self) -> None:
        """Answer one request; HTTP/1.0, so the connection ends with it."""
        path = self.path.split("?", 1)[0]
        status, content_type, body = cast("AgentServer", self.server).routes.answer(
            path, self.headers.get("Accept", "")
        )
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def version_string(self) -> str:
        """Return a name without the Python version, which is nobody's business."""
        return "autoglm-agent"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
        """Log nothing: scrapes and probes come every few seconds."""


class AgentServer(ThreadingMixIn, TCPServer):
    """Serves the routes with a bounded number of threads, each for a bounded time.

    Not `http.server.ThreadingHTTPServer`: it asks DNS for its own name before it listens.

    Args:
        address: host and port; port 0 takes a free one.
        routes: what to answer.
        clock: monotonic time in seconds.
    """

    allow_reuse_address = True
    request_queue_size = 32

    def __init__(self, address: tuple[str, int], routes: Routes, clock: Callable[[], float]) -> None:
        self.routes = routes
        self._clock = clock
        self._open: dict[socket.socket, float] = {}
        self._lock = threading.Lock()
        super().__init__(address, _Handler)
        self._acceptor = threading.Thread(target=self.serve_forever, args=(_POLL_SECONDS,), name="http", daemon=True)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.server_address[1])

    def start(self) -> None:
        """Start to serve."""
        self._acceptor.start()

    def stop(self) -> None:
        """Stop to serve, close every connection and wait for their threads."""
        self.shutdown()
        self._acceptor.join()
        self._abort(older_than=float("inf"))
        self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread for the connection, or close it if there are too many."""
        with self._lock:
            full = len(self._open) >= _CONNECTIONS
            if not full:
                self._open[request] = self._clock()
        if full:
            self.shutdown_request(request)
        else:
            super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget the connection and close it."""
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Between two connections, end those that have lasted too long."""
        self._abort(older_than=self._clock() - _CONNECTION_SECONDS)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore it: a client that goes away in the middle is its own affair."""

    def _abort(self, older_than: float) -> None:
        """Shut the sockets down, which ends the reads and writes of their threads."""
        with self._lock:
            for request, opened in self._open.items():
                if opened < older_than:
                    _shut(request)


def _shut(request: socket.socket) -> None:
    try:
        request.shutdown(socket.SHUT_RDWR)
    except OSError:
        # The peer was faster.
        return

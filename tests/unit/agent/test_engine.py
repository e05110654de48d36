import socket
import threading
import time

import pytest

from autoglm_agent.engine import STALE_SECONDS, EngineState, EngineStatus, EngineWatch, advance, engine_address


class Engine:
    """A real socket server that answers every connection with one function."""

    def __init__(self, answer):
        self.stopped = threading.Event()
        self._answer = answer
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.received = b""
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                try:
                    self.received = connection.recv(4096)
                    self._answer(connection, self.stopped)
                except OSError:
                    pass

    def close(self):
        self.stopped.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()


@pytest.fixture
def serve():
    engines = []

    def start(answer):
        engines.append(Engine(answer))
        return engines[-1]

    yield start
    for engine in engines:
        engine.close()


def checked(url, timeout=0.3):
    watch = EngineWatch(url, time.monotonic, timeout)
    started = time.monotonic()
    watch.check()
    return watch.status, time.monotonic() - started


def test_engine_that_answers_200_is_alive(serve):
    engine = serve(lambda connection, _: connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))

    status, _ = checked(engine.url)

    assert status.state is EngineState.ALIVE
    assert status.alive(status.checked)
    assert engine.received.startswith(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1:")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", "GET /health answered 503"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "not HTTP"),
        (b"\xff" * 5000, "not HTTP"),
        (b"", "cut off"),
    ],
)
def test_reason_says_what_came_instead(serve, answer, reason):
    engine = serve(lambda connection, _: connection.sendall(answer))

    status, _ = checked(engine.url)

    assert status.state is EngineState.STARTING
    assert reason in status.reason


def test_slow_engine_is_alive_within_the_timeout(serve):
    def late(connection, stopped):
        stopped.wait(0.2)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")

    assert checked(serve(late).url, timeout=2)[0].state is EngineState.ALIVE


def test_hanging_engine_costs_the_timeout_and_no_more(serve):
    status, took = checked(serve(lambda _, stopped: stopped.wait(10)).url)

    assert "not answered within 0.3 s" in status.reason
    assert took < 1


def test_dripping_engine_costs_the_timeout_and_no_more(serve):
    def drip(connection, stopped):
        while not stopped.wait(0.05):
            connection.sendall(b"H")

    status, took = checked(serve(drip).url)

    assert "not answered within 0.3 s" in status.reason
    assert took < 1


def test_body_of_50_megabytes_is_not_read(serve):
    sent = []

    def flood(connection, _):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n")
        for _ in range(50):
            connection.sendall(b"x" * 1_000_000)
            sent.append(1)

    status, took = checked(serve(flood).url, timeout=2)

    assert status.state is EngineState.ALIVE
    assert took < 1
    assert len(sent) < 50


def test_refused_connection_names_the_address():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    status, _ = checked(f"http://127.0.0.1:{port}")

    assert status.reason == f"nothing listens on 127.0.0.1:{port}"


def test_states_and_since_when():
    status = EngineStatus(EngineState.STARTING, "not checked yet", 0.0)
    seen = []
    for now, problem in enumerate(["a", "b", None, None, "c", "d", None], start=1):
        status = advance(status, problem, float(now))
        seen.append((status.state.value, status.since))

    assert seen == [
        ("starting", 0.0),
        ("starting", 0.0),
        ("alive", 3.0),
        ("alive", 3.0),
        ("unreachable", 5.0),
        ("unreachable", 5.0),
        ("alive", 7.0),
    ]


def test_old_check_is_not_a_sign_of_life():
    status = EngineStatus(EngineState.ALIVE, "", since=0.0, checked=100.0)

    assert status.alive(100.0 + STALE_SECONDS)
    assert not status.alive(100.1 + STALE_SECONDS)


@pytest.mark.parametrize("url", ["https://127.0.0.1:8000", "127.0.0.1:8000", "http://", "http://a:x", "http://a/v1"])
def test_wrong_url_is_refused_with_an_example(url):
    with pytest.raises(ValueError, match=r"Port could not be cast|expected http://HOST:PORT"):
        engine_address(url)

import http.client
import json
import socket
import threading
import time

import pytest

from autoglm_agent import server as server_module
from autoglm_agent.device import GpuSample
from autoglm_agent.engine.health import EngineState, EngineStatus
from autoglm_agent.sampler import Snapshot
from autoglm_agent.server import AgentServer, Routes
from autoglm_agent.state import State


class World:
    """The state that the server under test shows."""

    def __init__(self):
        self.engine = EngineStatus(EngineState.ALIVE, "GET /health answered 200", 90.0, 99.0)
        self.finished = 99.0

    def __call__(self):
        sample = GpuSample(0, "GPU-a", "NVIDIA H100", 10, 80, None, 99.5)
        return State(Snapshot("nvml", {"GPU-a": sample}, {}, self.finished), self.engine, 100.0)


@pytest.fixture
def world():
    return World()


@pytest.fixture
def server(world):
    result = AgentServer(("127.0.0.1", 0), Routes(world, 0.0), time.monotonic)
    result.start()
    yield result
    result.stop()


def get(server, path, method="GET"):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.getheader("Content-Type"), response.read()
    finally:
        connection.close()


def test_state_has_the_documented_form(server):
    status, content_type, body = get(server, "/state")
    found = json.loads(body)

    assert (status, content_type) == (200, "application/json")
    assert abs(found.pop("time") - time.time()) < 5
    assert found == {
        "version": 1,
        "source": "nvml",
        "sourceDown": None,
        "engine": {
            "alive": True,
            "state": "alive",
            "reason": "GET /health answered 200",
            "sinceSeconds": 10.0,
            "checkedSecondsAgo": 1.0,
            "hung": False,
            "progress": "the engine has told nothing yet",
            "metricsDown": None,
            "models": None,
        },
        "gpus": [
            {
                "index": 0,
                "uuid": "GPU-a",
                "name": "NVIDIA H100",
                "memoryUsedBytes": 10,
                "memoryTotalBytes": 80,
                "utilization": None,
                "memoryExhaustedInSeconds": None,
                "sampleAgeSeconds": 0.5,
            }
        ],
        "faults": [],
        "signals": {},
        "tolerance": {"mode": "Elastic", "paceDeviation": None, "memoryDeviation": None, "reaction": "none"},
        "elastic": None,
    }


def test_autoscaler_reads_the_state(server):
    from autoglm_operator.autoscaler.agent_state import parse  # noqa: PLC0415

    sample = parse(get(server, "/state")[2], 1000.0)

    assert sample.memory == (0.125,)
    assert sample.taken == 999.5


def test_metrics_are_prometheus_text(server):
    status, content_type, body = get(server, "/metrics?x=1")

    assert status == 200
    assert content_type.startswith("text/plain; version=")
    assert b"autoglm_gpu_memory_used_bytes{" in body


@pytest.mark.parametrize(
    ("state", "live", "ready"), [("alive", 200, 200), ("starting", 200, 503), ("unreachable", 200, 503)]
)
def test_probes_of_the_engine_say_why(server, world, state, live, ready):
    world.engine = EngineStatus(EngineState(state), "because", 90.0, 99.0)

    assert get(server, "/engine/livez")[0] == live
    status, _, body = get(server, "/engine/readyz")
    assert status == ready
    assert b"because" in body


def test_agent_is_healthy_whatever_the_engine_does(server, world):
    world.engine = EngineStatus(EngineState.UNREACHABLE, "", 0.0, 99.0)

    assert get(server, "/healthz")[0] == 200


def test_agent_that_hangs_in_the_driver_says_so(server, world):
    world.finished = 100.0 - 61

    status, _, body = get(server, "/healthz")

    assert status == 503
    assert b"no pass over the GPUs has ended for 61 s" in body


def test_unknown_path_names_the_known_ones(server):
    status, _, body = get(server, "/etc/passwd")

    assert status == 404
    assert b"/metrics" in body


def test_only_get(server):
    assert get(server, "/state", method="POST")[0] == 501


def closed_within(connection, seconds):
    """Whether the peer hangs up on a client that sends its request a byte at a time."""
    deadline = time.monotonic() + seconds
    connection.settimeout(0.05)
    while time.monotonic() < deadline:
        try:
            connection.sendall(b"G")
            if connection.recv(1) == b"":
                return True
        except TimeoutError:
            continue
        except OSError:
            return True
    return False


def served_within(server, seconds):
    """Whether a place gets free: a client sees its connection end a moment before the server counts it out."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            return get(server, "/healthz")[0] == 200
        except (http.client.HTTPException, OSError):
            time.sleep(0.05)
    return False


def test_dripping_clients_neither_block_others_nor_stay(server, monkeypatch):
    monkeypatch.setattr(server_module, "_CONNECTION_SECONDS", 1.0)
    slow = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(server_module._CONNECTIONS)]
    time.sleep(0.1)
    with pytest.raises((http.client.HTTPException, OSError)):
        get(server, "/healthz")  # full: closed at once, not kept waiting

    assert all(closed_within(connection, 10) for connection in slow)
    for connection in slow:
        connection.close()
    assert served_within(server, 10)


def test_stop_ends_every_thread_and_connection_at_once(world):
    before = set(threading.enumerate())
    server = AgentServer(("127.0.0.1", 0), Routes(world, 0.0), time.monotonic)
    server.start()
    idle = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(5)]
    deadline = time.monotonic() + 5
    while len(threads := set(threading.enumerate()) - before) < 6 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(threads) == 6  # the acceptor, and one for each connection

    started = time.monotonic()
    server.stop()

    assert time.monotonic() - started < 0.9
    assert not [thread for thread in set(threading.enumerate()) - before if thread.is_alive()]
    assert all(connection.recv(1) == b"" for connection in idle)
    for connection in idle:
        connection.close()

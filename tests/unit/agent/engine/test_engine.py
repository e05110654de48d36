import json
import socket
import time

import pytest

from autoglm_agent.engine.health import STALE_SECONDS, EngineState, EngineStatus, advance
from autoglm_agent.engine.http import engine_address
from autoglm_agent.engine.names import EngineKind
from autoglm_agent.engine.watch import EngineWatch

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def checked(url, timeout=0.3):
    watch = EngineWatch(url, time.monotonic, timeout)
    started = time.monotonic()
    watch.check()
    return watch.status, time.monotonic() - started


def test_engine_that_answers_200_is_alive(serve):
    server = serve(lambda connection, *_: connection.sendall(OK))

    status, _ = checked(server.url)

    assert status.state is EngineState.ALIVE
    assert status.alive(status.checked)
    assert server.paths == ["/health"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", "GET /health answered 503"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "not HTTP"),
        (b"\xff" * 5000, "not HTTP"),
        (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 1000, "not HTTP"),
        (b"", "cut off"),
    ],
)
def test_reason_says_what_came_instead(serve, answer, reason):
    status, _ = checked(serve(lambda connection, *_: connection.sendall(answer)).url)

    assert status.state is EngineState.STARTING
    assert reason in status.reason


def test_slow_engine_is_alive_within_the_timeout(serve):
    def late(connection, stopped, _):
        stopped.wait(0.2)
        connection.sendall(OK)

    assert checked(serve(late).url, timeout=2)[0].state is EngineState.ALIVE


def test_hanging_engine_costs_the_timeout_and_no_more(serve):
    status, took = checked(serve(lambda _, stopped, __: stopped.wait(10)).url)

    assert "not answered within 0.3 s" in status.reason
    assert took < 1


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\n"])
def test_dripping_engine_costs_the_timeout_and_no_more(serve, head):
    def drip(connection, stopped, _):
        connection.sendall(head)
        while not stopped.wait(0.05):
            connection.sendall(b"H")

    status, took = checked(serve(drip).url)

    assert "not answered within 0.3 s" in status.reason
    assert took < 1


def test_body_of_50_megabytes_is_not_read(serve):
    sent = []

    def flood(connection, *_):
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

    assert checked(f"http://127.0.0.1:{port}")[0].reason == f"nothing listens on 127.0.0.1:{port}"


def test_states_and_since_when():
    status = EngineStatus(EngineState.STARTING, "not checked yet", 0.0)
    seen = []
    for now, problem in enumerate(["a", "b", "", "", "c", "d", ""], start=1):
        status = advance(status, problem, "well", float(now))
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


@pytest.fixture
def scrape(serve, response, clock):
    """Return the watch and its sample over a server that answers /metrics with a body or a function."""

    def start(answer):
        def reply(connection, stopped, path):
            if callable(answer):
                answer(connection, stopped, path)
            else:
                connection.sendall(response(answer))

        watch = EngineWatch(serve(reply).url, clock)
        return watch, watch.scrape()

    return start


def test_scrape_reads_metrics_in_one_piece_or_in_chunks(scrape, vllm):
    text = vllm().encode()

    def chunked(connection, *_):
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for start in range(0, len(text), 100):
            part = text[start : start + 100]
            connection.sendall(f"{len(part):x}\r\n".encode() + part + b"\r\n")
        connection.sendall(b"0\r\n\r\n")

    whole, parts = scrape(vllm())[1], scrape(chunked)[1]

    assert whole == parts
    assert whole.kind is EngineKind.VLLM


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("nothing of interest", "incomplete"),
        ("vllm:num_requests_running NaN\nvllm:num_requests_waiting 1\n", "incomplete"),
        ("x" * 100_000, "malformed"),
        (lambda connection, *_: connection.sendall(b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"), "http"),
        (
            lambda connection, *_: connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\nshort"),
            "incomplete",
        ),
        (
            lambda connection, *_: connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz"),
            "malformed",
        ),
        (lambda connection, *_: connection.close(), "malformed"),
    ],
)
def test_bad_answer_is_counted_by_its_reason_and_the_next_good_one_counts_again(
    scrape, clock, vllm, response, answer, reason
):
    good = []

    def reply(connection, stopped, path):
        if good:
            connection.sendall(response(vllm()))
        elif callable(answer):
            answer(connection, stopped, path)
        else:
            connection.sendall(response(answer))

    watch, sample = scrape(reply)
    assert sample is None
    assert watch.errors == {reason: 1}
    assert watch.down

    good.append(True)
    clock.now += 2

    assert watch.scrape().running == 2.0
    assert watch.down == ""


def test_flood_is_left_alone_for_a_while_and_recovers_within_15_seconds(scrape, clock, vllm, response):
    good = []

    def reply(connection, *_):
        connection.sendall(response(vllm() if good else b"# comment\n" * 5_000_000))

    watch, sample = scrape(reply)
    assert sample is None
    assert watch.errors == {"too_large": 1}
    good.append(True)
    clock.now += 2
    assert watch.scrape() is None
    assert watch.errors == {"too_large": 1}  # not asked

    clock.now += 8

    assert watch.scrape() is not None


def test_drip_ends_at_the_deadline(serve):
    def drip(connection, stopped, _):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n")
        while not stopped.wait(0.02):
            connection.sendall(b"#\n")

    watch = EngineWatch(serve(drip).url, time.monotonic)
    started = time.monotonic()

    assert watch.scrape() is None
    assert time.monotonic() - started < 4
    assert watch.errors == {"timeout": 1}


def test_sglang_is_asked_for_ready_because_its_health_generates_a_token(serve, response, clock, sglang):
    server = serve(lambda connection, _, __: connection.sendall(response(sglang())))
    watch = EngineWatch(server.url, clock)
    watch.check()
    watch.scrape()
    watch.check()

    assert server.paths == ["/health", "/metrics", "/ready"]


def models(serve, response, clock, body, status="200 OK"):
    server = serve(lambda connection, *_: connection.sendall(response(body, status)))
    watch = EngineWatch(server.url, clock)
    watch.refresh_models()
    return watch, server


def test_models_and_adapters_are_asked_for_at_most_every_30_seconds(serve, response, clock):
    body = json.dumps({"data": [{"id": "base"}, {"id": "adapter", "parent": "base"}]})
    watch, server = models(serve, response, clock, body)
    clock.now += 29
    watch.refresh_models()
    assert (watch.models, len(server.paths)) == (("base", "adapter"), 1)

    clock.now += 1
    watch.refresh_models()

    assert server.paths == ["/v1/models"] * 2


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("{}", "401 Unauthorized"),
        ("[]", "200 OK"),
        ('{"data": [{}]}', "200 OK"),
        ("x" * 300_000, "200 OK"),
        ("[" * 9000, "200 OK"),
    ],
)
def test_models_that_are_not_told_are_unknown(serve, response, clock, body, status):
    assert models(serve, response, clock, body, status)[0].models is None


def test_list_of_models_is_capped(serve, response, clock):
    body = json.dumps({"data": [{"id": f"{n}-" + "x" * 500} for n in range(300)]})

    found = models(serve, response, clock, body)[0].models

    assert len(found) == 128
    assert all(len(name) == 256 for name in found)


def test_raw_metrics_for_evidence_are_capped(serve, response, clock):
    watch, _ = models(serve, response, clock, "x" * 1_000_000)

    assert len(watch.raw_metrics()) == 256 << 10

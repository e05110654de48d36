"""Logs are read once each, where they are worth it, and a failure to read one is said and left at that."""

import logging
import ssl
from pathlib import Path

import pytest
from aiohttp import web

from autoglm_operator.decide.diagnosis import tells
from autoglm_operator.kube.client import Client
from autoglm_operator.kube.connection import Connection
from autoglm_operator.kube.errors import ApiError, ConnectionLost
from autoglm_operator.observe.engine_log import START_BYTES, EngineLog, EngineLogs
from autoglm_operator.observe.pod import Container, Exit, Pod

KEY = ("team-a", "phone")
PATH = "/api/v1/namespaces/team-a/pods/{}/log"
START = (Path(__file__).parent / "start_logs" / "vllm_gpu.txt").read_text()
NOISE = "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}"


def ready(name="a", since=100.0):
    engine = Container("engine", ready=True, running_since=1.0)
    return Pod(name, "t", ready=True, terminating=False, uid=f"uid-{name}", ready_since=since, containers=(engine,))


def crashed(name="a", message=NOISE, code=1, restarts=1, *, ended=False):
    last = Exit(code, "Error", message, 30.0 + restarts)
    engine = Container("engine", restarts=restarts, waiting="CrashLoopBackOff", last_exit=last, ended=ended)
    return Pod(name, "t", ready=False, terminating=False, uid=f"uid-{name}", containers=(engine,))


@pytest.fixture
async def served():
    """Answer logs by the name of the pod; keep what was asked."""
    asked, texts = [], {}

    async def answer(request):
        name = request.path.split("/")[-2]
        assert request.path == PATH.format(name)
        asked.append((name, dict(request.query)))
        return texts[name]()

    app = web.Application()
    app.router.add_get("/{tail:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield "http://{}:{}".format(*runner.addresses[0]), asked, texts
    await runner.cleanup()


@pytest.fixture
def serve(served):
    def answers(texts):
        served[2].update(texts)
        return served[1]

    return answers


@pytest.fixture
async def logs(served):
    async with Client(Connection(served[0], ssl.create_default_context(), lambda: None)) as opened:
        yield EngineLogs(opened, tells)


def text(body):
    return lambda: web.Response(text=body)


async def test_the_start_of_a_pod_that_became_ready_is_read_once(logs, serve):
    asked = serve({"a": text(START)})
    for _ in range(2):
        known = await logs.read(KEY, [ready()])
    assert known["uid-a"].start.weights_gib == 9.58
    assert asked == [("a", {"container": "engine", "timestamps": "true", "limitBytes": str(START_BYTES)})]
    assert logs.known(KEY) == known


async def test_what_was_learned_before_is_not_read_again(logs, serve):
    asked = serve({"a": text(START), "b": text(START)})
    await logs.read(KEY, [ready("a", 100.0), ready("b", 101.0)], since=100.0)
    assert [name for name, _ in asked] == ["b"]


async def test_the_log_of_a_crash_is_read_if_its_tail_does_not_tell(logs, serve):
    asked = serve({"a": text("the cause\n" + NOISE)})
    pods = [crashed(), crashed("b", "ValueError: No available memory for the cache blocks.")]
    known = await logs.read(KEY, pods)
    assert known["uid-a"].crash == "the cause\n" + NOISE
    assert known["uid-b"] == EngineLog()
    assert asked == [("a", {"container": "engine", "tailLines": "400", "previous": "true"})]
    await logs.read(KEY, pods)
    assert len(asked) == 1
    await logs.read(KEY, [crashed(restarts=2)])
    assert len(asked) == 2, "another crash has another log"


async def test_a_container_that_has_just_ended_has_no_previous_log(logs, serve):
    asked = serve({"a": text(NOISE)})
    await logs.read(KEY, [crashed(ended=True)])
    assert asked[0][1]["previous"] == "false"


@pytest.mark.parametrize("pod", [crashed(code=0), Pod("a", "t", ready=False, terminating=False, uid="uid-a")])
async def test_what_did_not_crash_is_not_read(logs, serve, pod):
    asked = serve({})
    await logs.read(KEY, [pod])
    assert asked == []


async def test_a_log_that_cannot_be_read_is_said_and_left(logs, serve, error_status, caplog):
    asked = serve({"a": lambda: error_status(403, "Forbidden", "pods/log is forbidden")})
    with caplog.at_level(logging.WARNING):
        known = await logs.read(KEY, [crashed()])
    assert "the log of pod a could not be read: " in known["uid-a"].problem
    assert "pods/log is forbidden" in known["uid-a"].problem
    assert [record.message for record in caplog.records] == ["log not read"]
    await logs.read(KEY, [crashed()])
    assert len(asked) == 1


async def test_what_is_known_goes_with_the_pods(logs, serve):
    serve({"a": text(START)})
    await logs.read(KEY, [ready()])
    assert await logs.read(KEY, []) == {}
    await logs.read(KEY, [ready()])
    logs.forget(KEY)
    assert logs.known(KEY) == {}
    assert not logs._known


async def test_many_pods_are_read_a_few_at_a_time(logs, serve):
    names = [f"p{number}" for number in range(20)]
    asked = serve({name: text(START) for name in names})
    pods = [ready(name) for name in names]
    known = await logs.read(KEY, pods)
    assert len(asked) == 8
    assert len(known) == 20
    for _ in range(3):
        known = await logs.read(KEY, pods)
    assert sorted(name for name, _ in asked) == sorted(names)
    assert all(item.start for item in known.values())


async def test_of_a_long_text_the_end_is_kept(client, api):
    api.answer("GET /x", lambda: web.Response(text="a" * 5000 + "b" * 100))
    assert await client.read_text("/x", {}, 120) == "a" * 20 + "b" * 100


async def test_a_text_cut_inside_a_character(client, api):
    api.answer("GET /x", lambda: web.Response(text="\u00e9" * 10))
    assert await client.read_text("/x", {}, 5) == "\ufffd\u00e9\u00e9"


async def test_texts_that_are_not_given(client, api, error_status):
    api.answer("GET /x", lambda: error_status(400, "BadRequest", "previous terminated container not found"))
    with pytest.raises(ApiError, match="previous terminated container not found"):
        await client.read_text("/x", {}, 10)


async def test_a_server_that_does_not_answer(unused_tcp_port):
    connection = Connection(f"http://127.0.0.1:{unused_tcp_port}", ssl.create_default_context(), lambda: None)
    async with Client(connection) as lost:
        with pytest.raises(ConnectionLost, match="GET /x"):
            await lost.read_text("/x", {}, 10)

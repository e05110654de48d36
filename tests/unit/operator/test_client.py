"""The HTTP client: errors, pages, watches."""

import asyncio
import json
import ssl

import pytest
from aiohttp import web

from autoglm_operator.kube.client import Client
from autoglm_operator.kube.connection import Connection
from autoglm_operator.kube.errors import ApiError, ConnectionLost

PODS = "/api/v1/pods"


@pytest.mark.parametrize(
    ("code", "reason", "true"),
    [
        (404, "NotFound", {"is_not_found", "is_rejected"}),
        (409, "Conflict", {"is_conflict"}),
        (410, "Expired", {"is_gone"}),
        (403, "Forbidden", {"is_rejected"}),
        (422, "Invalid", {"is_rejected"}),
        (400, "BadRequest", {"is_rejected"}),
        (429, "TooManyRequests", {"is_throttled"}),
        (500, "InternalError", set()),
    ],
)
async def test_errors_by_status(api, client, error_status, code, reason, true):
    api.answer("GET /x", lambda: error_status(code, reason, "because"))
    with pytest.raises(ApiError, match="GET /x: because") as caught:
        await client.request("GET", "/x")
    error = caught.value
    assert (error.status, error.reason, error.message) == (code, reason, "because")
    assert {name for name in dir(error) if name.startswith("is_") and getattr(error, name)} == true


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (lambda: web.Response(status=429, text="Too many", headers={"Retry-After": "7"}), (7.0, "Too many")),
        (lambda: web.json_response({"message": "m", "details": {"retryAfterSeconds": 3}}, status=429), (3.0, "m")),
        (lambda: web.json_response({"details": None}, status=500), (0.0, "HTTP 500")),
        (lambda: web.Response(status=503, text="", headers={"Retry-After": "Wed, 21 Oct"}), (0.0, "HTTP 503")),
        (lambda: web.Response(status=502, text="<html>"), (0.0, "<html>")),
        (lambda: web.json_response(["no object"], status=500), (0.0, '["no object"]')),
    ],
)
async def test_what_an_error_says(api, client, answer, expected):
    api.answer("GET /x", answer)
    with pytest.raises(ApiError) as caught:
        await client.request("GET", "/x")
    assert (caught.value.retry_after, caught.value.message) == expected


async def test_no_answer(unused_tcp_port):
    seen = []
    connection = Connection(f"http://127.0.0.1:{unused_tcp_port}", ssl.create_default_context(), lambda: None)
    async with Client(connection, lambda *arguments: seen.append(arguments[:2])) as lost:
        with pytest.raises(ConnectionLost, match="GET /x"):
            await lost.request("GET", "/x")
        with pytest.raises(ConnectionLost, match="watch /x"):
            _ = [event async for event in lost.watch("/x", {})]
    assert seen == [("GET", 0)]


async def test_headers_and_a_server_below_a_path():
    seen = {}

    async def handle(request):
        seen.update(request.headers, path=request.path)
        return web.json_response({})

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = "http://{}:{}/k8s/c1".format(*runner.addresses[0])
    async with Client(Connection(url, ssl.create_default_context(), lambda: "a-token")) as client:
        await client.request("GET", "/api/v1/pods")
    await runner.cleanup()
    assert seen["path"] == "/k8s/c1/api/v1/pods"
    assert seen["Authorization"] == "Bearer a-token"


async def test_a_collection_is_read_in_pages(api, client):
    def page(items, token):
        return lambda: web.json_response({"items": items, "metadata": {"resourceVersion": "9", "continue": token}})

    api.answer(f"GET {PODS}", page([{"n": 1}], "more"))
    api.answer(f"GET {PODS}", page(None, "more"))
    api.answer(f"GET {PODS}", page([{"n": 2}], ""))
    assert await client.list_all(PODS) == ([{"n": 1}, {"n": 2}], "9")


async def watched(api, client, wait_until, *chunks):
    """Return what a watch brings of `chunks`, sent as they are."""
    events = []

    async def read():
        async for event in client.watch(PODS, {"resourceVersion": "1"}):
            events.append(event)  # noqa: PERF401  # what came before an error counts

    task = asyncio.create_task(read())
    await wait_until(lambda: api.streams)
    for chunk in chunks:
        api.streams[0][1].put_nowait(chunk)
        await asyncio.sleep(0.01)
    api.cut()
    try:
        await task
    except (ApiError, ConnectionLost) as error:
        return events, error
    return events, None


async def test_watch_lines_of_any_length_in_any_pieces(api, client, wait_until):
    huge = json.dumps({"type": "ADDED", "object": {"data": "x" * 2_000_000}}).encode() + b"\n"
    small = b'{"type":"BOOKMARK","object":{}}\n'
    events, error = await watched(
        api, client, wait_until, huge[:100], huge[100:] + small[:5], small[5:] + b"\n" + small
    )
    assert error is None
    assert [(kind, len(obj.get("data", ""))) for kind, obj in events] == [
        ("ADDED", 2_000_000),
        ("BOOKMARK", 0),
        ("BOOKMARK", 0),
    ]


async def test_watch_drops_a_line_that_was_cut(api, client, wait_until):
    events, error = await watched(api, client, wait_until, b'{"type":"ADDED","object":{}}\n{"type":"ADD')
    assert (events, error) == ([("ADDED", {})], None)


@pytest.mark.parametrize("line", [b"{not json}\n", b'"text"\n', b'{"object":{}}\n', b'{"type":"ADDED"}\n'])
async def test_watch_of_something_else(api, client, wait_until, line):
    _, error = await watched(api, client, wait_until, line)
    assert isinstance(error, ConnectionLost)


async def test_watch_error_event(api, client, wait_until):
    line = b'{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"too old"}}\n'
    _, error = await watched(api, client, wait_until, line)
    assert error.is_gone


async def test_delete_names_uid_and_version_and_forgives_what_is_gone(api, client):
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "n", "uid": "u"}}
    pod["metadata"]["resourceVersion"] = "5"
    await client.delete(pod)
    assert api.requests["DELETE /api/v1/namespaces/n/pods/p"] == 1


async def test_more_watches_than_a_pool_of_connections(api, client, wait_until):
    async def read():
        _ = [event async for event in client.watch(PODS, {})]

    tasks = [asyncio.create_task(read()) for _ in range(120)]
    await wait_until(lambda: len(api.streams) == 120)
    async with asyncio.timeout(2):
        await client.list_all(PODS)
    api.cut()
    await asyncio.gather(*tasks)


async def test_serves(api, client):
    api.answer("GET /apis/apps/v1", lambda: web.json_response({"resources": [{"kind": "Deployment"}]}), times=2)
    assert await client.serves("apps/v1", "Deployment")
    assert not await client.serves("apps/v1", "Other")
    assert not await client.serves("monitoring.coreos.com/v1", "PodMonitor")

"""The local copy follows the API server through every way a stream can break."""

import asyncio
import time

import pytest
from aiohttp import web

from autoglm_operator.kube import reflector as module
from autoglm_operator.kube.reflector import Reflector

PATH = "/api/v1/namespaces/n/pods"
LIST = f"GET {PATH}"


def pod(name, **spec):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "n"}, "spec": spec}


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(module, "_FIRST_BACKOFF_SECONDS", 0.01)
    monkeypatch.setattr(module, "_SHORT_WATCH_SECONDS", 0.0)


@pytest.fixture
async def start(client, wait_until):
    tasks = []

    async def begin(**kwargs):
        changes = []
        reflector = Reflector(client, "v1", "Pod", ["n"], on_change=lambda *change: changes.append(change), **kwargs)
        tasks.append(asyncio.create_task(reflector.run()))
        await asyncio.wait_for(reflector.wait_synced(), 5)
        reflector.changes = changes
        return reflector

    yield begin
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def names(reflector):
    return sorted(name for _, name in reflector.items)


async def test_list_then_watch(api, start, wait_until):
    api.put(f"{PATH}/a", pod("a"))
    reflector = await start()
    assert names(reflector) == ["a"]
    assert reflector.items[("n", "a")]["kind"] == "Pod"
    await wait_until(lambda: api.streams)
    api.put(f"{PATH}/b", pod("b"))
    api.put(f"{PATH}/a", pod("a", x=1))
    api.remove(f"{PATH}/b")
    await wait_until(lambda: len(reflector.changes) == 4)
    assert names(reflector) == ["a"]
    assert reflector.items[("n", "a")]["spec"] == {"x": 1}
    assert [(old is None, new is None) for _, old, new in reflector.changes] == [
        (True, False),
        (True, False),
        (False, False),
        (False, True),
    ]


async def test_what_vanished_while_nobody_watched_is_reported(api, start, wait_until, error_status):
    api.put(f"{PATH}/a", pod("a"))
    api.put(f"{PATH}/b", pod("b"))
    reflector = await start()
    await wait_until(lambda: api.streams)
    api.answer(f"{LIST}?watch", lambda: error_status(410, "Expired", "too old resource version"))
    del api.objects[f"{PATH}/a"]
    api.version += 1
    api.cut()
    await wait_until(lambda: names(reflector) == ["b"])
    assert reflector.changes[-1][2] is None
    assert api.requests[LIST] == 2


async def test_a_cut_stream_goes_on_where_it_was_without_a_list(api, start, wait_until):
    reflector = await start()
    await wait_until(lambda: api.streams)
    api.cut()
    await wait_until(lambda: api.streams)
    api.put(f"{PATH}/a", pod("a"))
    await wait_until(lambda: names(reflector) == ["a"])
    assert api.requests[LIST] == 1


@pytest.mark.parametrize("code", [500, 504, 403])
async def test_an_error_lists_again(api, start, wait_until, error_status, code):
    api.answer(f"{LIST}?watch", lambda: error_status(code, "x", "y"), times=2)
    await start()
    await wait_until(lambda: api.streams)
    assert api.requests[LIST] == 3


async def test_the_server_decides_the_pause(api, start, wait_until, error_status):
    api.answer(f"{LIST}?watch", lambda: error_status(429, "TooManyRequests", "later", Retry_After="1"))
    start_time = time.monotonic()
    await start()
    await wait_until(lambda: api.streams)
    assert time.monotonic() - start_time >= 1
    assert api.requests[LIST] == 1


async def test_streams_that_end_at_once_are_no_hot_loop(api, start, monkeypatch):
    monkeypatch.setattr(module, "_SHORT_WATCH_SECONDS", 1.0)
    monkeypatch.setattr(module, "_FIRST_BACKOFF_SECONDS", 0.1)
    api.answer(f"{LIST}?watch", lambda: web.Response(text=""), times=1000)
    await start()
    await asyncio.sleep(0.5)
    assert api.requests[f"{LIST}?watch"] < 8


async def test_the_answer_to_a_write_is_news_and_its_event_is_not(api, start, wait_until):
    reflector = await start()
    await wait_until(lambda: api.streams)
    written = {**pod("a", x=2), "metadata": {"name": "a", "namespace": "n", "resourceVersion": "500"}}
    reflector.store(written)
    assert reflector.items[("n", "a")]["spec"] == {"x": 2}
    # The event of somebody's earlier write arrives late: it is older than what we know.
    older = {**pod("a", x=1), "metadata": written["metadata"] | {"resourceVersion": "499"}}
    api.send(PATH, {"type": "MODIFIED", "object": older})
    api.send(PATH, {"type": "MODIFIED", "object": written})
    api.version = 500
    api.put(f"{PATH}/b", pod("b"))
    await wait_until(lambda: names(reflector) == ["a", "b"])
    assert reflector.items[("n", "a")]["spec"] == {"x": 2}
    assert len(reflector.changes) == 2


async def test_a_late_answer_does_not_bring_back_what_was_deleted(api, start, wait_until):
    reflector = await start()
    await wait_until(lambda: api.streams)
    written = api.put(f"{PATH}/a", pod("a"))
    api.remove(f"{PATH}/a")
    await wait_until(lambda: len(reflector.changes) == 2)
    reflector.store({**written, "metadata": dict(written["metadata"])})
    assert names(reflector) == []


async def test_a_server_restored_from_a_backup_is_believed(api, start, wait_until, error_status):
    api.put(f"{PATH}/a", pod("a", x="later"))
    reflector = await start()
    await wait_until(lambda: api.streams)
    streams, api.streams = api.streams, []
    api.version = 10
    api.put(f"{PATH}/a", pod("a", x="before"))
    api.streams = streams
    api.answer(f"{LIST}?watch", lambda: error_status(504, "Timeout", "Too large resource version"))
    api.cut()
    await wait_until(lambda: reflector.items[("n", "a")]["spec"] == {"x": "before"})


async def test_what_is_not_kept_is_not_there(api, start):
    api.put(f"{PATH}/a", pod("a", x=1))
    api.put(f"{PATH}/b", pod("b"))
    reflector = await start(keep=lambda document: document["spec"].get("x"))
    assert reflector.items == {("n", "a"): 1}
    assert len(reflector.changes) == 1


async def test_failing_is_no_silence(api, client, error_status):
    api.answer(LIST, lambda: error_status(500, "x", "y"), times=100)
    reflector = Reflector(client, "v1", "Pod", ["n"])
    assert reflector.silence_seconds() == 0
    task = asyncio.create_task(reflector.run())
    await asyncio.sleep(0.2)
    assert not reflector.synced
    assert reflector.silence_seconds() < 0.2
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_silence_is_told(api, start, wait_until):
    reflector = await start()
    await wait_until(lambda: api.streams)
    await asyncio.sleep(0.1)
    assert reflector.silence_seconds() >= 0.1


async def test_a_stream_without_bookmarks_is_listed_again(api, start, wait_until, monkeypatch):
    monkeypatch.setattr(module, "_BOOKMARK_SECONDS", 0.0)
    await start()
    await wait_until(lambda: api.streams)
    api.streams.pop()[1].put_nowait(b"no json\n")
    await wait_until(lambda: api.requests[LIST] == 2)

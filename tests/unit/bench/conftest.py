"""A small real HTTP server that streams chat answers, well or badly."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest

Behaviour = Callable[[asyncio.StreamWriter], Awaitable[bool | None]]

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


def event(text=None, finish=None, **more):
    choices = [{"index": 0, "delta": {"content": text} if text is not None else {}, "finish_reason": finish}]
    return b"data: " + json.dumps({"choices": choices, **more}).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"
USAGE = b'data: {"choices": [], "usage": {"prompt_tokens": 17, "completion_tokens": 5}}\n\n'


def stream(*parts, pause=0.0):
    async def behave(writer):
        for part in (HEAD, *parts):
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)

    return behave


def answer(status, body=b""):
    async def behave(writer):
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
        return True  # the connection may be used again

    return behave


async def hang(_writer):
    await asyncio.sleep(30)


GOOD = (event(""), *(event("x") for _ in range(5)), event(finish="length"), USAGE, DONE)


class Engine:
    def __init__(self):
        self.behaviour = stream(*GOOD)
        self.requests = []
        self.connections = 0
        self.open = set()
        self.bodies = []
        self.heads = []
        self.metrics = self.state = b""
        self.busy = asyncio.Event()

    async def answer(self, reader, writer):
        """Answer one request; return whether the connection stays open."""
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"GET /v1/models "):
            return await answer("200 OK", b'{"data": [{"id": "phone"}]}')(writer)
        if head.startswith(b"GET /metrics "):
            return await answer("200 OK", self.metrics)(writer)
        if head.startswith(b"GET /state "):
            return await answer("200 OK", self.state)(writer)
        if head.startswith(b"GET /version "):
            return await answer("200 OK", b'{"version": "0.33.0"}')(writer)
        if head.startswith(b"GET "):
            return await answer("404 Not Found")(writer)
        fields = dict(line.lower().split(b": ", 1) for line in head.splitlines()[1:-1])
        self.heads.append(head)
        self.bodies.append(await reader.readexactly(int(fields[b"content-length"])))
        self.requests.append(json.loads(self.bodies[-1]))
        if len(self.requests) == 5:
            self.busy.set()
        return await self.behaviour(writer)

    async def handle(self, reader, writer):
        self.connections += 1
        self.open.add(asyncio.current_task())
        try:
            while await self.answer(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open.discard(asyncio.current_task())
            writer.close()


@pytest.fixture
async def engine():
    result = Engine()
    server = await asyncio.start_server(result.handle, "127.0.0.1", 0)
    result.server = server
    result.root = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    result.url = f"{result.root}/v1"
    yield result
    server.close()
    for task in list(result.open):
        task.cancel()
    await asyncio.gather(*result.open, return_exceptions=True)


@pytest.fixture
def script():
    """The parts that behaviours are made of."""

    class Script:
        pass

    Script.stream, Script.answer, Script.hang, Script.event = map(staticmethod, (stream, answer, hang, event))
    Script.good, Script.done, Script.head = GOOD, DONE, HEAD
    return Script

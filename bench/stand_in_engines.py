"""A stand-in for engines: one server that answers the scrapes of all pods with what a real engine said once."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from functools import cache
from typing import Final

from harness import ROOT

from autoglm_operator.api import names

_RECORDED: Final = ROOT / "tests/prometheus/recordings/sglang-0.5.23-1.txt"


@cache
def exposition(waiting: int) -> bytes:
    """Return what an engine said once, as long as that was, with other numbers of what runs and waits."""
    text = _RECORDED.read_text()
    said = {"num_queue_reqs": waiting, "num_running_reqs": 16 if waiting else 1, "token_usage": 0.25}
    for name, value in said.items():
        text, found = re.subn(rf"(?m)^(sglang:{name}{{.*}}) .*$", rf"\g<1> {value}", text)
        if not found:
            raise SystemExit(f"{_RECORDED} has no sglang:{name}")
    return text.encode()


class StandInEngines:
    """Answers the scrapes of all pods: no engine, but a recorded exposition of one.

    Attributes:
        waiting: requests in the queue, by address of the pod; 0 where it is not named.
    """

    def __init__(self) -> None:
        self.waiting: dict[str, int] = {}
        self.scrapes = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request and close, as the autoscaler asks for it."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            self.scrapes += 1
            waiting = self.waiting.get(writer.get_extra_info("sockname")[0], 0)
            body = exposition(waiting)
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
        writer.close()


def address(number: int) -> str:
    """Return the loopback address of a pod."""
    return f"127.{10 + number // 62_500}.{number // 250 % 250}.{1 + number % 250}"


@contextlib.asynccontextmanager
async def standing_in() -> AsyncIterator[StandInEngines]:
    """Serve the stand-in for the length of the block, on the port that engines have."""
    engines = StandInEngines()
    server = await asyncio.start_server(engines.answer, "0.0.0.0", names.ENGINE_PORT, backlog=1024)  # noqa: S104  # all of 127/8
    async with server:
        yield engines

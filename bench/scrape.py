"""CPU of a scrape of an engine: of the request by aiohttp and by httpx, in turns, and of parsing.

A process of its own answers each request with what a real engine said once, and closes the connection as the autoscaler
asks for.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Final

import httpx
from harness import record, spread
from stand_in_engines import StandInEngines, exposition

from autoglm_operator.autoscaler.engine_metrics import parse
from autoglm_operator.autoscaler.pods import EnginePod
from autoglm_operator.autoscaler.scrape import Scraper

_ROUNDS: Final = 5
_SCRAPES: Final = 300
_POD: Final = EnginePod("bench", "a", "a", "a", "127.0.0.1", ready=True, unschedulable=False)


async def serve() -> None:
    """Answer on a free port, whose number is the first line of the output, until the input ends."""
    server = await asyncio.start_server(StandInEngines().answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.close()


async def cpu_of(call: Callable[[], Awaitable[object]]) -> float:
    """Return the milliseconds of CPU that one call takes, over many one after the other."""
    start = time.process_time()
    for _ in range(_SCRAPES):
        await call()
    return (time.process_time() - start) / _SCRAPES * 1e3


async def measure(port: int) -> dict[str, list[float]]:
    """Return the milliseconds of each round."""
    url = f"http://127.0.0.1:{port}/metrics"
    body = exposition(0)
    found: dict[str, list[float]] = {"aiohttp and parsing": [], "parsing": [], "httpx": []}

    async def by_httpx() -> None:
        request = httpx.Request("GET", url, headers={"Accept-Encoding": "identity", "Connection": "close"})
        response = await transport.handle_async_request(request)
        await response.aread()

    async def only_parse() -> None:
        parse(body, 0.0)

    none_kept = httpx.Limits(max_keepalive_connections=0)
    async with (
        httpx.AsyncHTTPTransport(limits=none_kept) as transport,
        Scraper(lambda *_: None, engine_port=port) as scraper,
    ):
        for _ in range(_ROUNDS):
            found["aiohttp and parsing"].append(await cpu_of(lambda: scraper.engine(_POD)))
            found["parsing"].append(await cpu_of(only_parse))
            found["httpx"].append(await cpu_of(by_httpx))
    pairs = zip(found["aiohttp and parsing"], found["parsing"], strict=True)
    found["aiohttp"] = [both - parsing for both, parsing in pairs]
    return found


def main() -> None:
    """Measure, record and print."""
    command = [sys.executable, __file__, "serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None and server.stdin is not None  # noqa: S101, PT018 (both are pipes)
        try:
            found = asyncio.run(measure(int(server.stdout.readline())))
        finally:
            server.stdin.close()
    figures = {f"{name}, ms of CPU": spread(values) for name, values in found.items()}
    ratios = [slow / fast for slow, fast in zip(found["httpx"], found["aiohttp"], strict=True)]
    record("scrape", {"bytes": len(exposition(0)), **figures, "httpx / aiohttp": spread(ratios), "raw": found})


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        asyncio.run(serve())
    else:
        main()

"""The load generator against a fast server: how much one core sends, how exactly, and what it adds to a latency.

Server and client have one core each. Two runs of one seed go to the simulator. Exit status 1 if a bar is missed.
"""

import argparse
import asyncio
import contextlib
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import httpx
from harness import BIN, record

from autoglm_bench.load.workload import request
from autoglm_bench.result import Answer
from autoglm_bench.wire.chat import ChatClient, Target
from autoglm_bench.wire.events import EventReader

HERE: Final = Path(__file__).resolve().parent
MODEL: Final = "fast"
TOKENS: Final = 16
#: Requests a second in the comparison of HTTP clients.
CLIENT_RATE: Final = 400
MILLION: Final = 1_000_000
BODY: Final = request(MODEL, [{"role": "user", "content": "word " * 100}], TOKENS, natural_end=False)
WORDS: Final = ("--prompt-tokens", "100", "--output-tokens", str(TOKENS))
#: figure → its bar, and whether it is a least.
BARS: Final = {
    "streaming requests/s of one core, open loop": (500.0, True),
    "send-time error at 200 requests/s, P99 ms": (5.0, False),
    "TTFT over a raw socket client, P50 ms": (1.0, False),
    "RSS after a million tokens, MB": (200.0, False),
    "same seed, difference of TTFT P50, %": (3.0, False),
    "same seed, difference of ITL P50, %": (3.0, False),
}


def main() -> int:
    """Run the parts, record, and say which bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=tuple(PARTS), action="append", help="all if left out")
    parser.add_argument("--clients", nargs=2, metavar=("CLIENT", "URL"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.clients:
        asyncio.run(cost(*options.clients))
        return 0
    figures: dict[str, Any] = {}
    for name in options.part or PARTS:
        figures |= PARTS[name]()
    record("client", figures)
    missed = [name for name, (bar, least) in BARS.items() if name in figures and (figures[name] < bar) == least]
    for name in missed:
        print(f"MISSED: {name} is {figures[name]}, bar {BARS[name][0]:g}")
    return 1 if missed else 0


@contextlib.contextmanager
def fast_server(*arguments: str) -> Iterator[str]:
    """Run the fast server on the second core for the length of the block; the value is its URL."""
    command = [sys.executable, str(HERE / "fast_engine.py"), *arguments]
    with _process(command) as process:
        assert process.stdout  # noqa: S101  it is a pipe
        yield process.stdout.readline().strip()


@contextlib.contextmanager
def simulator(*arguments: str) -> Iterator[str]:
    """Run the simulator on the second core for the length of the block; the value is its URL."""
    port = free_port()
    serve = [str(BIN / "autoglm-simulator"), "serve", MODEL, "--served-model-name", MODEL, "--port", str(port)]
    with _process([*serve, "--startup-seconds", "0", *arguments]):
        url = f"http://127.0.0.1:{port}/v1"
        deadline = time.monotonic() + 30
        while True:
            with contextlib.suppress(httpx.TransportError):
                httpx.get(f"{url}/models")
                break
            if time.monotonic() > deadline:
                raise SystemExit("the simulator does not answer")
            time.sleep(0.1)
        yield url


@contextlib.contextmanager
def _process(command: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([*_on_core(1), *command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=20)
        if process.stdout:
            process.stdout.close()


def _on_core(number: int) -> tuple[str, ...]:
    """Return what begins a command so that it keeps to one core."""
    cores = sorted(os.sched_getaffinity(0))
    return ("taskset", "-c", str(cores[number % len(cores)]))


def free_port() -> int:
    """Return a port that nobody listens to."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def bench(url: str, *arguments: object) -> dict[str, Any]:
    """Run the load generator on the first core and return its result."""
    command = [
        *_on_core(0),
        str(BIN / "autoglm-bench"),
        "run",
        "--url",
        url,
        "--model",
        MODEL,
        "-o",
        "json",
        *map(str, arguments),
    ]
    text = subprocess.check_output(command, text=True, stderr=subprocess.DEVNULL)
    result: dict[str, Any] = json.loads(text)
    return result


def throughput() -> dict[str, Any]:
    """Return what one core sends in open loop, and how exactly."""
    figures: dict[str, Any] = {}
    with fast_server("--interval", "0.005") as url:
        for rate in (200, 500, 550):
            found = bench(url, "--profile", "constant", "--rate", rate, "--duration", 15, *WORDS)
            late = 1000 * found["lateness"]["p99"]
            figures[f"at {rate} requests/s: core share"] = round(found["generator"]["coreShare"], 2)
            figures[f"at {rate} requests/s: ok, late"] = f"{found['succeeded']} of {found['requests']}, {found['late']}"
            if rate == 200:  # noqa: PLR2004  the rate of the bar
                figures["send-time error at 200 requests/s, P99 ms"] = round(late, 2)
                continue
            figures[f"at {rate} requests/s: send-time error P99 ms"] = round(late, 2)
            if found["failed"] == 0 and found["late"] <= found["requests"] / 100:
                figures["streaming requests/s of one core, open loop"] = round(found["requests"] / 15, 1)
    figures.setdefault("streaming requests/s of one core, open loop", 0.0)
    return figures


def overhead() -> dict[str, Any]:
    """Return the TTFT over that of a raw socket client, both at 20 requests/s side by side."""
    script = f"import sys; sys.path.insert(0, {str(HERE)!r}); import client; client.raw_client(sys.argv[1])"
    with fast_server("--first", "0.02", "--interval", "0.005") as url:
        raw = subprocess.Popen([*_on_core(0), sys.executable, "-c", script, url], stdout=subprocess.PIPE, text=True)
        found = bench(url, "--profile", "constant", "--rate", 20, "--duration", 20, *WORDS)
        plain = statistics.median(json.loads(raw.communicate()[0]))
    return {
        "TTFT of a raw socket client, P50 ms": round(1000 * plain, 3),
        "TTFT of autoglm-bench, P50 ms": round(1000 * found["ttft"]["p50"], 3),
        "TTFT over a raw socket client, P50 ms": round(1000 * (found["ttft"]["p50"] - plain), 3),
    }


def raw_client(url: str) -> None:
    """Print the seconds to the first token of blocking requests, 20 a second for 18 seconds."""
    parts = urlsplit(url)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(BODY)}\r\n\r\n".encode()
    found = []
    time.sleep(1.025)
    for _ in range(360):
        start = time.monotonic()
        with socket.create_connection((parts.hostname, parts.port)) as connection:
            connection.sendall(head + BODY)
            data = b""
            while b'" word"' not in data:
                data += connection.recv(65536)
            found.append(time.monotonic() - start)
        time.sleep(max(0.0, start + 0.05 - time.monotonic()))
    print(json.dumps(found))


def memory() -> dict[str, Any]:
    """Return the peak of the resident memory after a million tokens."""
    with fast_server("--interval", "0.002") as url:
        load = ("--profile", "constant", "--rate", 40, "--duration", 50, "--prompt-tokens", 100, "--output-tokens", 512)
        found = bench(url, *load)
    if found["outputTokens"] < MILLION or found["failed"]:
        raise SystemExit(f"{found['outputTokens']} tokens, {found['failed']} failed: not the million that was wanted")
    return {
        "tokens streamed": found["outputTokens"],
        "RSS after a million tokens, MB": round(found["generator"]["peakMemoryBytes"] / 1e6, 1),
    }


def repeat() -> dict[str, Any]:
    """Return how alike two runs of one seed on the simulator are."""
    # Without a prefix cache: the second run would find the prompts of the first in it.
    with simulator("--profile", "h100-autoglm-9b", "--no-enable-prefix-caching") as url:
        load = ("--profile", "poisson", "--rate", 4, "--duration", 30, "--seed", 7, "--output-tokens", "uniform:32,96")
        first, second = (bench(url, *load) for _ in range(2))
    same = all(first[key] == second[key] for key in ("sequenceHash", "specHash", "requests"))
    if not same or first["samples"]["due"] != second["samples"]["due"]:
        raise SystemExit("two runs of one seed sent different requests")
    figures: dict[str, Any] = {"same seed, identical sequence": first["sequenceHash"][:19]}
    for name, key in (("TTFT", "ttft"), ("ITL", "itl")):
        a, b = first[key]["p50"], second[key]["p50"]
        figures[f"same seed, {name} P50 of both, ms"] = f"{1000 * a:.2f}, {1000 * b:.2f}"
        figures[f"same seed, difference of {name} P50, %"] = round(100 * abs(b / a - 1), 2)
    return figures


def clients() -> dict[str, Any]:
    """Return what a request costs with each HTTP client, and what it makes of the TTFT; taken in turns."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in CLIENTS}
    with fast_server("--interval", "0.005") as url:
        for _ in range(5):
            for name in CLIENTS:
                command = [*_on_core(0), sys.executable, __file__, "--clients", name, url]
                found[name].append(tuple(json.loads(subprocess.check_output(command, text=True))))
    figures: dict[str, Any] = {}
    for name, rows in found.items():
        figures[f"CPU of a request with {name}, ms"] = round(statistics.median(row[0] for row in rows), 2)
        figures[f"TTFT P99 with {name} at {CLIENT_RATE} requests/s, ms"] = round(
            statistics.median(row[1] for row in rows), 2
        )
    return figures


async def cost(name: str, url: str) -> None:
    """Print the CPU of a request and the P99 of the TTFT, both in milliseconds, of 2000 requests in open loop."""
    loop = asyncio.get_running_loop()
    async with CLIENTS[name](url) as ask:
        used = resource.getrusage(resource.RUSAGE_SELF)
        start = loop.time()
        tasks = []
        for number in range(2000):
            await asyncio.sleep(max(0.0, start + number / CLIENT_RATE - loop.time()))
            tasks.append(asyncio.create_task(ask()))
        answers = await asyncio.gather(*tasks)
        after = resource.getrusage(resource.RUSAGE_SELF)
    if any(len(answer.tokens_at) != TOKENS for answer in answers):
        raise SystemExit(f"{name}: an answer is not whole")
    ttft = statistics.quantiles((answer.tokens_at[0] - answer.sent for answer in answers), n=100)[98]
    cpu = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
    print(json.dumps([1000 * cpu / 2000, 1000 * ttft]))


Ask = Callable[[], Coroutine[Any, Any, Answer]]


@contextlib.asynccontextmanager
async def _own(url: str) -> AsyncIterator[Ask]:
    async with ChatClient(Target(url, MODEL)) as client:
        yield lambda: client.ask(BODY)


@contextlib.asynccontextmanager
async def _aiohttp(url: str) -> AsyncIterator[Ask]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True)) as session:

        async def ask() -> Answer:
            answer = Answer(time.monotonic())
            reader = EventReader(answer, keep_text=False)
            async with session.post(f"{url}/chat/completions", data=BODY) as response:
                async for data in response.content.iter_any():
                    reader.feed(time.monotonic(), data)
            return answer

        yield ask


@contextlib.asynccontextmanager
async def _httpx(url: str) -> AsyncIterator[Ask]:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    async with httpx.AsyncClient(limits=limits, trust_env=False, timeout=60) as client:

        async def ask() -> Answer:
            answer = Answer(time.monotonic())
            reader = EventReader(answer, keep_text=False)
            async with client.stream("POST", f"{url}/chat/completions", content=BODY) as response:
                async for data in response.aiter_bytes():
                    reader.feed(time.monotonic(), data)
            return answer

        yield ask


CLIENTS: Final = {"own": _own, "aiohttp": _aiohttp, "httpx": _httpx}
PARTS: Final = {
    "throughput": throughput,
    "overhead": overhead,
    "memory": memory,
    "repeat": repeat,
    "clients": clients,
}

if __name__ == "__main__":
    sys.exit(main())

"""The program itself: cold start, SIGTERM, exit codes."""

import asyncio
import contextlib
import json
import signal
import socket
import sys
import time
from pathlib import Path

import aiohttp
import pytest

SIMULATOR = (sys.executable, "-m", "autoglm_simulator", "serve", "m", "--host", "127.0.0.1")
LONG = {"messages": [{"role": "user", "content": "hello"}], "stream": True, "ignore_eos": True}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.asynccontextmanager
async def process(*flags):
    """Run a simulator; yields it and its URL without waiting for the port."""
    port = free_port()
    program = await asyncio.create_subprocess_exec(*SIMULATOR, "--port", str(port), *flags)
    try:
        yield program, f"http://127.0.0.1:{port}"
    finally:
        if program.returncode is None:
            program.kill()
        await program.wait()


async def ready(client, url):
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(aiohttp.ClientConnectorError):
                async with client.get(f"{url}/health") as answer:
                    return answer.status
            await asyncio.sleep(0.05)


def status(pid, field):
    return next(
        line.split()[1] for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(field)
    )


async def handles_sigterm(pid):
    async with asyncio.timeout(20):
        while not int(status(pid, "SigCgt"), 16) >> (signal.SIGTERM - 1) & 1:  # another process
            await asyncio.sleep(0.05)


async def refusal(client, url):
    """Return the Connection header of the first 503."""
    async with asyncio.timeout(3):
        while True:
            async with client.post(f"{url}/v1/chat/completions", json={**LONG, "max_tokens": 1}) as answer:
                if answer.status == 503:
                    return answer.headers["Connection"]


async def read_stream(answer):
    return [json.loads(line[6:]) async for line in answer.content if line.startswith(b"data: {")]


async def test_the_port_opens_after_the_cold_start():
    begun = time.monotonic()
    async with process("--startup-seconds", "1.5") as (_, url), aiohttp.ClientSession() as client:
        assert await ready(client, url) == 200
        assert time.monotonic() - begun >= 1.5


async def test_sigterm_during_the_cold_start_ends_at_once():
    async with process("--startup-seconds", "60") as (program, _):
        await handles_sigterm(program.pid)
        program.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(program.wait(), 5) == 0


async def test_sigterm_with_a_timeout_drains():
    async with process("--shutdown-timeout", "30") as (program, url), aiohttp.ClientSession() as client:
        await ready(client, url)
        answer = await client.post(f"{url}/v1/chat/completions", json={**LONG, "max_tokens": 250})  # about 4 s
        program.send_signal(signal.SIGTERM)
        assert await refusal(client, url) == "close"
        async with client.get(f"{url}/health") as health:
            assert health.status == 200
        chunks = await read_stream(answer)
        assert len(chunks) > 1
        assert chunks[-1]["choices"][0]["finish_reason"] == "length"
        assert await asyncio.wait_for(program.wait(), 10) == 0


@pytest.mark.parametrize("flags", [(), ("--shutdown-timeout", "1")])
async def test_sigterm_aborts_what_is_not_done_in_time(flags):
    async with process(*flags) as (program, url), aiohttp.ClientSession() as client:
        await ready(client, url)
        answer = await client.post(f"{url}/v1/chat/completions", json={**LONG, "max_tokens": 6000})
        await answer.content.readline()
        begun = time.monotonic()
        program.send_signal(signal.SIGTERM)
        chunks = await read_stream(answer)
        assert chunks[-1]["choices"][0]["finish_reason"] == "abort"
        assert await asyncio.wait_for(program.wait(), 10) == 0
        assert (1 if flags else 0) <= time.monotonic() - begun < 5


async def test_an_unknown_flag_ends_with_code_2():
    async with process("--swap-space", "4") as (program, _):
        assert await asyncio.wait_for(program.wait(), 20) == 2


async def test_resident_memory_is_small():
    async with process() as (program, url), aiohttp.ClientSession() as client:
        await ready(client, url)
        body = {**LONG, "messages": [{"role": "user", "content": "x" * 40_000}], "max_tokens": 5}
        for _ in range(20):
            async with client.post(f"{url}/v1/chat/completions", json=body) as answer:
                await answer.read()
        async with client.get(f"{url}/metrics") as answer:
            await answer.read()
        assert int(status(program.pid, "VmRSS")) < 60 * 1024  # KiB

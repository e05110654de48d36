"""Scrapes of real servers on this machine that behave and misbehave."""

import asyncio
import gzip

import pytest
from aiohttp import web

from autoglm_operator.autoscaler import scrape
from autoglm_operator.autoscaler.engine_metrics import ScrapeError
from autoglm_operator.autoscaler.pods import EnginePod
from autoglm_operator.autoscaler.scrape import MOST_BYTES, Scraper

GOOD = b"vllm:num_requests_running 1\nvllm:num_requests_waiting 2\nvllm:kv_cache_usage_perc 0.5\n"
BOMB = gzip.compress(b"#" * (20 * MOST_BYTES), 1)


async def good(_):
    return web.Response(body=GOOD)


async def slow(_):
    await asyncio.sleep(30)


async def dripping(request):
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"#\n")
        await asyncio.sleep(0.05)


async def endless(request):
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"#" * 65536)


async def packed(_):
    return web.Response(body=BOMB, headers={"Content-Encoding": "gzip"})


async def broken(_):
    return web.Response(status=500)


async def elsewhere(_):
    return web.Response(status=302, headers={"Location": "http://169.254.169.254/latest"})


async def state(_):
    gpu = {"memoryUsedBytes": 1, "memoryTotalBytes": 4, "sampleAgeSeconds": 0}
    return web.json_response({"version": 1, "gpus": [gpu]})


@pytest.fixture
async def scraping(monkeypatch):
    """Serve `/metrics` with a handler and return a scraper of it, with what it observed."""
    monkeypatch.setattr(scrape, "TIMEOUT_SECONDS", 0.3)
    runners, observed = [], []

    async def start(handler):
        app = web.Application()
        app.router.add_get("/metrics", handler)
        app.router.add_get("/state", state)
        runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        scraper = Scraper(lambda *told: observed.append(told[:2]), port, port)
        return scraper, EnginePod("prod", "a", "u", "phone", "127.0.0.1", True, False)

    yield start, observed
    for runner in runners:
        await runner.cleanup()


async def test_a_good_engine_and_agent(scraping):
    start, observed = scraping
    scraper, pod = await start(good)
    async with scraper:
        before = asyncio.get_running_loop().time()
        sample = await scraper.engine(pod)
        assert (sample.waiting, sample.taken >= before) == (2, True)
        assert (await scraper.agent(pod)).memory == (0.25,)
    assert observed == [("engine", ""), ("agent", "")]


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (slow, "timeout"),
        (dripping, "timeout"),
        (endless, "too_large"),
        (packed, "incomplete"),
        (broken, "http"),
        (elsewhere, "http"),
    ],
)
async def test_bad_engines_cost_little_and_give_no_sample(scraping, handler, reason):
    start, observed = scraping
    scraper, pod = await start(handler)
    async with scraper:
        before = asyncio.get_running_loop().time()
        with pytest.raises(ScrapeError) as raised:
            await scraper.engine(pod)
        assert asyncio.get_running_loop().time() - before < 2
    assert (raised.value.reason, observed) == (reason, [("engine", reason)])


@pytest.mark.parametrize("ip", ["127.0.0.1", "::1", "", "not an address"])
async def test_nobody_there(ip):
    scraper = Scraper(lambda *_: None, 1, 1)
    async with scraper:
        with pytest.raises(ScrapeError) as raised:
            await scraper.engine(EnginePod("prod", "a", "u", "phone", ip, True, False))
    assert raised.value.reason in {"refused", "timeout"}


async def test_no_more_than_64_at_once(scraping):
    start, _ = scraping
    busy = most = 0

    async def counted(request):
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        await asyncio.sleep(0.05)
        busy -= 1
        return await good(request)

    scraper, pod = await start(counted)
    async with scraper:
        await asyncio.gather(*(scraper.engine(pod) for _ in range(100)), return_exceptions=True)
    assert 1 < most <= 64

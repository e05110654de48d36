import contextlib

import pytest
from aiohttp import ClientSession, web
from prometheus_client.parser import text_string_to_metric_families

from autoglm_simulator.flags import parse
from autoglm_simulator.server import Server


class Running:
    """A simulator on a free port, and a client of it."""

    def __init__(self, server, client):
        self.server = server
        self.client = client

    async def chat(self, text="Tap the search field", **fields):
        body = {"messages": [{"role": "user", "content": text}], **fields}
        return await self.client.post("/v1/chat/completions", json=body)

    async def samples(self):
        async with self.client.get("/metrics") as answer:
            text = await answer.text()
        families = text_string_to_metric_families(text)
        return {(s.name, *sorted(s.labels.items())): s.value for family in families for s in family.samples}

    async def value(self, name, **labels):
        wanted = {"model_name": "autoglm-phone-9b", "engine": "0", **labels}
        return (await self.samples())[(name, *sorted(wanted.items()))]


@pytest.fixture
async def start():
    """Start simulators with the flags given; all end with the test."""
    async with contextlib.AsyncExitStack() as stack:

        async def begin(*flags):
            settings = parse(["serve", "zai-org/AutoGLM-Phone-9B", "--served-model-name", "autoglm-phone-9b", *flags])
            server = Server(settings)
            runner = web.AppRunner(server.app(), handler_cancellation=True, access_log=None, shutdown_timeout=0.2)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            stack.callback(server.driver.stop)
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            port = runner.addresses[0][1]
            client = await stack.enter_async_context(ClientSession(f"http://127.0.0.1:{port}"))
            return Running(server, client)

        yield begin

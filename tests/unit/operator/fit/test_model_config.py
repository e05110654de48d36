"""Reading `config.json` from a hub: a real HTTP server on loopback, and what can go wrong there."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx
import pytest
from aiohttp import web

from autoglm_operator.api.v1alpha1 import Model
from autoglm_operator.observe.model_config import HUGGING_FACE, MODEL_SCOPE, ModelConfigs, place_of

CONFIG = {"model_type": "llama", "hidden_size": 4096}
MEBIBYTE = 1 << 20


@dataclass
class Hub:
    """A model hub on loopback.

    Attributes:
        asked: paths, in order.
        headers: of the last request.
    """

    url: str = ""
    asked: list[str] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    sent: int = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        self.headers = dict(request.headers)
        name = request.path.split("/resolve/")[0].rpartition("/")[2]
        if name == "moved":
            raise web.HTTPFound(f"{self.url}/org/good/resolve/main/config.json")
        if name.isdigit():
            return web.Response(status=int(name))
        if name == "slow":
            await asyncio.sleep(30)
        if name in {"huge", "trickle"}:
            response = web.StreamResponse()
            await response.prepare(request)
            part = b"x" * (MEBIBYTE if name == "huge" else 1)
            for _ in range(50):
                await response.write(part)
                self.sent += len(part)
                if name == "trickle":
                    await asyncio.sleep(0.1)
            return response
        bodies = {"garbage": b"<html>\xff", "list": b"[1]", "deep": b"[" * 100_000}
        return web.Response(body=bodies.get(name, json.dumps(CONFIG).encode()))


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    found = Hub()
    app = web.Application()
    app.router.add_get("/{path:.*}", found.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield found
    await runner.cleanup()


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False) as found:
        yield found


def model(hub: Hub | None, name: str, **more: object) -> Model:
    given = {"source": {"huggingFace": f"org/{name}"}, "hubEndpoint": hub.url if hub else None, **more}
    return Model.model_validate(given)


async def test_it_is_read_once(hub: Hub, client: httpx.AsyncClient) -> None:
    configs = ModelConfigs(client)
    assert await configs.read(model(hub, "good")) == CONFIG
    assert await configs.read(model(hub, "good")) == CONFIG
    assert await configs.read(model(hub, "good", revision="v2")) == CONFIG
    assert hub.asked == ["/org/good/resolve/main/config.json", "/org/good/resolve/v2/config.json"]
    assert not {"authorization", "cookie"} & {name.lower() for name in hub.headers}


async def test_the_layout_of_modelscope(hub: Hub, client: httpx.AsyncClient) -> None:
    found = Model.model_validate({"source": {"modelScope": "org/good"}, "hubEndpoint": hub.url})
    assert await ModelConfigs(client).read(found) == CONFIG
    assert hub.asked == ["/models/org/good/resolve/master/config.json"]


async def test_redirects_are_followed(hub: Hub, client: httpx.AsyncClient) -> None:
    assert await ModelConfigs(client).read(model(hub, "moved")) == CONFIG


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("401", "is not public (HTTP 401)"),
        ("403", "is not public (HTTP 403)"),
        ("404", "has no config.json at revision main (HTTP 404)"),
        ("429", "could not be read (HTTP 429)"),
        ("500", "could not be read (HTTP 500)"),
        ("huge", "is larger than 1 MiB"),
        ("garbage", "is not JSON"),
        ("deep", "is not JSON"),
        ("list", "is not a JSON object"),
    ],
)
async def test_what_goes_wrong_is_said(hub: Hub, client: httpx.AsyncClient, name: str, part: str) -> None:
    answer = await ModelConfigs(client).read(model(hub, name))
    assert isinstance(answer, str)
    assert part in answer
    assert f"org/{name} at {hub.url}" in answer


async def test_a_large_file_is_not_read_to_its_end(hub: Hub, client: httpx.AsyncClient) -> None:
    await ModelConfigs(client).read(model(hub, "huge"))
    assert hub.sent < 20 * MEBIBYTE


@pytest.mark.parametrize("name", ["slow", "trickle"])
async def test_it_never_takes_longer_than_its_timeout(hub: Hub, client: httpx.AsyncClient, name: str) -> None:
    begin = time.monotonic()
    answer = await ModelConfigs(client, timeout=0.3).read(model(hub, name))
    assert time.monotonic() - begin < 2
    assert answer == f"config.json of org/{name} at {hub.url} did not arrive within 0.3 s"


async def test_a_hub_that_is_not_there(hub: Hub, client: httpx.AsyncClient) -> None:
    away = Model.model_validate({"source": {"huggingFace": "org/x"}, "hubEndpoint": "http://127.0.0.1:1"})
    assert "could not be read: ConnectError" in str(await ModelConfigs(client).read(away))


async def test_a_failure_is_remembered_for_a_while(hub: Hub, client: httpx.AsyncClient) -> None:
    now = 0.0
    configs = ModelConfigs(client, clock=lambda: now)
    await configs.read(model(hub, "404"))
    now = 599.0
    await configs.read(model(hub, "404"))
    assert len(hub.asked) == 1
    now = 601.0
    await configs.read(model(hub, "404"))
    assert len(hub.asked) == 2


def test_places() -> None:
    assert place_of(model(None, "x")) == (HUGGING_FACE, "huggingface", "org/x", "main")
    scoped = place_of(Model.model_validate({"source": {"modelScope": "org/x"}}))
    assert scoped == (MODEL_SCOPE, "modelscope", "org/x", "master")
    assert place_of(Model.model_validate({"source": {"pvc": {"claimName": "c", "path": "p"}}})) is None


async def test_a_model_off_the_hubs_is_said_to_be(client: httpx.AsyncClient) -> None:
    own = Model.model_validate({"source": {"pvc": {"claimName": "c", "path": "p"}}})
    assert "not on a hub" in str(await ModelConfigs(client).read(own))

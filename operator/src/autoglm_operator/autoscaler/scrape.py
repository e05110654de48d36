"""Scrapes engines and agents: bounded in time, size and number."""

import asyncio
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, Self, TypeVar

import aiohttp

from autoglm_operator.api import names
from autoglm_operator.autoscaler import agent_state, engine_metrics
from autoglm_operator.autoscaler.agent_state import AgentSample
from autoglm_operator.autoscaler.engine_metrics import EngineSample, ScrapeError
from autoglm_operator.autoscaler.pods import EnginePod

TIMEOUT_SECONDS: Final = 2.0
MOST_BYTES: Final = 2 * 1024 * 1024
_CONCURRENCY: Final = 64
_HEADERS: Final = {"Accept-Encoding": "identity", "User-Agent": "autoglm-autoscaler"}

#: Called after each scrape with what was scraped (engine, agent), the reason of its failure or "", and seconds.
ScrapeObserver = Callable[[str, str, float], None]
_Sample = TypeVar("_Sample")


class Scraper:
    """Fetches and parses; use as an async context manager.

    Args:
        observe: told of each scrape.
        engine_port: of the engines.
        agent_port: of the agents.
    """

    def __init__(
        self, observe: ScrapeObserver, engine_port: int = names.ENGINE_PORT, agent_port: int = names.AGENT_PORT
    ) -> None:
        self._observe = observe
        self._ports = (engine_port, agent_port)
        self._places = asyncio.Semaphore(_CONCURRENCY)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        # Not httpx: a scrape by its transport takes twice the CPU time of this, new connection included, and with a
        # thousand deployments half a core more. No connection is kept: thousands of idle ones would be open files.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=False, limit=0, force_close=True),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            # What is unpacked could be a thousand times larger than the cap before it is counted.
            auto_decompress=False,
            headers=_HEADERS,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def engine(self, pod: EnginePod) -> EngineSample:
        """Return what the engine of `pod` says now.

        Raises:
            ScrapeError: nothing usable came back in time.
        """
        return await self._get("engine", f"http://{_host(pod.ip)}:{self._ports[0]}/metrics", engine_metrics.parse)

    async def agent(self, pod: EnginePod) -> AgentSample:
        """Return the GPU memory of `pod`; `None` if it has no GPU with fresh figures.

        Raises:
            ScrapeError: nothing usable came back in time.
        """
        return await self._get("agent", f"http://{_host(pod.ip)}:{self._ports[1]}/state", agent_state.parse)

    async def _get(self, what: str, url: str, parse: Callable[[bytes, float], _Sample]) -> _Sample:
        async with self._places:
            start, reason = time.monotonic(), ""
            try:
                body = await self._body(url)
                return parse(body, start)
            except ScrapeError as error:
                reason = error.reason
                raise
            finally:
                self._observe(what, reason, time.monotonic() - start)

    async def _body(self, url: str) -> bytes:
        assert self._session is not None, "use the scraper inside `async with`"  # noqa: S101  # programming error
        try:
            # One limit for all of it: a target that drips must not hold its place for ever. A redirect could lead
            # anywhere.
            async with (
                asyncio.timeout(TIMEOUT_SECONDS),
                self._session.get(url, allow_redirects=False) as response,
            ):
                return await _read(url, response)
        except TimeoutError as error:
            raise ScrapeError("timeout", f"{url} did not answer within {TIMEOUT_SECONDS:g} s") from error
        except (aiohttp.ClientError, ValueError, OSError) as error:
            raise ScrapeError("refused", f"{url}: {type(error).__name__}: {error}") from error


async def _read(url: str, response: aiohttp.ClientResponse) -> bytes:
    if response.status != HTTPStatus.OK:
        raise ScrapeError("http", f"{url} answered {response.status}: expected 200")
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MOST_BYTES:
            raise ScrapeError("too_large", f"{url} answered more than {MOST_BYTES >> 20} MiB")
    return bytes(body)


def _host(ip: str) -> str:
    return f"[{ip}]" if ":" in ip else ip

"""Where a host is: looked up apart from the requests, so that none waits for a name server."""

import asyncio
import contextlib
import socket
import ssl
from itertools import cycle
from typing import Any, Final
from urllib.parse import urlsplit

from autoglm_bench.result import Cause, Failure

#: How long an address is used before the name is asked again: a headless Service changes with its pods.
_SECONDS: Final = 5.0
_PORTS: Final = {"http": 80, "https": 443}

Address = tuple[socket.AddressFamily, Any]


class Endpoint:
    """Host, port and TLS of a URL, and the host's addresses in turn.

    Args:
        url: base URL of the API.

    Raises:
        ValueError: it is none.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ValueError(f"{url!r} is not a URL to ask; expected one such as http://autoglm-phone.default:8000/v1")
        self.host = parts.hostname
        self.port = parts.port or _PORTS[parts.scheme]
        self.path = parts.path.rstrip("/")
        self.authority = parts.netloc.rpartition("@")[2]
        self.tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._addresses: cycle[Address] | None = None
        self._asked = float("-inf")
        self._refresh: asyncio.Task[None] | None = None

    async def address(self) -> Address:
        """Return the next address; only the first call waits for the name server."""
        if self._addresses is None:
            await self._ask()
        elif asyncio.get_running_loop().time() - self._asked > _SECONDS and self._refresh is None:
            self._refresh = asyncio.create_task(self._ask_again())
        if self._addresses is None:
            raise Failure(Cause.REFUSED, f"{self.host} has no address")
        return next(self._addresses)

    async def _ask_again(self) -> None:
        # The addresses known stay in use; if they are wrong, the requests say so.
        with contextlib.suppress(Failure):
            await self._ask()
        self._refresh = None

    async def _ask(self) -> None:
        loop = asyncio.get_running_loop()
        self._asked = loop.time()
        try:
            found = await loop.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise Failure(Cause.REFUSED, f"{self.host} is not known: {error}") from error
        self._addresses = cycle([(family, address) for family, _, _, _, address in found])

"""An HTTPS server that takes a new certificate or client CA without a restart."""

import asyncio
import logging
import socket
import ssl
from pathlib import Path

from aiohttp import web

from autoglm_operator.autoscaler.metrics_api.auth import Trust, server_context
from autoglm_operator.autoscaler.metrics_api.certificate import not_after

logger = logging.getLogger(__name__)


class TlsServer:
    """Serves one application.

    Contexts of OpenSSL cannot forget a CA, so each change makes a new one and a new listener on the same socket.
    Connections from before are closed when their request is answered; `is_current` tells those that were still
    shaking hands.

    Args:
        app: what to serve.
        port: to listen on; 0 takes a free one.
        certificate: PEM file of the serving certificate.
        key: PEM file of its key.
        host: address to listen on.
    """

    def __init__(
        self,
        app: web.Application,
        port: int,
        certificate: Path,
        key: Path,
        host: str = "0.0.0.0",  # noqa: S104  # the Service's endpoints
    ) -> None:
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        self._address = (host, port)
        self._files = (certificate, key)
        self._socket: socket.socket | None = None
        self._site: web.SockSite | None = None
        self._context: ssl.SSLContext | None = None
        self._trust: Trust | None = None
        self._loaded: tuple[Trust | None, bytes, bytes] | None = None
        self._lock = asyncio.Lock()
        self._expires = 0.0

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._socket.getsockname()[1]) if self._socket else self._address[1]

    @property
    def trust(self) -> Trust | None:
        """Whom to believe now."""
        return self._trust

    @property
    def expires(self) -> float:
        """Unix time at which the serving certificate expires; 0 before one is loaded."""
        return self._expires

    def is_current(self, transport: asyncio.BaseTransport | None) -> bool:
        """Whether a connection was made under the certificates and the CA that are in force now."""
        return transport is not None and transport.get_extra_info("sslcontext") is self._context

    async def start(self) -> None:
        """Start to listen.

        Raises:
            OSError: the port is taken, or the certificate or key cannot be read.
        """
        self._socket = socket.create_server(self._address, backlog=128)
        await self._runner.setup()
        await self.refresh(self._trust)

    async def refresh(self, trust: Trust | None) -> None:
        """Take over `trust` and whatever the files hold now; return at once if nothing changed.

        Raises:
            OSError: a file cannot be read, or certificate and key do not fit; the old ones stay in force.
            ValueError: the CA is no certificate; the old one stays in force.
        """
        async with self._lock:
            certificate, key = self._files
            wanted = (trust, certificate.read_bytes(), key.read_bytes())
            if self._socket is None or wanted == self._loaded:
                return
            context = server_context(certificate, key, trust)
            expires = not_after(wanted[1])
            site = web.SockSite(self._runner, self._socket.dup(), ssl_context=context)
            await site.start()
            before, self._site, self._context = self._site, site, context
            self._trust, self._loaded, self._expires = trust, wanted, expires
            if before is not None:
                await before.stop()
                if (server := self._runner.server) is not None:
                    server.pre_shutdown()
                logger.info("certificates reloaded")

    async def stop(self) -> None:
        """Stop to listen and close the connections."""
        await self._runner.cleanup()
        if self._socket is not None:
            self._socket.close()

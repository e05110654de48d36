"""`autoglm-simulator serve MODEL`: cold start, serve, and end on SIGTERM as vLLM does."""

import asyncio
import signal
import sys
from typing import Final

from aiohttp import web

from autoglm_simulator.flags import Settings, parse
from autoglm_simulator.server import Server
from autoglm_simulator.tracing import TracingError

_CLOSE_SECONDS: Final = 2.0  # for answers to be written after the last token


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then drain."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    try:
        # The port stays closed: before it is ready, vLLM refuses connections.
        await asyncio.wait_for(stopping.wait(), settings.startup_seconds)
    except TimeoutError:
        await _serve_until(stopping, settings)


async def _serve_until(stopping: asyncio.Event, settings: Settings) -> None:
    server = Server(settings)
    runner = web.AppRunner(server.app(), access_log=None, handler_cancellation=True, shutdown_timeout=_CLOSE_SECONDS)
    await runner.setup()
    await web.TCPSite(runner, settings.host, settings.port).start()
    await stopping.wait()
    await server.drain()
    await runner.cleanup()
    await server.close()


def main() -> None:
    """Run the command line."""
    try:
        asyncio.run(serve(parse()))
    except TracingError as error:
        sys.exit(f"autoglm-simulator: {error}")


if __name__ == "__main__":
    main()

"""A metrics API with 5,000 deployments in its table: the operator's own code, less what fills the table.

Prints one line when it serves, and takes new values each 3 s as the loop of the autoscaler would.
"""

import asyncio
import sys
import time
from pathlib import Path

from aiohttp import web

from autoglm_operator.api.signals import SIGNALS
from autoglm_operator.autoscaler.metrics import Metrics
from autoglm_operator.autoscaler.metrics_api.access import Access
from autoglm_operator.autoscaler.metrics_api.auth import Trust, read_trust
from autoglm_operator.autoscaler.metrics_api.published import Entry, Published
from autoglm_operator.autoscaler.metrics_api.server import MetricsApi
from autoglm_operator.autoscaler.metrics_api.tls_server import TlsServer
from autoglm_operator.kube.client import Client
from autoglm_operator.kube.connection import Connection

INTERVAL = 3.0


async def main(kubeconfig: str, host: str, port: int, folder: str, deployments: int) -> None:
    """Serve until killed."""
    published = Published(INTERVAL)
    async with Client(Connection.from_kubeconfig(Path(kubeconfig)), user_agent="bench-autoscaler") as client:
        server: TlsServer

        def trust(request: web.Request) -> Trust | None:
            return server.trust if server.is_current(request.transport) else None

        api = MetricsApi(published, Access(client), trust, Metrics())
        server = TlsServer(api.app(), port, Path(folder, "server.crt"), Path(folder, "server.key"), host=host)
        await server.start()
        await server.refresh(await read_trust(client))
        print("ready", flush=True)
        tick = 0
        while True:
            tick += 1
            now = time.monotonic()
            for index in range(deployments):
                values = {signal.name: float((index + tick) % 17) for signal in SIGNALS}
                published.put(("bench", f"d-{index:04d}"), Entry(now, values))
                if index % 100 == 0:
                    # Spread, as the loop spreads its visits.
                    await asyncio.sleep(INTERVAL * 100 / deployments)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], int(sys.argv[5])))

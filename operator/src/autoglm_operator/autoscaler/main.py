"""Wiring of the autoscaler process."""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from aiohttp import web

from autoglm_operator.autoscaler.actuator import Actuator
from autoglm_operator.autoscaler.cluster import Cluster
from autoglm_operator.autoscaler.drains import Drains
from autoglm_operator.autoscaler.judge import Judge
from autoglm_operator.autoscaler.loop import Loop
from autoglm_operator.autoscaler.memory import Memory
from autoglm_operator.autoscaler.metrics import Metrics
from autoglm_operator.autoscaler.metrics_api.access import Access
from autoglm_operator.autoscaler.metrics_api.auth import REFRESH_SECONDS, Trust, read_trust
from autoglm_operator.autoscaler.metrics_api.published import Published
from autoglm_operator.autoscaler.metrics_api.server import MetricsApi
from autoglm_operator.autoscaler.metrics_api.tls_server import TlsServer
from autoglm_operator.autoscaler.quota import Quotas
from autoglm_operator.autoscaler.scrape import Scraper
from autoglm_operator.autoscaler.writer import Writer
from autoglm_operator.kube.client import Client
from autoglm_operator.kube.connection import from_environment
from autoglm_operator.kube.errors import KubeError
from autoglm_operator.kube.lease import LeaderElector, LeadershipLost
from autoglm_operator.settings import Settings
from autoglm_operator.telemetry import serve_health, setup_tracing

logger = logging.getLogger(__name__)

_LEASE: Final = "autoglm-autoscaler"
_SILENT_SECONDS: Final = 180.0
_STUCK_SECONDS: Final = 30.0
_FIRST_TRUST_SECONDS: Final = 2.0


class AutoscalerProcess:
    """One replica of the autoscaler: all of them scrape, decide and answer; the Lease holder writes status."""

    def __init__(self, settings: Settings, client: Client, scraper: Scraper, metrics: Metrics) -> None:
        self._settings = settings
        self._client = client
        self._elector: LeaderElector | None = None
        self.cluster = Cluster(client, settings.watch_namespaces)
        published = Published(settings.scrape_interval)
        writer = Writer(client, self._is_leader)
        judge = Judge(settings.scrape_interval)
        self._quotas = Quotas(client, settings.watch_namespaces)
        self._memory = Memory(client, self._is_leader, judge)
        self.loop = Loop(
            self.cluster,
            scraper,
            published,
            writer,
            metrics,
            judge=judge,
            drains=Drains(client, self._is_leader, interval=settings.scrape_interval),
            actuator=Actuator(client, self._is_leader, metrics),
            quotas=self._quotas,
            memory=self._memory,
            interval=settings.scrape_interval,
        )
        api = MetricsApi(published, Access(client), self._trust, metrics)
        files = (Path(settings.tls_cert_file), Path(settings.tls_key_file))
        self.server = TlsServer(api.app(), settings.api_port, *files)
        metrics.leader.set_function(lambda: float(self._is_leader()))
        metrics.certificate_expiry.set_function(lambda: self.server.expires)

    def _is_leader(self) -> bool:
        return self._elector is not None and self._elector.is_leader

    def _trust(self, request: web.Request) -> Trust | None:
        return self.server.trust if self.server.is_current(request.transport) else None

    def not_live(self) -> str | None:
        """Say why the kubelet should restart this replica, or `None`."""
        if (silence := self.cluster.silence_seconds()) > _SILENT_SECONDS:
            return f"no word from the API server for {silence:.0f} s"
        if (stuck := time.monotonic() - self.loop.last_tick) > _STUCK_SECONDS and self.cluster.synced:
            return f"the last tick began {stuck:.0f} s ago"
        return None

    def not_ready(self) -> str | None:
        """Say why this replica could not answer now, or `None`; a standby answers too."""
        if not self.cluster.synced:
            return "deployments and pods are not listed yet"
        return None if self.loop.ticks else "nothing was scraped yet"

    async def run(self) -> None:
        """Run until cancelled."""
        await self.server.start()
        try:
            async with asyncio.TaskGroup() as tasks:
                for reflector in self.cluster.reflectors:
                    tasks.create_task(reflector.run())
                tasks.create_task(self._elect())
                tasks.create_task(self._follow_certificates())
                tasks.create_task(self._quotas.reflector.run())
                tasks.create_task(self._memory.run())
                for reflector in self.cluster.reflectors:
                    await reflector.wait_synced()
                _calm_collector()
                tasks.create_task(self.loop.run())
        finally:
            await self.server.stop()

    async def _elect(self) -> None:
        """Stand for election for ever: a replica that lost the Lease goes on answering and stands again."""
        while True:
            elector = LeaderElector(self._client, self._settings.pod_namespace, _LEASE, self._settings.pod_name)
            self._elector = elector
            try:
                await elector.run()
            except LeadershipLost as error:
                logger.warning("leadership lost", extra={"error": str(error)})

    async def _follow_certificates(self) -> None:
        """Take over a new client CA or serving certificate within seconds, without a restart."""
        problem = ""
        while True:
            told, problem = problem, await self._reload_certificates()
            if problem and problem != told:
                state = "the last one stays in force" if self.server.trust else "the metrics API answers 401"
                logger.warning("certificates not reloaded", extra={"error": problem, "consequence": state})
            await asyncio.sleep(REFRESH_SECONDS if self.server.trust else _FIRST_TRUST_SECONDS)

    async def _reload_certificates(self) -> str:
        """Take over what is new; return what went wrong, or an empty string."""
        trust, problem = self.server.trust, ""
        try:
            trust = await read_trust(self._client)
        except (KubeError, ValueError) as error:
            problem = str(error)
        try:
            await self.server.refresh(trust)
        except (OSError, ValueError) as error:
            problem = str(error)
        return problem


async def run_autoscaler(settings: Settings) -> None:
    """Run one replica until it is told to stop."""
    metrics = Metrics()
    flush = setup_tracing(
        "autoglm-autoscaler",
        settings.otlp_endpoint,
        metrics.count_spans,
        ratio=settings.trace_ratio,
        namespace=settings.pod_namespace,
        pod=settings.pod_name,
    )
    try:
        async with (
            Client(from_environment(dict(os.environ)), metrics.observe_request) as client,
            Scraper(metrics.observe_scrape) as scraper,
        ):
            process = AutoscalerProcess(settings, client, scraper, metrics)
            health = await serve_health(
                settings.health_port, process.not_live, process.not_ready, metrics.exposition.render
            )
            try:
                await _until_told(process.run)
            finally:
                await health.cleanup()
    finally:
        flush()
    logger.info("stopped")


def _calm_collector() -> None:
    """Look for garbage less often, and never among what was there at the start.

    The samples of hundreds of pods hold no cycles, and a full collection over them is a pause of a tenth of a second
    in the middle of GETs that should take milliseconds.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


async def _until_told(run: Callable[[], Awaitable[None]]) -> None:
    """Run until SIGTERM or SIGINT, then cancel and wait: the Lease is released on the way out."""
    loop, told = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    work = asyncio.ensure_future(run())
    stop = asyncio.create_task(told.wait())
    await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    work.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await work

"""Command line of the agent."""

import importlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from autoglm_agent import __version__
from autoglm_agent.device import Source
from autoglm_agent.engine.watch import EngineWatch
from autoglm_agent.evidence import Evidence
from autoglm_agent.logs import setup_logging
from autoglm_agent.monitor import PERIOD_SECONDS, EngineMonitor
from autoglm_agent.options import Options, parse
from autoglm_agent.otlp_setting import Setting, setting
from autoglm_agent.sampler import Sampler
from autoglm_agent.signals.memory import MemorySignals, MemoryWatch
from autoglm_agent.signals.tolerance import Tolerance
from autoglm_agent.source import SourceError, choose
from autoglm_agent.state import State, document
from autoglm_agent.ticker import Ticker

_logger = logging.getLogger(__name__)


class Agent:
    """The source, the watch over the engine, the export, and the present state of all."""

    def __init__(self, source: Source, engine_url: str, tolerance: Tolerance, gpus: int | None) -> None:
        self.sampler = Sampler(source, time.monotonic, gpus)
        self._memory_watch = MemoryWatch()
        self._memory = MemorySignals()
        self.engine = EngineWatch(engine_url, time.monotonic)
        evidence = Evidence(self.engine.raw_metrics, lambda: document(self.state(), time.time()))
        self.monitor = EngineMonitor(
            self.engine,
            time.monotonic,
            tolerance=tolerance,
            memory=lambda: self._memory,
            on_hang=evidence.capture,
            on_restart=self.sampler.engine_restarted,
            on_progress=self.sampler.engine_progressed,
        )
        self._otlp_failures: Callable[[], int] | None = None

    def sample(self) -> None:
        """Read the GPUs once and judge their memory."""
        self.sampler.sample()
        now = time.monotonic()
        fresh = self.sampler.snapshot.fresh(now)
        self._memory = self._memory_watch.update(fresh, now, settled=self.engine.status.alive(now))

    def state(self) -> State:
        """Return the present state, without touching GPU or engine."""
        failures = self._otlp_failures() if self._otlp_failures else None
        return State(
            self.sampler.snapshot, self.engine.status, time.monotonic(), self.monitor.report, self._memory, failures
        )

    def export(self, to: Setting) -> Callable[[], None] | None:
        """Return what sends the state to a collector; `None` where the exporter is not installed."""
        try:
            # Imported here: without a collector, nobody pays for the SDK.
            otlp = importlib.import_module("autoglm_agent.otlp")
            export = otlp.OtlpExport(otlp.exporter(to), self.state, time.time)
        except ImportError as error:
            _logger.error("no OTLP export: install autoglm-agent[otlp]", extra={"missing": error.name})  # noqa: TRY400
            return None
        self._otlp_failures = lambda: export.failures
        _logger.info("exporting OTLP", extra={"endpoint": to.endpoint, "grpc": to.grpc, "seconds": to.seconds})
        action: Callable[[], None] = export.export
        return action


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the agent until a signal, or once; return the exit status."""
    options = parse(arguments)
    setup_logging()
    try:
        source = choose(options.request(os.environ), time.monotonic)
        otlp = setting(os.environ)
    except (SourceError, ValueError) as error:
        _logger.critical("wrong setting", extra={"reason": str(error)})
        return 2
    _logger.info("GPU source chosen", extra={"source": source.name, "reason": source.why})
    try:
        agent = Agent(source, options.engine_url, options.tolerance, options.gpus)
        return _once(agent, options) if options.once else _serve(agent, options, otlp)
    finally:
        source.close()


def _once(agent: Agent, options: Options) -> int:
    from autoglm_agent import once  # noqa: PLC0415  # the server needs none of it

    agent.sample()
    time.sleep(once.SETTLE_SECONDS)
    agent.sample()
    agent.monitor.check()
    return once.run(agent.state(), options.output, time.time(), sys.stdout.write)


def _serve(agent: Agent, options: Options, otlp: Setting | None) -> int:
    # Imported here: `--once` needs neither the server nor the metrics.
    from autoglm_agent.server import AgentServer, Routes  # noqa: PLC0415

    end = threading.Event()
    failed = threading.Event()

    def on_death() -> None:
        failed.set()
        end.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: end.set())
    try:
        server = AgentServer(options.listen, Routes(agent.state, time.monotonic()), time.monotonic)
    except OSError as error:
        detail: dict[str, Any] = {"listen": options.listen, "error": str(error)}
        _logger.critical("cannot listen: choose another --listen", extra=detail)
        return 1
    tickers = [
        Ticker("gpus", options.interval, agent.sample, on_death),
        Ticker("engine", max(options.interval, PERIOD_SECONDS), agent.monitor.check, on_death),
    ]
    if otlp and (export := agent.export(otlp)):
        tickers.append(Ticker("otlp", otlp.seconds, export, on_death))
    for ticker in tickers:
        ticker.start()
    server.start()
    _logger.info("serving", extra={"port": server.port, "engine": options.engine_url, "version": __version__})
    end.wait()
    for ticker in tickers:
        ticker.ask()
    server.stop()
    for ticker in tickers:
        ticker.stop(timeout=0.1)
    _logger.info("stopped")
    return 1 if failed.is_set() else 0


if __name__ == "__main__":
    sys.exit(main())

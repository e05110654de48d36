"""Command line of the agent."""

import json
import logging
import signal
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any, Final

from autoglm_agent import __version__
from autoglm_agent.device import GpuReader
from autoglm_agent.engine import EngineWatch
from autoglm_agent.logs import setup_logging
from autoglm_agent.options import Options, parse
from autoglm_agent.sampler import Sampler
from autoglm_agent.source import choose
from autoglm_agent.state import State, document
from autoglm_agent.ticker import Ticker

_logger = logging.getLogger(__name__)

_MIB: Final = 1 << 20


class Agent:
    """The reader, the engine watch and their present state."""

    def __init__(self, reader: GpuReader, engine_url: str) -> None:
        self.reader = reader
        self.sampler = Sampler(reader, time.monotonic)
        self.engine = EngineWatch(engine_url, time.monotonic)

    def state(self) -> State:
        """Return the present state, without touching GPU or engine."""
        return State(self.sampler.snapshot, self.engine.status, time.monotonic())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the agent until a signal, or once; return the exit status."""
    options = parse(arguments)
    setup_logging()
    reader, why = choose(options.source, options.gpus, time.monotonic)
    _logger.info("GPU source chosen", extra={"source": reader.source, "reason": why})
    agent = Agent(reader, options.engine_url)
    try:
        return _once(agent, options.output) if options.once else _serve(agent, options)
    finally:
        reader.close()


def _once(agent: Agent, output: str) -> int:
    agent.sampler.sample()
    agent.engine.check()
    shown = document(agent.state(), time.time())
    sys.stdout.write(json.dumps(shown, indent=2) + "\n" if output == "json" else table(shown))
    return 0


def _serve(agent: Agent, options: Options) -> int:
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
        _logger.critical(
            "cannot listen: choose another --listen", extra={"listen": options.listen, "error": str(error)}
        )
        return 1
    tickers = (
        Ticker("gpus", options.interval, agent.sampler.sample, on_death),
        Ticker("engine", options.interval, agent.engine.check, on_death),
    )
    for ticker in tickers:
        ticker.start()
    server.start()
    _logger.info("serving", extra={"port": server.port, "engine": options.engine_url, "version": __version__})
    end.wait()
    server.stop()
    for ticker in tickers:
        ticker.stop(timeout=0.2)
    _logger.info("stopped")
    return 1 if failed.is_set() else 0


def table(shown: dict[str, Any]) -> str:
    """Return a `/state` document for people."""
    engine = shown["engine"]
    lines = [f"source  {shown['source']}", f"engine  {engine['state']}: {engine['reason']}", ""]
    lines.append(f"{'GPU':<4}{'NAME':<32}{'USED MiB':>10}{'TOTAL MiB':>11}{'UTIL':>6}  UUID")
    for gpu in shown["gpus"]:
        used, total = (
            "-" if gpu[key] is None else str(gpu[key] // _MIB) for key in ("memoryUsedBytes", "memoryTotalBytes")
        )
        utilization = "-" if gpu["utilization"] is None else f"{gpu['utilization']:.0%}"
        lines.append(f"{gpu['index']:<4}{gpu['name']:<32}{used:>10}{total:>11}{utilization:>6}  {gpu['uuid']}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())

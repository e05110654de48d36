"""Command line of the agent, checked."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from autoglm_agent import __version__
from autoglm_agent.engine.http import engine_address
from autoglm_agent.signals.tolerance import Tolerance
from autoglm_agent.source import CHOICES, NODE_VARIABLE, Request, exporter_address

#: Samples are stale after 10 s, so a longer interval would show nothing between two of them.
_INTERVALS: Final = (0.1, 5.0)
_MOST_GPUS: Final = 64
_MOST_PORT: Final = 65535


@dataclass(frozen=True, slots=True)
class Options:
    """What the agent was asked to do.

    Attributes:
        source: one of `source.CHOICES`.
        gpus: GPUs of the pod, and those that a replay pretends; `None` if nobody said.
        interval: seconds between two samples.
        engine_url: the engine to check.
        listen: host and port of the HTTP endpoints.
        tolerance: how far the pod may be from its usual.
        once: print the state and exit.
        output: form of `once`, `json` or `table`.
        dcgm_url: address of dcgm-exporter; `None` takes the node's.
        recording: what to replay; `None` takes the one that is shipped.
        scenario: faults to add to a replay.
        record: file to write what is read into.
    """

    source: str
    gpus: int | None
    interval: float
    engine_url: str
    listen: tuple[str, int]
    tolerance: Tolerance
    once: bool
    output: str
    dcgm_url: str | None = None
    recording: Path | None = None
    scenario: Path | None = None
    record: Path | None = None

    def request(self, environment: Mapping[str, str]) -> Request:
        """Return which source is asked for, in a process with these variables."""
        return Request(
            source=self.source,
            gpus=self.gpus,
            dcgm_url=self.dcgm_url,
            recording=self.recording,
            scenario=self.scenario,
            record=self.record,
            environment=environment,
        )


def parse(arguments: Sequence[str] | None) -> Options:
    """Return the options, or exit with status 2 and a message that says what is wrong.

    Args:
        arguments: the command line without the program's name; `None` takes the process's own.
    """
    parser = argparse.ArgumentParser(
        "autoglm-agent", description="Exports the GPU memory and the engine liveness of one pod."
    )
    _add_sources(parser)
    parser.add_argument("--interval", type=_interval, default=1.0, help="seconds between two samples (default: 1)")
    parser.add_argument("--engine-url", type=_engine_url, default="http://127.0.0.1:8000", help="engine to check")
    parser.add_argument("--listen", type=_listen, default="0.0.0.0:9410", help="HOST:PORT to serve on")
    parser.add_argument(
        "--tolerance",
        type=_tolerance,
        metavar="MODE",
        default=Tolerance.ELASTIC,
        help="how far the pod may be from its usual before it reacts: Strict, Elastic (default) or Recovery",
    )
    parser.add_argument("--once", action="store_true", help="print the state once and exit")
    parser.add_argument("-o", "--output", choices=("json", "table"), default="table", help="form of --once")
    parser.add_argument("--version", action="version", version=__version__)
    options = Options(**vars(parser.parse_args(arguments)))
    if options.source != "replay" and (options.recording or options.scenario):
        parser.error("--recording and --scenario are for --source replay")
    return options


def _add_sources(parser: argparse.ArgumentParser) -> None:
    """Add where the GPU figures come from."""
    parser.add_argument(
        "--source",
        choices=CHOICES,
        default="auto",
        help="auto: NVML, else the node's dcgm-exporter, else no GPU; replay: no GPU, figures from a recording",
    )
    parser.add_argument(
        "--gpus", type=_gpus, help="GPUs of the pod: fewer are a fault, and a replay shows as many (default: unknown)"
    )
    parser.add_argument(
        "--dcgm-url",
        type=_exporter,
        metavar="URL",
        help=f"dcgm-exporter's metrics (default: port 9400 of the node, if {NODE_VARIABLE} is set)",
    )
    parser.add_argument(
        "--recording", type=Path, metavar="FILE", help="what to replay (default: the synthetic one of the package)"
    )
    parser.add_argument("--scenario", type=Path, metavar="FILE", help="faults to add to a replay")
    parser.add_argument("--record", type=Path, metavar="FILE", help="write what is read into a recording")


def _gpus(text: str) -> int:
    if not text.isdecimal() or int(text) > _MOST_GPUS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of GPUs; expected 0 to {_MOST_GPUS}")
    return int(text)


def _interval(text: str) -> float:
    low, high = _INTERVALS
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not low <= seconds <= high:
        raise argparse.ArgumentTypeError(f"{text!r} is not an interval; expected {low:g} to {high:g} seconds")
    return seconds


def _exporter(text: str) -> str:
    try:
        exporter_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def _engine_url(text: str) -> str:
    try:
        engine_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def _tolerance(text: str) -> Tolerance:
    try:
        return Tolerance(text)
    except ValueError as error:
        expected = ", ".join(Tolerance)
        raise argparse.ArgumentTypeError(f"{text!r} is not a tolerance; expected one of {expected}") from error


def _listen(text: str) -> tuple[str, int]:
    host, separator, port = text.rpartition(":")
    if not separator or not port.isdecimal() or int(port) > _MOST_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is not an address; expected HOST:PORT, such as 0.0.0.0:9410")
    return host, int(port)

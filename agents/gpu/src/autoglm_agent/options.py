"""Command line of the agent, checked."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from autoglm_agent import __version__
from autoglm_agent.engine import engine_address
from autoglm_agent.source import CHOICES

#: Samples are stale after 10 s, so a longer interval would show nothing between two of them.
_INTERVALS: Final = (0.1, 5.0)
_MOST_GPUS: Final = 64
_MOST_PORT: Final = 65535


@dataclass(frozen=True, slots=True)
class Options:
    """What the agent was asked to do.

    Attributes:
        source: one of `source.CHOICES`.
        gpus: number of GPUs that a replay pretends.
        interval: seconds between two samples.
        engine_url: the engine to check.
        listen: host and port of the HTTP endpoints.
        once: print the state and exit.
        output: form of `once`, `json` or `table`.
    """

    source: str
    gpus: int
    interval: float
    engine_url: str
    listen: tuple[str, int]
    once: bool
    output: str


def parse(arguments: Sequence[str] | None) -> Options:
    """Return the options, or exit with status 2 and a message that says what is wrong.

    Args:
        arguments: the command line without the program's name; `None` takes the process's own.
    """
    parser = argparse.ArgumentParser(
        "autoglm-agent", description="Exports the GPU memory and the engine liveness of one pod."
    )
    parser.add_argument("--source", choices=CHOICES, default="auto", help="auto: NVML or no GPU; replay: synthetic")
    parser.add_argument("--gpus", type=_gpus, default=1, help="GPUs that a replay pretends (default: 1)")
    parser.add_argument("--interval", type=_interval, default=1.0, help="seconds between two samples (default: 1)")
    parser.add_argument("--engine-url", type=_engine_url, default="http://127.0.0.1:8000", help="engine to check")
    parser.add_argument("--listen", type=_listen, default="0.0.0.0:9410", help="HOST:PORT to serve on")
    parser.add_argument("--once", action="store_true", help="print the state once and exit")
    parser.add_argument("-o", "--output", choices=("json", "table"), default="table", help="form of --once")
    parser.add_argument("--version", action="version", version=__version__)
    return Options(**vars(parser.parse_args(arguments)))


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


def _engine_url(text: str) -> str:
    try:
        engine_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def _listen(text: str) -> tuple[str, int]:
    host, separator, port = text.rpartition(":")
    if not separator or not port.isdecimal() or int(port) > _MOST_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is not an address; expected HOST:PORT, such as 0.0.0.0:9410")
    return host, int(port)

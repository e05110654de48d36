"""Command line of the download. The token comes from the environment: arguments are visible to every process."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from autoglm_fetch.source import DEFAULTS, Kind, Source

TOKEN_VARIABLE: Final = "HF_TOKEN"  # noqa: S105  # a name
TERMINATION_LOG: Final = Path("/dev/termination-log")
_DEADLINE_SECONDS: Final = 6 * 3600.0
#: Hubs throttle an address that opens many; four fill a 10 Gbit/s line where each gets what one commonly does.
_CONNECTIONS: Final = 4


@dataclass(frozen=True, slots=True)
class Options:
    """What to do.

    Attributes:
        command: `get`, `wait` or `idle`.
        source: of `get`.
        folders: to fill with `get` (one), or to wait for.
        make: folders that `wait` makes.
        deadline: seconds that `get` may take.
        connections: files downloaded at once.
        report: file for the last word.
    """

    command: str
    source: Source
    folders: tuple[Path, ...]
    make: tuple[Path, ...]
    deadline: float
    connections: int
    report: Path


def parse(arguments: Sequence[str] | None) -> Options:
    """Return the options; print what is wrong and exit with 2 if they are not understood."""
    parser = argparse.ArgumentParser(prog="autoglm-fetch", description="Download a model once into a shared folder.")
    commands = parser.add_subparsers(dest="command", required=True)
    get = commands.add_parser("get", help="download a model into a folder")
    get.add_argument("--source", type=Kind, choices=list(Kind), required=True, help="kind of source")
    get.add_argument("--model", required=True, help="organisation/name, or the address of a folder")
    get.add_argument("--revision", default="", help="commit, tag or branch; the hub's main branch if left out")
    get.add_argument("--endpoint", default="", help="mirror of the hub; the public one if left out")
    get.add_argument("--folder", type=Path, required=True, help="folder to fill")
    get.add_argument("--deadline", type=_positive, default=_DEADLINE_SECONDS, help="seconds it may take")
    get.add_argument("--connections", type=_connections, default=_CONNECTIONS, help="files at once, 1 to 32")
    get.add_argument("--report", type=Path, default=TERMINATION_LOG, help="file for the outcome as JSON")
    wait = commands.add_parser("wait", help="wait until folders are whole")
    wait.add_argument("--folder", type=Path, action="append", default=[], help="folder that must be whole")
    wait.add_argument("--make", type=Path, action="append", default=[], help="folder to make, writable for the group")
    commands.add_parser("idle", help="do nothing until told to stop")
    found = parser.parse_args(arguments)
    return _get(found) if found.command == "get" else _other(found)


def _get(found: argparse.Namespace) -> Options:
    endpoint, branch = DEFAULTS[found.source]
    source = Source(found.source, found.model, found.revision or branch, (found.endpoint or endpoint).rstrip("/"))
    return Options("get", source, (found.folder,), (), found.deadline, found.connections, found.report)


def _other(found: argparse.Namespace) -> Options:
    folders = tuple(getattr(found, "folder", ()))
    make = tuple(getattr(found, "make", ()))
    return Options(found.command, Source(Kind.URL, ""), folders, make, 0.0, 0, TERMINATION_LOG)


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a positive number of seconds")
    return value


def _connections(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 32:  # noqa: PLR2004  # said in the help
        raise argparse.ArgumentTypeError(f"{text!r}: expected 1 to 32")
    return value

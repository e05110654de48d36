"""Command line of the download."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from autoglm_fetch.logs import setup_logging
from autoglm_fetch.options import TOKEN_VARIABLE, Options, parse
from autoglm_fetch.reasons import EXIT_TRANSIENT, FetchError

_logger = logging.getLogger(__name__)
#: What the kubelet keeps of a container's last word.
_REPORT_BYTES: Final = 4096
_MESSAGE_CHARACTERS: Final = 600


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit status."""
    options = parse(arguments)
    setup_logging()
    if options.command == "get":
        return _get(options)
    stop = threading.Event()
    _on_signal(stop.set)
    if options.command == "idle":
        stop.wait()
        return 0
    return _wait(options, stop)


def _wait(options: Options, stop: threading.Event) -> int:
    from autoglm_fetch.waiting import wait_for  # noqa: PLC0415  # `idle` runs on every node and needs none of it

    try:
        return 0 if wait_for(options.folders, options.make, stop) else EXIT_TRANSIENT
    except FetchError as error:
        _logger.error("cannot wait", extra={"reason": error.reason.value, "error": str(error)})  # noqa: TRY400
        return error.exit_code


def _get(options: Options) -> int:
    from autoglm_fetch.model import Outcome, fetch  # noqa: PLC0415  # as above
    from autoglm_fetch.pace import Pace  # noqa: PLC0415
    from autoglm_fetch.web import Web  # noqa: PLC0415

    # Each request would be a line of its own, with the signed address of a download in it.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    pace = Pace(options.deadline)
    _on_signal(pace.stop)
    try:
        with Web(os.environ.get(TOKEN_VARIABLE) or None, pace, options.connections) as web:
            outcome = fetch(options.source, options.folders[0], web, options.connections)
        status = 0
    except FetchError as error:
        outcome = Outcome(error.reason, str(error)[:_MESSAGE_CHARACTERS], seconds=pace.elapsed)
        status = error.exit_code
    report = outcome.document()
    _logger.log(logging.ERROR if status else logging.INFO, "done", extra={"outcome": report})
    _leave(report, options.report)
    return status


def _leave(report: dict[str, Any], path: Path) -> None:
    """Write the last word; what counts more, the files and the exit status, does not depend on it."""
    from autoglm_fetch.model import compact  # noqa: PLC0415  # as above

    body = compact(report)
    if len(body) > _REPORT_BYTES:
        body = compact({**report, "config": None})
    try:
        path.write_bytes(body)
    except OSError as error:
        _logger.error("the outcome cannot be left", extra={"path": str(path), "error": str(error)})  # noqa: TRY400


def _on_signal(act: Callable[[], None]) -> None:
    # Process 1 of a container has no default action: without a handler it would be killed after the grace period.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: act())


if __name__ == "__main__":
    sys.exit(main())

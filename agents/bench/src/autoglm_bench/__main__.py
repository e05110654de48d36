"""Command line of the load generator."""

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Final

from autoglm_bench import in_job
from autoglm_bench import options as flags
from autoglm_bench.compare.verdict import Comparison, compare
from autoglm_bench.files import FileError, check_writable, read_result, write
from autoglm_bench.jobs import job
from autoglm_bench.places import DEFAULT_REGION, Place, place
from autoglm_bench.progress import shower
from autoglm_bench.report.html import html
from autoglm_bench.report.markdown import CHANGE_HEAD, change_cells, comparison_markdown, markdown
from autoglm_bench.report.table import columns, table
from autoglm_bench.run import Job, Stopped, run
from autoglm_bench.wire.reading import problem
from autoglm_bench.wire.s3 import Server
from autoglm_bench.wire.tracing import TracingError

_FAILED: Final = 1
_USAGE: Final = 2
#: What a shell expects of a program that a signal ended is this and the signal's number.
_SIGNALLED: Final = 128


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the arguments say; return the exit status.

    0: done; 1: no request succeeded, the target cannot be asked, a file cannot be written, or `compare --fail-on`;
    2: wrong arguments; 130 or 143: stopped by SIGINT or SIGTERM, with a partial result.
    """
    parser = flags.parser()
    options = parser.parse_args(arguments)
    try:
        return _COMMANDS[options.command](options)
    except FileError as error:
        return _say(str(error), _FAILED)
    except ValueError as error:
        return _say(str(error), _USAGE)


def _run(options: argparse.Namespace) -> int:
    flags.check(options)
    if options.save:
        check_writable(options.save)
    wanted = job(options, os.environ)
    reports = _place("--report-dir", options, options.report_dir)
    earlier = _place("--baseline", options, options.baseline)
    baseline = in_job.read_baseline(options.baseline, earlier) if earlier else None
    stopped = Stopped()
    try:
        found = asyncio.run(_load(wanted, stopped, options.progress))
    except asyncio.CancelledError:
        return _say(f"{stopped.reason} before the load began", _SIGNALLED + stopped.number)
    except TracingError as error:
        return _say(str(error), _FAILED)
    if isinstance(found, str):
        return _say(found, _FAILED)
    text = json.dumps(found)
    status = _status(found, stopped)
    sys.stdout.write(_FORMS[options.output](found) if options.output != "json" else text + "\n")
    if options.save:
        try:
            write(options.save, text + "\n")
        except FileError as error:
            # The result of a long run is not lost with the disk.
            if options.output != "json":
                sys.stdout.write(text + "\n")
            return _say(f"--save {error}; the result is on the standard output", status or _FAILED)
    return _leave(options.last_word, found, compare(baseline, found) if baseline else None, reports) or status


def _place(flag: str, options: argparse.Namespace, text: str | None) -> Place | None:
    server = Server(options.s3_endpoint or "", options.s3_region or DEFAULT_REGION)
    return place(flag, text, server, os.environ) if text else None


def _leave(word: Path | None, found: Mapping[str, Any], comparison: Comparison | None, reports: Place | None) -> int:
    """Leave what a Job leaves; the last word comes first, because the reports may take longer than there is time."""
    say = partial(_last_word, word, found, comparison)
    if reports is None:
        return say(None)
    if status := say("the run was ended before its report was written"):
        return status
    unwritten = ""
    try:
        in_job.write_reports(reports, found, comparison)
    except FileError as error:
        unwritten = str(error)
    status = say(unwritten)
    return _say(f"--report-dir {unwritten}", _FAILED) if unwritten else status


def _last_word(
    word: Path | None, found: Mapping[str, Any], comparison: Comparison | None, unwritten: str | None
) -> int:
    if word is None:
        return 0
    try:
        # Not by way of another file: the kubelet mounted this one.
        word.write_text(in_job.last_word(found, comparison, unwritten), encoding="utf-8")
    except OSError as error:
        return _say(f"--last-word {word}: {error.strerror or error}", _FAILED)
    return 0


async def _load(wanted: Job, stopped: Stopped, form: str) -> dict[str, Any] | str:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def stop(number: signal.Signals) -> None:
        # A second signal ends the program as it would any other.
        for each in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(each)
        stopped.reason, stopped.number = f"stopped by {number.name}", number.value
        if task:
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
    if wrong := await problem(wanted.target):
        return wrong
    show, seconds, clear = shower(sys.stderr, form)
    try:
        return await run(wanted, stopped, show, seconds)
    finally:
        clear()


def _status(found: Mapping[str, Any], stopped: Stopped) -> int:
    if found["partial"]:
        return _SIGNALLED + stopped.number
    if not found["succeeded"]:
        details = [text for texts in found["failureDetails"].values() for text in texts]
        reason = f"; the first: {details[0]}. Look at the engine's log" if details else ""
        return _say(f"none of {found['requests']} requests to {found['target']['url']} succeeded{reason}", _FAILED)
    return 0


def _compare(options: argparse.Namespace) -> int:
    found = compare(read_result(options.a), read_result(options.b))
    if options.output == "json":
        shown = {"verdict": found.sentence, "worse": found.worse, "warnings": list(found.warnings)}
        sys.stdout.write(json.dumps(shown | {"changes": [asdict(change) for change in found.changes]}) + "\n")
    else:
        sys.stdout.write(comparison_markdown(found) if options.output == "markdown" else _comparison(found))
    differs = any(change.seen for change in found.changes)
    return int({"never": False, "worse": found.worse, "difference": differs}[options.fail_on])


def _comparison(found: Comparison) -> str:
    head = tuple(word.upper() for word in CHANGE_HEAD)
    rows = [head, *(change_cells(change) for change in found.changes)]
    return "\n".join([*columns(rows), "", found.sentence, *(f"warning: {text}" for text in found.warnings)]) + "\n"


def _report(options: argparse.Namespace) -> int:
    text = _FORMS[options.output](read_result(options.run))
    target: Path | None = options.save or (options.run.with_suffix(".html") if options.output == "html" else None)
    if target is None:
        sys.stdout.write(text)
        return 0
    if target == options.run:
        raise FileError(f"--save {target} is the result itself; expected another file")
    write(target, text)
    sys.stdout.write(f"{target}\n")
    return 0


def _say(text: str, status: int) -> int:
    sys.stderr.write(f"autoglm-bench: {text}\n")
    return status


_FORMS: Final = {"table": table, "markdown": markdown, "html": html}
_COMMANDS: Final = {"run": _run, "compare": _compare, "report": _report}

if __name__ == "__main__":
    sys.exit(main())

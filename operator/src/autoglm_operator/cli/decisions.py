"""The last scaling decisions, as a table and one by one."""

import textwrap
from collections.abc import Sequence
from typing import Final

from autoglm_operator.decide.scaling.history import MOST, Inputs, Record
from autoglm_operator.decide.scaling.needs import milliseconds, plural, requests

#: Columns of a screen.
WIDTH: Final = 100
_INDENT: Final = "       "
_NONE: Final = "  None is kept yet: they are written within seconds after replicas change, and two minutes at rest."


class NoDecisionError(Exception):
    """There is no such decision, or more than one."""


def table(records: Sequence[Record], count: int) -> list[str]:
    """Return the lines of the last `count` decisions, the newest first; each with its sentence below."""
    if not records:
        return [_NONE]
    lines = [f"  {'#':<5}{'TIME (UTC)':<22}{'REPLICAS':<12}{'REASON':<23}MADE AGAIN"]
    for place, record in enumerate(reversed(records[-count:]), start=1):
        change = f"{record.from_} → {record.to}" if record.from_ != record.to else f"{record.to}"
        again = f"{_times(record.repeated)}, last at {_clock(record)}" if record.repeated else ""
        row = f"  {place:<5}{_day(record.time):<22}{change:<12}{record.reason:<23}{again}"
        lines += [row.rstrip(), *_wrapped(record.sentence, _INDENT)]
    return lines


def choose(records: Sequence[Record], which: str) -> Record:
    """Return the decision that `which` names: its number in the table, or the beginning of its time.

    Raises:
        NoDecisionError: there is none, or more than one.
    """
    place = which.removeprefix("#")
    if place.isdecimal() and len(place) <= len(str(MOST)):
        number = int(place)
        if not 1 <= number <= len(records):
            raise NoDecisionError(f"--decision {which}: {len(records)} are kept, from 1, the newest")
        return records[-number]
    wanted = which.replace(" ", "T")
    found = [record for record in records if record.time.startswith(wanted)]
    if not found:
        span = f"from {records[0].time} to {records[-1].time}" if records else "none at all"
        raise NoDecisionError(f"--decision {which}: no decision begins with that time; kept are {span}")
    if len(found) > 1:
        raise NoDecisionError(f"--decision {which}: {len(found)} decisions begin with that time: write more of it")
    return found[0]


def details(record: Record) -> list[str]:
    """Return the lines of one decision with everything it was made of."""
    lines = [f"Decision of {record.time}", *_wrapped(f"{record.sentence}.", "  ")]
    again = f"; made again {_times(record.repeated)}, last at {record.last}" if record.repeated else ""
    lines.append(f"  Reason {record.reason}{again}.")
    lines += ["", "Asked for"]
    lines += [f"  {row.replicas:8.2f} {plural('replica', row.replicas)} by {row.cause}" for row in record.candidates]
    lines += [] if record.candidates else ["  Nothing that was weighed."]
    lines += ["", "Made of", *inputs(record.inputs)]
    if record.traceparent:
        lines += ["", f"Trace {record.traceparent.split('-')[1]}"]
    return lines


def inputs(seen: Inputs) -> list[str]:
    """Return what a decision was made of, in sentences."""
    said = [
        f"{seen.ordered} ordered, {seen.ready} ready, {seen.starting} starting, {seen.unschedulable} without a node",
        f"{requests(seen.waiting, 'wait')} and {seen.running:.0f} run",
        f"P99 TTFT {_latency(seen.ttft_p99)}, P99 ITL {_latency(seen.itl_p99)}",
        *([forecast] if (forecast := expectation(seen)) else []),
        f"between {seen.least} and {seen.most}: {seen.bounds}",
    ]
    return [row for clause in said for row in _wrapped(f"{clause[0].upper()}{clause[1:]}.", "  ")]


def expectation(seen: Inputs) -> str:
    """Return the forecast as a clause; empty if there was none."""
    if seen.demand is None or seen.capacity is None or seen.lead is None:
        return ""
    later = "" if seen.expected is None else f", {seen.expected:.1f} are expected in {seen.lead:.0f} s"
    most = "" if seen.upper is None else f", {seen.upper:.1f} with the reserve"
    return f"{seen.demand:.1f} requests/s arrive{later}{most}; one replica carries {seen.capacity:.2f}"


def _times(count: int) -> str:
    """Return `once`, or `12 times`."""
    return "once" if count == 1 else f"{count} times"


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent)


def _day(time: str) -> str:
    return time.replace("T", " ").removesuffix("Z")


def _clock(record: Record) -> str:
    """Return when it was last made: the time alone on the same day."""
    same = record.last[:10] == record.time[:10]
    return _day(record.last)[11:] if same else _day(record.last)


def _latency(value: float | None) -> str:
    return "unknown" if value is None else milliseconds(value)

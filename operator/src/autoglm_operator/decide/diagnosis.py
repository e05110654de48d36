"""What an engine's last words tell: the table of failures applied to the end of a log."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from autoglm_operator.decide.reasons import Reason
from autoglm_operator.decide.signatures import SIGNATURES, Outlook, Signature

#: Of a longer line the rest is not looked at: a log is whatever a container cares to write, and no line may keep the
#: operator busy.
_LONGEST_LINE: Final = 2000
_LOGS_REMEMBERED: Final = 64

_ANSI: Final = re.compile(r"\x1b\[[0-9;]*m")
_PROCESS: Final = re.compile(r"^\([^()]*pid=\d+[^()]*\) ?")
_QUIET: Final = re.compile(r"^(?:DEBUG|INFO|WARNING)\b")
_LOUD: Final = re.compile(r"^(?:ERROR|CRITICAL) \d\d-\d\d \d\d:\d\d:\d\d \[[^\]]*\] ?")
_SGLANG: Final = re.compile(r"^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[^\]]*\] ")


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What a log says of the failure that it ends with."""

    reason: Reason
    outlook: Outlook
    what: str
    cure: str


def diagnose(log: str, named: Mapping[str, str]) -> Diagnosis | None:
    """Return what the end of a log tells; `None` if it is not known.

    Args:
        log: cut anywhere; lines of level INFO and WARNING do not count, since an engine that goes on writes them too.
        named: what sentences name, as `about` gives it.
    """
    match = _first(log)
    if match is None:
        return None
    signature, groups = match
    words = {**named, **{key: _readable(value) for key, value in groups.items()}}
    what, cure = signature.what.format_map(words), signature.cure.format_map(words)
    return Diagnosis(signature.reason, signature.outlook, what, cure)


@lru_cache(maxsize=_LOGS_REMEMBERED)
def _first(log: str) -> tuple[Signature, Mapping[str, str]] | None:
    """Return the first signature of the table that the log bears, with its groups.

    Remembered, since a pod that keeps failing is judged at each reconcile.
    """
    text = "\n".join(telling_lines(log))
    for signature in SIGNATURES:
        if found := signature.pattern.search(text):
            return signature, found.groupdict("?")
    return None


def tells(log: str) -> bool:
    """Whether the end of a log tells why the engine exited."""
    return _first(log) is not None


def telling_lines(log: str) -> list[str]:
    """Return the lines of a log without prefixes, and without those that an engine writes while it works."""
    cut = (line[:_LONGEST_LINE] for line in log.splitlines())
    lines = (_PROCESS.sub("", _PROCESS.sub("", _ANSI.sub("", line))) for line in cut)
    return [_SGLANG.sub("", _LOUD.sub("", line)).rstrip() for line in lines if line.strip() and not _QUIET.match(line)]


def _readable(value: str) -> str:
    """Return a figure with its thousands set apart."""
    return f"{int(value):,}" if value.isdecimal() else value.strip()

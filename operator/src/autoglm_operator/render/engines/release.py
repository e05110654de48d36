"""What each release of an engine takes on its command line: the flag tables, indexed.

The tables are written by `scripts/engine_flags.py` from the argument parsers of the released wheels.
"""

import json
import re
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final

from autoglm_operator.api.v1alpha1 import EngineType
from autoglm_operator.decide.reasons import Reason
from autoglm_operator.errors import Terminal

_TABLES: Final[Mapping[EngineType, str]] = {
    EngineType.VLLM: "vllm_flags.json",
    EngineType.SGLANG: "sglang_flags.json",
}
_VERSION: Final = re.compile(r"^(?P<numbers>[0-9]+(\.[0-9]+)*)\.?((?P<kind>rc|post)(?P<number>[0-9]+))?$")
#: 0.5.6rc1 < 0.5.6 < 0.5.6.post1
_ORDER: Final = {"rc": -1, None: 0, "post": 1}
VersionKey = tuple[tuple[int, ...], int, int]


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag of one release.

    Attributes:
        name: its first long spelling.
        spellings: all of them, `--no-x` included.
        kind: `none`, `one`, `many` or `optional` values.
        choices: the values it takes; empty if they are not fixed.
        form: what a value must look like: `int`, `float`, `amount` (with a unit), `json` or `list`; `None` is any text.
        repeatable: whether it may be given more than once.
    """

    name: str
    spellings: tuple[str, ...]
    kind: str
    choices: tuple[str, ...]
    form: str | None
    repeatable: bool

    @property
    def negation(self) -> str | None:
        """Return the spelling that switches it off, if it has one."""
        known = (f"--no-{self.name[2:]}", self.name.replace("--enable-", "--disable-", 1))
        return next((word for word in known if word in self.spellings and word != self.name), None)


@dataclass(frozen=True, slots=True)
class Release:
    """An engine version and the flags it has.

    Attributes:
        engine: which engine.
        version: the version asked for, such as `0.27.1`.
        table: the release whose flags are used, such as `0.27.0`.
        flags: by every spelling.
    """

    engine: EngineType
    version: str
    table: str
    flags: Mapping[str, Flag]

    def __str__(self) -> str:
        return f"{self.engine} {self.version}"

    @property
    def key(self) -> VersionKey:
        """Return what releases are compared by."""
        return version_key(self.table)

    def since(self, version: str) -> bool:
        """Whether this release is at least `version`."""
        return self.key >= version_key(version)


@dataclass(frozen=True, slots=True)
class _Table:
    releases: tuple[str, ...]
    keys: tuple[VersionKey, ...]
    spans: Mapping[str, list[dict[str, Any]]]


def resolve(engine: EngineType, version: str) -> Release:
    """Return the release that `version` has the flags of: itself, or the last one before it in the table.

    A version newer than the table's last has that one's flags; `note` says so. An empty one is taken for the newest.

    Raises:
        Terminal: the version is older than the first whose flags are known.
    """
    table = _table(engine)
    version = version or table.releases[-1]
    position = bisect_right(table.keys, version_key(version))
    if not position:
        raise Terminal(
            Reason.UNSUPPORTED_BY_ENGINE,
            f"spec.engine.version: {engine} {version} is older than the first release that is supported; "
            f"use one from {table.releases[0]} to {table.releases[-1]}",
        )
    name = table.releases[position - 1]
    return Release(engine, version, name, _flags(engine, name))


def newest(engine: EngineType) -> str:
    """Return the newest release whose flags are known."""
    return _table(engine).releases[-1]


def releases(engine: EngineType) -> tuple[str, ...]:
    """Return the releases whose flags are known, oldest first."""
    return _table(engine).releases


def note(engine: EngineType, version: str) -> str | None:
    """Return what a user should know about the flags of `version`; `None` if they are known."""
    if engine not in _TABLES or not version or version_key(version) <= version_key(newest(engine)):
        return None
    return (
        f"{engine} {version} is newer than the newest release whose flags were checked, {newest(engine)}: its flags "
        "are used, and one that was removed since would keep the engine from starting"
    )


def releases_with(engine: EngineType, name: str, choice: str | None = None) -> tuple[str, ...]:
    """Return the releases that have the flag, with that choice if one is given, oldest first."""
    found = ((version, _flags(engine, version).get(name)) for version in releases(engine))
    return tuple(
        version
        for version, flag in found
        if flag is not None and (choice is None or not flag.choices or choice in flag.choices)
    )


def version_key(version: str) -> VersionKey:
    """Return what versions are compared by.

    Raises:
        ValueError: it is no version, such as `0.5.6`, `0.5.6.post1` or `0.33.0rc1`.
    """
    found = _VERSION.match(version)
    if found is None:
        raise ValueError(f"version {version!r}: expected numbers with dots, such as 0.33.0 or 0.5.6.post1")
    numbers = tuple(int(part) for part in found["numbers"].split("."))
    return numbers + (0,) * (3 - len(numbers)), _ORDER[found["kind"]], int(found["number"] or 0)


@lru_cache
def _table(engine: EngineType) -> _Table:
    content = json.loads(files(__package__).joinpath(_TABLES[engine]).read_text())
    names = tuple(content["releases"])
    return _Table(names, tuple(version_key(name) for name in names), content["flags"])


@lru_cache(maxsize=64)
def _flags(engine: EngineType, release: str) -> Mapping[str, Flag]:
    table = _table(engine)
    wanted = table.releases.index(release)
    found: dict[str, Flag] = {}
    for name, history in table.spans.items():
        for span in history:
            first = table.releases.index(span["from"])
            last = table.releases.index(span["until"]) if "until" in span else len(table.releases) - 1
            if first <= wanted <= last:
                flag = _flag(name, span)
                found |= dict.fromkeys(flag.spellings, flag)
    return found


def _flag(name: str, span: Mapping[str, Any]) -> Flag:
    return Flag(
        name=name,
        spellings=(name, *span.get("aliases", ())),
        kind=span["kind"],
        choices=tuple(span.get("choices", ())),
        form=span.get("form"),
        repeatable=span.get("repeatable", False),
    )

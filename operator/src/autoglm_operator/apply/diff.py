"""Where a live object differs from what is wanted of it: pure."""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

#: Maps that mean something only as a whole: one more label in a selector selects other pods.
_ATOMIC: Final = frozenset({"selector", "matchLabels", "nodeSelector"})


class Difference(NamedTuple):
    """One value that is not the wanted one.

    Attributes:
        path: of the value, such as `spec.ports[name=http].port`.
        found: what is there instead, in Python's notation.
    """

    path: str
    found: str


def differences(wanted: Any, live: Any, path: str = "") -> Iterator[Difference]:
    """Yield each value that `wanted` names and `live` does not have.

    Fields that only `live` has belong to somebody else: defaults, other managers, admission. Selectors are whole.
    Lists of objects with a `uid`, `mountPath` or `name` are matched by it, others by position and length.
    """
    if isinstance(wanted, dict):
        if not isinstance(live, dict):
            yield Difference(path, repr(live))
            return
        for key, value in wanted.items():
            where = f"{path}.{key}" if path else key
            if key in _ATOMIC and value != live.get(key):
                yield Difference(where, repr(live.get(key)))
            else:
                yield from differences(value, live.get(key), where)
    elif isinstance(wanted, list):
        yield from _list_differences(wanted, live, path)
    elif wanted != live:
        yield Difference(path, repr(live))


def _list_differences(wanted: list[Any], live: Any, path: str) -> Iterator[Difference]:
    if not isinstance(live, list):
        if wanted:
            yield Difference(path, repr(live))
        return
    key = _merge_key(wanted)
    if key is not None:
        by_key = {item.get(key): item for item in live if isinstance(item, dict)}
        for item in wanted:
            yield from differences(item, by_key.get(item[key]), f"{path}[{key}={item[key]}]")
    elif len(wanted) != len(live):
        yield Difference(path, repr(live))
    else:
        for index, (one, other) in enumerate(zip(wanted, live, strict=True)):
            yield from differences(one, other, f"{path}[{index}]")


def _merge_key(items: list[Any]) -> str | None:
    # Several mounts may show one volume: those are told apart by where they are.
    for key in ("uid", "mountPath", "name"):
        if items and all(isinstance(item, dict) and key in item for item in items):
            return key
    return None

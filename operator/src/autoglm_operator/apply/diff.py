"""Where a live object differs from what is wanted of it: pure."""

from collections.abc import Iterator
from typing import Any


def differences(wanted: Any, live: Any, path: str = "") -> Iterator[str]:
    """Yield the path of each value that `wanted` names and `live` does not have.

    Fields that only `live` has belong to somebody else: defaults, other managers, admission.
    Lists of objects with a `name` (or `type`) are matched by it, others by position and length.
    """
    if isinstance(wanted, dict):
        for key, value in wanted.items():
            found = live.get(key) if isinstance(live, dict) else None
            yield from differences(value, found, f"{path}.{key}" if path else key)
    elif isinstance(wanted, list):
        yield from _list_differences(wanted, live, path)
    elif wanted != live:
        yield path


def _list_differences(wanted: list[Any], live: Any, path: str) -> Iterator[str]:
    if not isinstance(live, list):
        if wanted:
            yield path
        return
    key = _merge_key(wanted)
    if key is None:
        if len(wanted) != len(live):
            yield path
            return
        for index, (one, other) in enumerate(zip(wanted, live, strict=True)):
            yield from differences(one, other, f"{path}[{index}]")
        return
    by_key = {item.get(key): item for item in live if isinstance(item, dict)}
    for item in wanted:
        yield from differences(item, by_key.get(item[key]), f"{path}[{key}={item[key]}]")


def _merge_key(items: list[Any]) -> str | None:
    for key in ("name", "uid"):
        if items and all(isinstance(item, dict) and key in item for item in items):
            return key
    return None

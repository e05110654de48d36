"""The memory of the forecast models as JSON, within the law's."""

from typing import Any, Final

from autoglm_operator.decide.law.forecast import KEPT, NAMES, Models
from autoglm_operator.decide.law.numbers import is_number, short

_NUMBERS: Final = ("open_sum", "open_seconds", "slow", "since", "moves", "squares")
_SIGNED: Final = ("slow", "moves")
_LISTS: Final = ("offsets", "errors", "losses", "rivals", "recent", "recent_rivals", "scores")
_DIGITS: Final = 4
"""Of each number: a week of bins is some 12 kB."""


def dump_models(models: Models) -> dict[str, Any]:
    """Return what is worth keeping; forecasts that are due within a lead are left out."""
    found: dict[str, Any] = {name: short(getattr(models, name), _DIGITS) for name in _NUMBERS}
    found |= {name: [short(value, _DIGITS) for value in getattr(models, name)] for name in ("bins", *_LISTS)}
    return found | {"chosen": models.chosen}


def load_models(stored: object) -> Models:
    """Return the models that were stored; fresh ones if they are not whole."""
    fresh = Models()
    if not isinstance(stored, dict) or not _whole(stored):
        return fresh
    for name in _NUMBERS:
        setattr(fresh, name, float(stored[name]))
    for name in ("bins", *_LISTS):
        setattr(fresh, name, [float(value) for value in stored[name]])
    fresh.chosen = int(stored["chosen"])
    return fresh


def _whole(stored: dict[str, Any]) -> bool:
    numbers = all(is_number(stored.get(name), signed=name in _SIGNED) for name in _NUMBERS)
    lists = all(_list(stored.get(name), len(NAMES), len(NAMES)) for name in _LISTS)
    return numbers and lists and _list(stored.get("bins"), 0, KEPT) and stored.get("chosen") in range(len(NAMES))


def _list(values: object, least: int, most: int) -> bool:
    return (
        isinstance(values, list)
        and least <= len(values) <= most
        and all(is_number(value, signed=False) for value in values)
    )

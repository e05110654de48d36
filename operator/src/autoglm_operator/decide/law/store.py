"""The law's memory as JSON, for a ConfigMap: a restart goes on where it was."""

import math
from dataclasses import replace
from typing import Any, Final

from autoglm_operator.decide.law.capacity import Capacity, Speed
from autoglm_operator.decide.law.law import State
from autoglm_operator.decide.law.period import Periods

_STATE: Final = ("price", "band", "direction")
_DEMAND: Final = ("level", "fast", "day", "age", "dispersion", "drift", "seen")
_CAPACITY: Final = ("input_tokens", "output_tokens", "samples")
_SPEED: Final = ("decode_base", "decode_per_sequence", "prefill_per_token")
_PERIODS: Final = ("period", "open_sum", "open_seconds")
_LISTS: Final = ("bins", "charges", "weights", "persistence")
_WHOLE: Final = ("direction", "samples", "period")
_DIGITS: Final = 5


def dump(state: State) -> dict[str, Any]:
    """Return what is worth keeping: numbers and lists of numbers. What is over within a lead is left out."""
    found = {name: float(getattr(state, name)) for name in _STATE}
    found |= {name: float(getattr(state.demand, name)) for name in _DEMAND}
    found |= {name: float(getattr(state.capacity, name)) for name in _CAPACITY}
    found |= {name: float(getattr(state.capacity.speed, name)) for name in _SPEED}
    found |= {name: float(getattr(state.demand.periods, name)) for name in _PERIODS}
    lists = {"evidence": state.capacity.evidence}
    lists |= {name: getattr(state.demand.periods, name) for name in _LISTS}
    return found | {name: [_short(value) for value in values] for name, values in lists.items()}


def load(prior: Speed, stored: dict[str, Any]) -> State:
    """Return the state that was stored; a fresh one if it is not whole.

    Args:
        prior: The profile of model and GPU.
        stored: What `dump` returned, through JSON.
    """
    fresh = State(Capacity(replace(prior), prior))
    if not _whole(stored, fresh):
        return fresh
    for target, names in (
        (fresh, _STATE),
        (fresh.demand, _DEMAND),
        (fresh.capacity, _CAPACITY),
        (fresh.capacity.speed, _SPEED),
        (fresh.demand.periods, _PERIODS),
    ):
        for name in names:
            setattr(target, name, int(stored[name]) if name in _WHOLE else float(stored[name]))
    fresh.capacity.mixed = fresh.capacity.samples > 0 or fresh.demand.level > 0
    fresh.capacity.evidence = [float(value) for value in stored["evidence"]]
    for name in _LISTS:
        setattr(fresh.demand.periods, name, [float(value) for value in stored[name]])
    return fresh


def _short(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _whole(stored: dict[str, Any], fresh: State) -> bool:
    names = (*_STATE, *_DEMAND, *_CAPACITY, *_SPEED, *_PERIODS)
    lengths = {"evidence": len(fresh.capacity.evidence)}
    lengths |= {name: len(getattr(Periods(), name)) for name in _LISTS if name != "bins"}
    return all(_number(stored.get(name)) for name in names) and all(
        isinstance(stored.get(name), list)
        and all(map(_number, stored[name]))
        and len(stored[name]) == lengths.get(name, len(stored[name]))
        for name in ("evidence", *_LISTS)
    )

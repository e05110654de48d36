"""The law's memory as JSON, for a ConfigMap: a restart goes on where it was."""

import math
from collections.abc import Sequence
from typing import Any, Final

from autoglm_operator.decide.law.capacity import Capacity, Speed
from autoglm_operator.decide.law.forecast_store import dump_models, load_models
from autoglm_operator.decide.law.law import State
from autoglm_operator.decide.law.numbers import is_number, short
from autoglm_operator.decide.law.period import LONGEST, SHORTEST, Periods

_STATE: Final = ("price", "band", "direction")
_DEMAND: Final = ("level", "fast", "day", "age", "dispersion", "drift", "seen")
_CAPACITY: Final = ("input_tokens", "output_tokens", "samples")
_SPEED: Final = ("decode_base", "decode_per_sequence", "prefill_per_token")
_PERIODS: Final = ("period", "open_sum", "open_seconds")
_LISTS: Final = ("bins", "charges", "weights", "persistence")
_WHOLE: Final = ("direction", "samples", "period")
_DIGITS: Final = 5
#: May be below nothing; whatever else is, was not written by us.
_SIGNED: Final = ("price", "band", "direction", "level", "seen")
#: Difference between two priors, relative, from which one is another model or GPU.
_OTHER: Final = 1e-3


def dump(state: State) -> dict[str, Any]:
    """Return what is worth keeping, as numbers and lists of numbers. What is over within a lead is left out."""
    found: dict[str, Any] = {name: float(getattr(state, name)) for name in _STATE}
    found |= {name: float(getattr(state.demand, name)) for name in _DEMAND}
    found |= {name: float(getattr(state.capacity, name)) for name in _CAPACITY}
    found |= {name: float(getattr(state.capacity.speed, name)) for name in _SPEED}
    found |= {name: float(getattr(state.demand.periods, name)) for name in _PERIODS}
    found["guessed"] = float(state.capacity.guessed)
    found["models"] = dump_models(state.demand.models)
    lists = {"evidence": state.capacity.evidence, "prior": times(state.capacity.prior)}
    lists |= {name: getattr(state.demand.periods, name) for name in _LISTS}
    return found | {name: [short(value, _DIGITS) for value in values] for name, values in lists.items()}


def load(begun: Capacity, stored: dict[str, Any]) -> State:
    """Return the state that was stored; a fresh one if it is not whole.

    Args:
        begun: What is believed of a replica that nobody has seen. What was learned of one with another model or GPU is
            left out; where neither is known, whatever was learned counts.
        stored: What `dump` returned, through JSON.
    """
    fresh = State(begun)
    if not _whole(stored, fresh):
        return fresh
    for target, names in (
        (fresh, _STATE),
        (fresh.demand, _DEMAND),
        (begun, ("input_tokens", "output_tokens")),
        (fresh.demand.periods, _PERIODS),
    ):
        for name in names:
            setattr(target, name, int(stored[name]) if name in _WHOLE else float(stored[name]))
    fresh.demand.models = load_models(stored.get("models"))
    begun.mixed = stored["samples"] > 0 or fresh.demand.level > 0
    for name in _LISTS:
        setattr(fresh.demand.periods, name, [float(value) for value in stored[name]])
    if begun.guessed or (not stored["guessed"] and same(times(begun.prior), stored["prior"])):
        begun.samples = int(stored["samples"])
        begun.evidence = [float(value) for value in stored["evidence"]]
        for name, value in zip(_SPEED, stored["prior"], strict=True):
            setattr(begun.prior, name, float(value))
            setattr(begun.speed, name, float(stored[name]))
    return fresh


def same(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether two priors are of the same model and GPU, as far as can be told from them."""
    return all(math.isclose(a, b, rel_tol=_OTHER) for a, b in zip(one, other, strict=True))


def times(speed: Speed) -> list[float]:
    """Return what of a speed is learned: seconds."""
    return [float(getattr(speed, name)) for name in _SPEED]


def _whole(stored: dict[str, Any], fresh: State) -> bool:
    """Whether all is there, and as it can be: somebody may have written into the ConfigMap."""
    names = (*_STATE, *_DEMAND, *_CAPACITY, *_SPEED, *_PERIODS, "guessed")
    lengths = {"evidence": len(fresh.capacity.evidence), "prior": len(_SPEED)}
    lengths |= {name: len(getattr(Periods(), name)) for name in _LISTS if name != "bins"}
    if not all(is_number(stored.get(name), signed=name in _SIGNED) for name in names):
        return False
    lists = {name: stored.get(name) for name in ("evidence", "prior", *_LISTS)}
    if not all(_numbers(values, lengths.get(name)) for name, values in lists.items()):
        return False
    speeds = (*stored["prior"], *(stored[name] for name in _SPEED))
    return all(value > 0 for value in speeds) and int(stored["period"]) in {0, *range(SHORTEST, LONGEST + 1)}


def _numbers(values: object, length: int | None) -> bool:
    """Whether it is a list of numbers of at least 0, of that length if one is given."""
    return (
        isinstance(values, list)
        and length in {None, len(values)}
        and all(is_number(value, signed=False) for value in values)
    )

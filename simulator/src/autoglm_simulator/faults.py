"""Faults on request: what `POST /faults` can do to an engine."""

import random
from dataclasses import dataclass, replace
from typing import Any, Final


class InvalidFaultError(ValueError):
    """The body of `POST /faults` asks for something that is no fault."""


@dataclass(frozen=True, slots=True)
class Faults:
    """The faults in force.

    Attributes:
        error_rate: Share of requests that get HTTP 500 (0-1).
        kv_exhaustion: Whether only one request of full length still fits into the KV cache.
        slowdown: Factor on the duration of every iteration, at least 1.
    """

    error_rate: float = 0.0
    kv_exhaustion: bool = False
    slowdown: float = 1.0

    def fails(self, rng: random.Random) -> bool:
        """Return whether the next request gets an error."""
        return rng.random() < self.error_rate


NO_FAULTS: Final = Faults()


def _number(field: str, value: object, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InvalidFaultError(f"{field} is {value!r}, expected a number from {low:g} to {high:g}")
    return float(value)


def change(current: Faults, body: Any) -> tuple[Faults, float]:
    """Return `current` as changed by the fields of `body`, and the seconds to hang.

    Raises:
        InvalidFaultError: `body` is no object, or a field is unknown or out of range.
    """
    if not isinstance(body, dict):
        raise InvalidFaultError('expected a JSON object such as {"hang": 30}')
    hang = 0.0
    for field, value in body.items():
        match field:
            case "hang":
                hang = _number(field, value, 0, 86_400)
            case "errorRate":
                current = replace(current, error_rate=_number(field, value, 0, 1))
            case "slowdown":
                current = replace(current, slowdown=_number(field, value, 1, 1000))
            case "kvExhaustion" if isinstance(value, bool):
                current = replace(current, kv_exhaustion=value)
            case "kvExhaustion":
                raise InvalidFaultError(f"kvExhaustion is {value!r}, expected true or false")
            case _:
                raise InvalidFaultError(f"{field} is no fault: expected hang, errorRate, kvExhaustion or slowdown")
    return current, hang

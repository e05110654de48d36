"""What the user wants of the latencies. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

#: quantity → what it is, in words.
QUANTITIES: Final = {
    "ttft": "time to first token",
    "itl": "inter-token latency",
    "e2e": "time to the end of the answer",
}
PERCENTILES: Final = (50, 90, 95, 99)
_UNITS: Final = {"ms": 0.001, "s": 1.0}
_FORM: Final = re.compile(r"(ttft|itl|e2e)_p(50|90|95|99)=([0-9.]+)(ms|s)")


@dataclass(frozen=True, slots=True)
class Objective:
    """An upper limit of one percentile.

    Attributes:
        quantity: one of `QUANTITIES`.
        percentile: one of `PERCENTILES`.
        seconds: the limit.
    """

    quantity: str
    percentile: int
    seconds: float

    @property
    def name(self) -> str:
        """As it is given on the command line."""
        return f"{self.quantity}_p{self.percentile}"


def parse(text: str) -> Objective:
    """Read `ttft_p99=2s` or `itl_p95=60ms`.

    Raises:
        ValueError: it is neither.
    """
    found = _FORM.fullmatch(text)
    try:
        seconds = float(found[3]) * _UNITS[found[4]] if found else 0.0
    except ValueError:
        seconds = 0.0
    if not found or seconds <= 0:
        raise ValueError(
            f"{text!r} is no objective; expected ttft, itl or e2e, a percentile (50, 90, 95, 99) and a time above 0 "
            "with its unit, such as ttft_p99=2s or itl_p99=60ms"
        )
    return Objective(found[1], int(found[2]), seconds)


def limits(objectives: Iterable[Objective]) -> dict[str, float]:
    """Return for each quantity what a single request has to keep: the limit of its highest percentile."""
    found: dict[str, Objective] = {}
    for objective in objectives:
        known = found.get(objective.quantity)
        if known is None or objective.percentile > known.percentile:
            found[objective.quantity] = objective
    return {quantity: objective.seconds for quantity, objective in found.items()}

"""Lengths of prompts, answers and sessions: fixed or drawn. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

#: kind → what its numbers mean; the text is also the help.
KINDS: Final = {
    "fixed": ("tokens",),
    "uniform": ("least", "most"),
    "normal": ("mean", "standard deviation"),
    "lognormal": ("median", "sigma of the logarithm"),
    "exponential": ("mean",),
}


@dataclass(frozen=True, slots=True)
class Lengths:
    """A distribution of whole numbers.

    Attributes:
        kind: one of `KINDS`.
        numbers: its parameters, as `KINDS` names them.
        least: the smallest length; what is drawn below it is raised to it.
    """

    kind: str
    numbers: tuple[float, ...]
    least: int = 1

    def draw(self, rng: Random) -> int:
        """Return one length."""
        if self.kind == "fixed":
            return int(self.numbers[0])
        if self.kind == "uniform":
            return rng.randint(int(self.numbers[0]), int(self.numbers[1]))
        if self.kind == "normal":
            value = rng.gauss(*self.numbers)
        elif self.kind == "lognormal":
            value = rng.lognormvariate(math.log(self.numbers[0]), self.numbers[1])
        else:
            value = rng.expovariate(1 / self.numbers[0])
        return max(self.least, round(value))

    def __str__(self) -> str:
        numbers = ",".join(f"{number:g}" for number in self.numbers)
        return numbers if self.kind == "fixed" else f"{self.kind}:{numbers}"


def fixed(tokens: int) -> Lengths:
    """Return lengths that are all the same."""
    return Lengths("fixed", (float(tokens),))


def parse(text: str) -> Lengths:
    """Read `512`, `uniform:100,900`, `normal:512,128`, `lognormal:512,0.6` or `exponential:512`.

    Raises:
        ValueError: it is none of these, or a number is impossible.
    """
    kind, colon, rest = text.partition(":")
    if not colon:
        kind, rest = "fixed", text
    if kind not in KINDS:
        raise ValueError(f"{text!r}: {kind!r} is no distribution; expected a number or one of {', '.join(KINDS)}")
    names = KINDS[kind]
    try:
        numbers = tuple(float(part) for part in rest.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != len(names) or not all(math.isfinite(number) for number in numbers):
        form = ",".join(name.upper().replace(" ", "-") for name in names)
        raise ValueError(f"{text!r}: expected {form if kind == 'fixed' else f'{kind}:{form}'}")
    _check(text, kind, numbers)
    return Lengths(kind, numbers)


def _check(text: str, kind: str, numbers: Sequence[float]) -> None:
    if numbers[0] < 1 or (kind in {"fixed", "uniform"} and any(number != int(number) for number in numbers)):
        raise ValueError(f"{text!r}: expected whole numbers, 1 or more")
    if kind == "uniform" and numbers[1] < numbers[0]:
        raise ValueError(f"{text!r}: the most is below the least")
    if kind in {"normal", "lognormal"} and numbers[1] < 0:
        raise ValueError(f"{text!r}: {KINDS[kind][1]} is below 0")

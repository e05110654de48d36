"""Finds the numbers of a speed from what a load generator measured: pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from autoglm_simulator.profiles import Speed

#: By which a P50 may be off.
BAR: Final = 0.15


@dataclass(frozen=True, slots=True)
class Decoding:
    """The usual step of a batch that only decodes: sequences, tokens of context of each, seconds."""

    sequences: float
    context: float
    seconds: float

    @classmethod
    def of(cls, sequences: float, prompt: float, answer: float, seconds: float) -> Self:
        """Return the step of sequences that are half way through their answers, on average."""
        return cls(sequences, prompt + answer / 2, seconds)


@dataclass(frozen=True, slots=True)
class Alone:
    """A request that has the engine to itself: tokens of its prompt, seconds to its first token."""

    prompt: float
    seconds: float


def fit(decoding: Sequence[Decoding], alone: Sequence[Alone]) -> tuple[Speed, float]:
    """Return the speed, and the seconds of a request that are spent outside the engine.

    Least squares of relative errors. A step that computes a short prompt is taken to have the fixed part of one that
    decodes: what a lone request needs beyond that is spent before and after it.
    """
    base, sequence, context = _solve(
        [(1.0, one.sequences, one.sequences * one.context) for one in decoding], [one.seconds for one in decoding]
    )
    fixed, token, attended = _solve(
        [(1.0, one.prompt, one.prompt**2 / 2) for one in alone], [one.seconds for one in alone]
    )
    return Speed(base, sequence, context, base, token, attended), max(0.0, fixed - base)


def _solve(rows: Sequence[Sequence[float]], seconds: Sequence[float]) -> list[float]:
    """Return the coefficients, none below 0: one that would be is left out, and the others found again."""
    matrix, right = np.array(rows) / np.array(seconds)[:, None], np.ones(len(seconds))
    kept = list(range(matrix.shape[1]))
    while True:
        found = np.linalg.lstsq(matrix[:, kept], right, rcond=None)[0]
        if found.min() >= 0:
            values = dict(zip(kept, found, strict=True))
            return [float(values.get(place, 0.0)) for place in range(matrix.shape[1])]
        kept.pop(int(found.argmin()))

"""How many requests come, how they scatter, and how far that moves until a replica ordered now serves."""

import math
from collections import deque
from dataclasses import dataclass, field

from autoglm_operator.decide.law.forecast import Models
from autoglm_operator.decide.law.parameters import DAY, Parameters
from autoglm_operator.decide.law.period import BIN, Periods

_LEAST_RATE = 0.5
"""Requests per second below which scatter is judged as at this rate."""
_MOST_SCATTER = 6.0
"""Of the dispersion believed, what one tick may show at most: an outlier is not a new dispersion."""
_LEAST_DRIFT = 0.0004
_MOST_DRIFT = 0.25
_YOUNG = 3600.0


@dataclass
class Demand:
    """What is remembered of the arrivals.

    Attributes:
        level: Requests per second now; negative before the first tick.
        fast: The same over a shorter time, in which jumps are seen.
        day: The same over a day.
        age: Seconds seen.
        dispersion: Variance over mean of the arrivals of a tick: 1 for a Poisson process.
        drift: Squared relative change of the level over one lead, beyond what chance makes of it.
        seen: Time of the last tick; negative before the first one.
        forecasts: For the time of each tick within a lead, what was expected for one lead later.
        periods: Of traffic that repeats within hours.
        models: Of what the level will be one lead later.
    """

    level: float = -1.0
    fast: float = 0.0
    day: float = 0.0
    age: float = 0.0
    dispersion: float = 1.0
    drift: float = 0.01
    seen: float = -1.0
    forecasts: deque[tuple[float, float]] = field(default_factory=deque)
    periods: Periods = field(default_factory=Periods)
    models: Models = field(default_factory=Models)

    def observe(self, p: Parameters, now: float, rate: float, seconds: float, lead: float) -> None:
        """Take in the arrivals of one tick."""
        if self.level < 0:
            self.level = self.fast = self.day = rate
        self.age += seconds
        self.fast += (rate - self.fast) * min(1.0, seconds / p.fast_seconds)
        self._scatter(p, rate, seconds)
        self.level += (rate - self.level) * min(1.0, seconds / p.level_seconds)
        deviation = math.sqrt(self.dispersion * max(self.level, _LEAST_RATE) / (2 * p.fast_seconds))
        jump = self.fast - self.level
        if jump > p.jump_up * deviation or -jump > p.jump_down * deviation:
            self.level = self.fast
        self.day += (rate - self.day) * seconds / min(DAY, max(self.age, _YOUNG))
        missed = now - self.seen - seconds
        if self.seen >= 0 and missed > BIN / 2:
            self.periods.skip(missed)
            self.models.skip(missed)
        self.seen = now
        self.periods.add(rate, seconds, lead)
        self.models.add(now, rate, self.level, seconds, lead, p.believe)
        self._drift(p, now, seconds, lead)

    def _scatter(self, p: Parameters, rate: float, seconds: float) -> None:
        square = (rate - self.level) ** 2 * seconds / max(self.level, _LEAST_RATE)
        square = min(square, _MOST_SCATTER * self.dispersion)
        gain = min(1.0, seconds / p.dispersion_seconds)
        self.dispersion = max(1.0, self.dispersion + (square - self.dispersion) * gain)

    def _drift(self, p: Parameters, now: float, seconds: float, lead: float) -> None:
        expected = self.models.at(self.models.chosen, self.level, lead)
        expected = max(expected, self.periods.most(lead - BIN, lead))
        self.forecasts.append((now, expected))
        before = -1.0
        while self.forecasts and self.forecasts[0][0] <= now - lead:
            before = self.forecasts.popleft()[1]
        if before > 0:
            chance = self.dispersion / (p.level_seconds * before)
            moved = min(((self.level - before) / before) ** 2 - chance, _MOST_DRIFT)
            gain = min(1.0, seconds / p.drift_seconds)
            self.drift = max(_LEAST_DRIFT, self.drift + (moved - self.drift) * gain)

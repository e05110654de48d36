"""Traffic that repeats every quarter of an hour to four hours: which period, and what it says of the near future.

The rate is kept in bins of a minute. When a bin closes, each period is charged with how far the rate was from what it
had been one period before, give or take one bin; and so is persistence, with the rate of one lead before. A period
is believed while its charge is well below that of persistence, and no longer: traffic without one never has a lag that
beats what is known a lead earlier, so that it is served as if this module were not there.
"""

import math
from dataclasses import dataclass, field

BIN = 60.0
"""Seconds."""
SHORTEST = 15
LONGEST = 250
"""Bounds of the period, in bins."""
_KEPT = 2 * LONGEST + 2
_MEMORY = 0.998
"""Of the charges kept at each bin: about eight hours."""
_BELIEVE = 0.4
_DOUBT = 0.7
"""Charge over that of persistence below which a period is believed, and above which it no longer is."""
_EXACT = 0.1
"""Weight of the middle bin alone: among periods that fit give or take one bin, the one that fits best."""
_LEAST_ERROR = 0.02
"""Squared relative error of persistence below which there is nothing to win."""


@dataclass
class Periods:
    """What is remembered of the rate, and of each period.

    Attributes:
        bins: Mean rate of each closed bin, the newest last.
        charges: Of each period from `SHORTEST` to `LONGEST`.
        weights: Evidence behind each charge, in bins.
        persistence: Charge of persistence, and its evidence.
        period: Bins of the period that is believed; 0 if none is.
        open_sum: Requests in the bin that is open.
        open_seconds: Its length so far.
    """

    bins: list[float] = field(default_factory=list)
    charges: list[float] = field(default_factory=lambda: [0.0] * (LONGEST - SHORTEST + 1))
    weights: list[float] = field(default_factory=lambda: [0.0] * (LONGEST - SHORTEST + 1))
    persistence: list[float] = field(default_factory=lambda: [0.0] * (LONGEST - SHORTEST + 1))
    period: int = 0
    open_sum: float = 0.0
    open_seconds: float = 0.0

    def add(self, rate: float, seconds: float, lead: float) -> None:
        """Take in the rate of one tick."""
        self.open_sum += rate * seconds
        self.open_seconds += seconds
        if self.open_seconds >= BIN:
            self._close(self.open_sum / self.open_seconds, max(1, math.ceil(lead / BIN)))
            self.open_sum = self.open_seconds = 0.0

    def skip(self, seconds: float) -> None:
        """Let time pass in which nothing was seen: the rate was as one period before, or as at last."""
        bins = self.bins
        missed = self.open_seconds + seconds
        if missed > LONGEST * BIN:
            bins.clear()
            self.period = 0
            self.open_sum = self.open_seconds = 0.0
            return
        while missed >= BIN and bins:
            place = len(bins) - self.period
            bins.append(bins[place] if self.period and place >= 0 else bins[-1])
            missed -= BIN
        del bins[:-_KEPT]
        self.open_seconds = missed
        self.open_sum = missed * (bins[-1] if bins else 0.0)

    def _close(self, rate: float, lead: int) -> None:
        bins = self.bins
        bins.append(rate)
        if len(bins) > _KEPT:
            del bins[0]
        last = len(bins) - 1
        if last < lead + 2:
            return
        late = _distance(rate, bins[last - lead - 2], bins[last - lead - 1], bins[last - lead])
        charges, weights, persistence = self.charges, self.weights, self.persistence
        for place in range(min(LONGEST, last - 1) - SHORTEST + 1):
            then = last - SHORTEST - place
            error = _distance(rate, bins[then - 1], bins[then], bins[then + 1])
            charges[place] = _MEMORY * charges[place] + error
            persistence[place] = _MEMORY * persistence[place] + late
            weights[place] = _MEMORY * weights[place] + 1.0
        self._choose(lead)

    def _choose(self, lead: int) -> None:
        """Believe the shortest of the best periods, if any is good enough."""
        best, chosen = math.inf, 0
        level = sum(self.bins) / len(self.bins)
        least = _LEAST_ERROR * level * level
        for place in range(len(self.charges)):
            length = SHORTEST + place
            # A period must have been seen once more after the one that it was learned from.
            if (
                length <= lead
                or self.weights[place] < 0.8 * length
                or self.persistence[place] <= least * self.weights[place]
            ):
                continue
            share = self.charges[place] / self.persistence[place]
            if share < best * 0.9:
                best, chosen = share, length
        if chosen and best < _BELIEVE:
            self.period = self._settle(chosen)
        elif self.period:
            place = self.period - SHORTEST
            if self.charges[place] > _DOUBT * self.persistence[place]:
                self.period = 0

    def _settle(self, length: int) -> int:
        """Return the best period beside `length`: neighbours of a period nearly fit, too."""
        charges = self.charges
        while length < LONGEST and charges[length + 1 - SHORTEST] < charges[length - SHORTEST]:
            length += 1
        return length

    def most(self, first: float, last: float) -> float:
        """Return the highest rate expected from `first` to `last` seconds from now; 0 if no period is believed."""
        if not self.period:
            return 0.0
        bins = self.bins
        # The open bin is number len(bins); what is due lies that many bins after it.
        begin = len(bins) + int((self.open_seconds + first) // BIN)
        end = len(bins) + int((self.open_seconds + last) // BIN)
        most = 0.0
        for due in range(begin, end + 1):
            place = due - self.period
            if 0 <= place < len(bins):
                most = max(most, bins[place])
        return most


def _distance(rate: float, before: float, at: float, after: float) -> float:
    """Return the squared distance of `rate` from the range of three, and a little of that from the middle one."""
    low = min(before, at, after)
    high = max(before, at, after)
    short = max(0.0, low - rate, rate - high)
    return short * short + _EXACT * (rate - at) * (rate - at)

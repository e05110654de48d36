"""Sliding windows: a threshold that has to be crossed three times in a row, and the trend of a figure. Pure."""

import math
from collections import deque
from statistics import median
from typing import Final

#: Periods in a row over the threshold before a signal fires, and under it before it ends.
PERIODS: Final = 3
#: Two values further apart than this are not in a row: the machine slept, or nobody measured.
GAP_SECONDS: Final = 30.0
_TREND_SECONDS: Final = 60.0
_TREND_POINTS: Final = 32
_LEAST_POINTS: Final = 8
_LEAST_SECONDS: Final = 10.0
#: A trend that would take longer than this to exhaust is none.
HORIZON_SECONDS: Final = 86_400.0


class Gate:
    """Fires after three consecutive values of at least `rise`, and ends after three below `fall`.

    Between the two thresholds it stays as it is. A value that is not known, a clock that runs backwards and a gap in
    time break the row; if nothing is known for longer than the gap, the signal ends, because nobody sees it any more.

    Args:
        rise: threshold to fire.
        fall: threshold to end; at most `rise`.

    Attributes:
        fired: whether the signal is on.
        since: monotonic time from which it has been as it is.
    """

    def __init__(self, rise: float, fall: float) -> None:
        if fall > rise:
            raise ValueError(f"a gate that rises at {rise:g} falls at {fall:g}; expected at most {rise:g}")
        self._rise = rise
        self._fall = fall
        self._row = 0
        self._last = -math.inf
        self.fired = False
        self.since = 0.0

    def update(self, value: float | None, now: float) -> bool:
        """Take in the value of this period; return whether the signal is on."""
        broken = not 0 <= now - self._last <= GAP_SECONDS
        if broken:
            self._row = 0
        if value is None or math.isnan(value):
            if broken:
                self._turn(fired=False, now=now)
            return self.fired
        self._last = now
        crossing = value < self._fall if self.fired else value >= self._rise
        self._row = self._row + 1 if crossing else 0
        if self._row >= PERIODS:
            self._turn(fired=not self.fired, now=now)
        return self.fired

    def _turn(self, *, fired: bool, now: float) -> None:
        self._row = 0
        if fired is not self.fired:
            self.fired, self.since = fired, now


class Trend:
    """Change per second of a figure over the last minute, by Theil's median of slopes between its two halves.

    Each point of the first half is paired with one of the second; the median of the slopes stays right with up to
    29 % of the points wrong, and costs one slope for each pair.
    """

    def __init__(self) -> None:
        self._points: deque[tuple[float, float]] = deque(maxlen=_TREND_POINTS)

    def add(self, value: float | None, now: float) -> None:
        """Take in the figure of this period; `None` if it is not known."""
        points = self._points
        if points and not 0 < now - points[-1][0] <= GAP_SECONDS:
            points.clear()
        # At most one point for each 60/32 s, so that the whole minute fits.
        if value is None or (points and now - points[-1][0] < _TREND_SECONDS / _TREND_POINTS - 1e-6):
            return
        points.append((now, value))
        while points[0][0] < now - _TREND_SECONDS:
            points.popleft()

    def slope(self) -> float | None:
        """Return the change per second; `None` from fewer than eight points or ten seconds."""
        points = self._points
        if len(points) < _LEAST_POINTS or points[-1][0] - points[0][0] < _LEAST_SECONDS:
            return None
        half = len(points) // 2
        rows = list(points)
        return median((b - a) / (t - s) for (s, a), (t, b) in zip(rows[:half], rows[-half:], strict=True))

    def seconds_to(self, limit: float) -> float | None:
        """Return the time until the figure reaches `limit`; `None` if it does not within a day.

        It assumes that the figure goes on as it did in the last minute: the median slope, in a straight line. Memory
        that an engine takes in steps is seen after the step; a step still to come is not.
        """
        slope = self.slope()
        if slope is None:
            return None
        missing = limit - self._points[-1][1]
        if missing <= 0:
            return 0.0
        return missing / slope if slope * HORIZON_SECONDS > missing else None

"""When scheduled bounds hold: a cron line in its time zone says when they begin. Pure, and cheap to ask at each tick.

Around a change of the clocks it is as with Debian's cron: what would begin in an hour that is left out begins at its
end, and what would begin in an hour that comes twice begins the first time. A duration is time that passes.
"""

import math
from datetime import datetime
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from autoglm_operator.api.types import seconds
from autoglm_operator.api.v1alpha1 import ScheduledBounds

#: Lines that are remembered: as many as 1,000 deployments can have.
_KEPT: Final = 16_000


class ScheduleError(Exception):
    """A field of a schedule that means nothing; the message begins with its name."""


class Calendar:
    """The starts of one cron line in one time zone.

    It remembers the two starts around the time that it was last asked about: until the next one the answer costs a
    comparison, and the answer is the same as without that memory.

    Raises:
        ScheduleError: the line or the zone cannot be read.
    """

    def __init__(self, line: str, zone: str) -> None:
        try:
            self._zone = ZoneInfo(zone)
        except (KeyError, ValueError, OSError):  # unknown; not a name; a folder of zones, such as America
            raise ScheduleError(
                f'timeZone "{zone}" is not in the IANA time zone database: write a name such as Asia/Shanghai or UTC'
            ) from None
        self._line = line
        self._last, self._next = math.inf, -math.inf
        try:
            CronSim(line, datetime.fromtimestamp(0, self._zone))
        except CronSimError as error:
            raise ScheduleError(
                f'schedule "{line}" is no cron line ({str(error).lower()}): write minute, hour, day of the month, '
                'month and day of the week, such as "30 8 * * 1-5"'
            ) from None

    def around(self, wall: float) -> tuple[float, float]:
        """Return the last start up to `wall` and the first one after it, as Unix times; infinite if there is none."""
        if not self._last <= wall < self._next:
            self._last, self._next = self._before(wall), self._after(wall)
        return self._last, self._next

    def _after(self, wall: float) -> float:
        # The library counts in local time: in an hour that comes twice it begins with starts that are over.
        for start in CronSim(self._line, datetime.fromtimestamp(math.floor(wall), self._zone)):
            if (found := start.timestamp()) > wall:
                return found
        return math.inf

    def _before(self, wall: float) -> float:
        # From a second later, since the library leaves out where it begins; and in an hour that comes for the second
        # time from its end, since all starts were in the first one.
        begin = math.floor(wall) + 1
        local = datetime.fromtimestamp(begin, self._zone)
        again = begin - local.replace(fold=0).timestamp()
        for start in CronSim(self._line, datetime.fromtimestamp(begin + again, self._zone), reverse=True):
            if (found := start.timestamp()) <= wall:
                return found
        return -math.inf


def held_until(schedule: ScheduledBounds, wall: float) -> tuple[float | None, float]:
    """Return when `schedule` ends if it holds at `wall`, else `None`; and when to ask again, as Unix times.

    Raises:
        ScheduleError: its line or its zone cannot be read.
    """
    calendar = _calendar(schedule.schedule, schedule.time_zone)
    if isinstance(calendar, ScheduleError):
        raise calendar
    last, following = calendar.around(wall)
    end = last + seconds(schedule.duration)
    # A start while it holds makes it hold longer: nothing changes before the end.
    return (end, end) if wall < end else (None, following)


@lru_cache(maxsize=_KEPT)
def _calendar(line: str, zone: str) -> Calendar | ScheduleError:
    """Return the calendar, or what is wrong: a line that cannot be read is not read again at each tick either."""
    try:
        return Calendar(line, zone)
    except ScheduleError as error:
        return error

"""Whether the engine beside the agent answers: pure."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

#: A loaded engine answers late, and a late answer is still a sign of life.
TIMEOUT_SECONDS: Final = 5.0
#: A check takes its timeout and a scrape's and the interval at most; an older one means that nobody checks any more.
STALE_SECONDS: Final = 2 * TIMEOUT_SECONDS + 5


class EngineState(StrEnum):
    """Condition of the engine; `STARTING` until it has answered for the first time since the agent started."""

    STARTING = "starting"
    ALIVE = "alive"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """What is known of the engine.

    Attributes:
        state: its condition.
        reason: what the last check saw.
        since: monotonic time from which the state holds.
        checked: monotonic time at which the last check ended; `None` before the first.
    """

    state: EngineState
    reason: str
    since: float
    checked: float | None = None

    def fresh(self, now: float) -> bool:
        """Return whether there has been a check recently enough to go by."""
        return self.checked is not None and now - self.checked <= STALE_SECONDS

    def alive(self, now: float) -> bool:
        """Return whether the engine answered the last check, and that is recent."""
        return self.state is EngineState.ALIVE and self.fresh(now)


def advance(status: EngineStatus, problem: str, well: str, now: float) -> EngineStatus:
    """Return the status after a check that ended at `now`.

    Args:
        status: before it.
        problem: what it found; empty if it found the engine well.
        well: what to say of an engine that is well.
        now: monotonic time in seconds.
    """
    if not problem:
        state = EngineState.ALIVE
    elif status.state is EngineState.STARTING:
        state = EngineState.STARTING
    else:
        state = EngineState.UNREACHABLE
    since = status.since if state is status.state else now
    return EngineStatus(state, problem or well, since, now)

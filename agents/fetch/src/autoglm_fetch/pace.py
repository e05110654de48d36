"""When the next request may go: one clock, one deadline and one pause for all workers."""

import random
import threading
import time
from collections.abc import Callable
from typing import Final

from autoglm_fetch.reasons import FetchError, Reason

#: Failures in a row, without a byte in between, after which a download gives up.
ATTEMPTS: Final = 8
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 60.0


class Pace:
    """Deadline, stop signal and the pauses that servers ask for.

    Hubs throttle an address, not a connection: when one worker is told to wait, all of them do.

    Args:
        seconds: until the deadline, from now.
        clock: seconds that never jump.
        rng: for the jitter.
        first_pause: upper bound of the first pause after a failure, in seconds; it doubles with each.
    """

    def __init__(
        self,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
        first_pause: float = _FIRST_PAUSE,
    ) -> None:
        self._clock = clock
        self._rng = rng or random.Random()
        self._first_pause = first_pause
        self._seconds = seconds
        self.started = clock()
        self._deadline = self.started + seconds
        self._not_before = self.started
        self._stop = threading.Event()

    @property
    def elapsed(self) -> float:
        """Return the seconds since the start."""
        return self._clock() - self.started

    def stop(self) -> None:
        """End every wait, and every worker at its next step."""
        self._stop.set()

    def check(self) -> None:
        """Raise `FetchError` if it is time to stop."""
        if self._stop.is_set():
            raise FetchError(Reason.INTERRUPTED, "stopped before the download was complete; the next run continues it")
        if self._clock() >= self._deadline:
            raise FetchError(
                Reason.DEADLINE_EXCEEDED,
                f"not complete after {self._seconds:.0f} s; the next run continues it: give it a faster mirror "
                "(spec.model.hubEndpoint)",
            )

    def wait(self, seconds: float = 0.0) -> None:
        """Wait so long, and until no server asks to wait; raise `FetchError` if it is time to stop."""
        until = self._clock() + seconds
        while (left := max(until, self._not_before) - self._clock()) > 0:
            self.check()
            self._stop.wait(min(left, self._deadline - self._clock()))
        self.check()

    def hold_all(self, seconds: float) -> None:
        """Let no worker send a request for so long."""
        self._not_before = max(self._not_before, self._clock() + seconds)

    def after_failure(self, error: FetchError, attempt: int) -> None:
        """Pause after the `attempt`-th failure in a row, counted from 1.

        Raises:
            FetchError: `error` itself if it is permanent, if there were enough, or if the time is over before the next
                attempt.
        """
        if error.permanent or attempt >= ATTEMPTS or error.reason in {Reason.DEADLINE_EXCEEDED, Reason.INTERRUPTED}:
            raise error
        bound = min(_LONGEST_PAUSE, self._first_pause * 2 ** (attempt - 1))
        pause = self._rng.uniform(0.0, bound)
        if error.retry_after is not None:
            if self._clock() + error.retry_after >= self._deadline:
                raise error
            self.hold_all(error.retry_after)
        try:
            self.wait(pause)
        except FetchError as ended:
            # That the hub does not answer says more than that the time is over.
            raise (error if ended.reason is Reason.DEADLINE_EXCEEDED else ended) from None

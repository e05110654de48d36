"""How far the download is: counted by all workers, logged now and then."""

import logging
import threading
from collections.abc import Callable
from typing import Final

_logger = logging.getLogger(__name__)
_LOG_EVERY_SECONDS: Final = 5.0


class Progress:
    """Bytes that arrived.

    Args:
        expected: bytes that this run has to bring, as far as known.
        clock: seconds that never jump.
    """

    def __init__(self, expected: int, clock: Callable[[], float]) -> None:
        self._expected = expected
        self._clock = clock
        self._lock = threading.Lock()
        self._started = self._logged = clock()
        self.received = 0

    def add(self, count: int) -> None:
        """Count bytes, and log if it is time."""
        with self._lock:
            self.received += count
            now = self._clock()
            if now - self._logged < _LOG_EVERY_SECONDS:
                return
            self._logged = now
            received = self.received
        rate = received / (now - self._started)
        left = max(0, self._expected - received)
        _logger.info(
            "downloading",
            extra={
                "received": received,
                "expected": self._expected,
                "bytesPerSecond": round(rate),
                "secondsLeft": round(left / rate) if rate else None,
            },
        )

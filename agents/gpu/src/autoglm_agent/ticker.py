"""A thread that does one thing at an interval."""

import logging
import threading
from collections.abc import Callable

_logger = logging.getLogger(__name__)


class Ticker:
    """Calls `action` at once and then every `interval` seconds in a thread of its own, until stopped.

    An action that raises is a defect: it is logged, and the thread ends, which `alive` shows.

    Args:
        name: name of the thread.
        interval: seconds between the ends and starts of two calls.
        action: what to do; it must bound its own time.
        on_death: called from the thread if it ends otherwise than by `stop`.
    """

    def __init__(self, name: str, interval: float, action: Callable[[], None], on_death: Callable[[], None]) -> None:
        self._interval = interval
        self._action = action
        self._on_death = on_death
        self._stop = threading.Event()
        # A daemon: neither a hanging driver nor an engine that answers slowly may hold up the exit.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def ask(self) -> None:
        """Ask the thread to end when its present action has."""
        self._stop.set()

    def stop(self, timeout: float) -> None:
        """Ask the thread to end and wait for it for at most `timeout` seconds."""
        self.ask()
        self._thread.join(timeout)

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._action()
                self._stop.wait(self._interval)
        except Exception:
            _logger.exception("thread failed", extra={"ticker": self._thread.name})
            self._on_death()

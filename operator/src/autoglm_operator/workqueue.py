"""Keyed work queue: one reconcile per key at a time, the newest state wins, failures back off."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final

from autoglm_operator.kube.reflector import Key
from autoglm_operator.metrics import Metrics

#: Reconciles one key and returns the seconds after which it wants to be called again, or `None`.
Work = Callable[[Key], Awaitable[float | None]]

_FIRST_BACKOFF_SECONDS: Final = 0.05
_MOST_BACKOFF_SECONDS: Final = 60.0


class WorkQueue:
    """Keys to reconcile.

    A key that is added while it waits is merged; one that is added while it is worked on is worked on again after.
    A short pause before the work lets a burst of events about one key become one reconcile.

    Args:
        metrics: that count what happens here; `None` if nobody counts it.
        settle_seconds: length of that pause.
    """

    def __init__(self, metrics: Metrics | None = None, settle_seconds: float = 0.05) -> None:
        self._metrics = metrics
        self._settle = settle_seconds
        self._ready: asyncio.Queue[Key] = asyncio.Queue()
        self._waiting: dict[Key, float] = {}
        self._running: set[Key] = set()
        self._again: set[Key] = set()
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._failures: dict[Key, int] = {}

    def add(self, key: Key, delay: float | None = None) -> None:
        """Ask for a reconcile of `key`, now or after `delay` seconds."""
        if key in self._waiting:
            return
        if key in self._running and delay is None:
            self._again.add(key)
            return
        loop = asyncio.get_running_loop()
        when = loop.time() + (self._settle if delay is None else delay)
        if (timer := self._timers.get(key)) is not None:
            if timer.when() <= when:
                return
            timer.cancel()
        self._timers[key] = loop.call_at(when, self._due, key)

    def _due(self, key: Key) -> None:
        self._timers.pop(key, None)
        if key in self._running:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting[key] = asyncio.get_running_loop().time()
            self._ready.put_nowait(key)
            if self._metrics:
                self._metrics.queue_adds.inc()

    @property
    def depth(self) -> int:
        """Return the number of keys that wait for a worker."""
        return len(self._waiting)

    def oldest_seconds(self) -> float:
        """Return how long the key waiting longest has waited for a worker."""
        now = asyncio.get_running_loop().time()
        return max((now - since for since in self._waiting.values()), default=0.0)

    async def work(self, work: Work) -> None:
        """Take keys and work on them until cancelled; start several of these for concurrency.

        `work` must not raise: it turns its own failures into the delay that `backoff` gives.
        """
        while True:
            key = await self._ready.get()
            since = self._waiting.pop(key)
            self._running.add(key)
            if self._metrics:
                self._metrics.queue_seconds.observe(asyncio.get_running_loop().time() - since)
            delay: float | None = None
            try:
                delay = await work(key)
            finally:
                self._running.discard(key)
            if key in self._again:
                self._again.discard(key)
                self.add(key)
            elif delay is not None:
                self.add(key, delay)

    def backoff(self, key: Key) -> float:
        """Count one more failure of `key` and return how long to wait, in seconds: doubling, with jitter."""
        if self._metrics:
            self._metrics.queue_retries.inc()
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        pause = min(_FIRST_BACKOFF_SECONDS * 2.0 ** min(failures, 20), _MOST_BACKOFF_SECONDS)
        return pause * random.uniform(0.5, 1.5)

    def succeeded(self, key: Key) -> None:
        """Forget the failures of `key`."""
        self._failures.pop(key, None)

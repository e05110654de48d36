"""Knative's autoscaler on requests in flight."""

import math
from collections import deque

from autoglm_simulator.replay.peers.lag import DIRECT_LAG
from autoglm_simulator.replay.plant import Observation


class Kpa:
    """Knative's autoscaler on requests in flight: a stable window of 60 s and a panic window of 6 s.

    Panic starts when the panic window asks for at least twice the ready pods, and ends 60 s after it last did; in panic
    nothing is removed.
    """

    STABLE = 60
    PANIC = 6
    PANIC_AT = 2.0
    MOST_UP = 1000.0
    MOST_DOWN = 2.0

    def __init__(self, target: float) -> None:
        self.period = 2
        self.lag = DIRECT_LAG
        self._target = target
        self._window: deque[float] = deque(maxlen=self.STABLE // 2)
        self._panic_until = -1.0
        self._most = 0

    def decide(self, seen: Observation) -> int:
        """Return the replicas wanted."""
        self._window.append(seen.running + seen.waiting)
        ready = max(1, seen.ready)
        recent = self.PANIC // 2
        stable = sum(self._window) / len(self._window)
        panic = 0.0
        count = 0
        for value in reversed(self._window):
            if count == recent:
                break
            panic += value
            count += 1
        panic /= count
        most, least = math.ceil(self.MOST_UP * ready), math.floor(ready / self.MOST_DOWN)
        wanted_stable = min(most, max(least, math.ceil(stable / self._target)))
        wanted_panic = min(most, max(least, math.ceil(panic / self._target)))
        if math.ceil(panic / self._target) / ready >= self.PANIC_AT:
            if self._panic_until < seen.now:
                self._most = 0
            self._panic_until = seen.now + self.STABLE
        if seen.now <= self._panic_until:
            self._most = max(self._most, wanted_panic, ready)
            return self._most
        return max(1, wanted_stable)

"""What peers are measured against: a fixed number of replicas, and one that knows the future."""

import math
from collections import deque

from autoglm_simulator.replay.plant import Observation


class Static:
    """A fixed number of replicas."""

    def __init__(self, replicas: int) -> None:
        self.period = 60
        self.lag = 0
        self._replicas = replicas

    def decide(self, seen: Observation) -> int:
        """Return the replicas wanted."""
        del seen
        return self._replicas


class Oracle:
    """Knows the mean rate of the trace over the cold start to come, and nothing of the noise of arrivals."""

    def __init__(self, rate: list[float], lead: int, per_replica: float) -> None:
        self.period = 5
        self.lag = 0
        self._lead = lead
        self._rate = rate
        self._per_replica = per_replica
        self._best: deque[int] = deque()
        self._next = 0

    def decide(self, seen: Observation) -> int:
        """Return the replicas wanted."""
        now = int(seen.now)
        end = min(len(self._rate), now + self._lead + self.period)
        while self._next < end:
            while self._best and self._rate[self._best[-1]] <= self._rate[self._next]:
                self._best.pop()
            self._best.append(self._next)
            self._next += 1
        while len(self._best) > 1 and self._best[0] < now:
            self._best.popleft()
        return max(1, math.ceil(self._rate[self._best[0]] / self._per_replica - 1e-9))

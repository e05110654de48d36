"""llm-d's three laws: by spare KV cache and queue, by tokens, and by latency over objective."""

import math
from collections import deque

from autoglm_simulator.replay.hpa import SYNC, Behavior, Rule
from autoglm_simulator.replay.peers.lag import PROMETHEUS_LAG
from autoglm_simulator.replay.plant import Observation
from autoglm_simulator.replay.settings import Fleet


class WvaV1:
    """llm-d's first workload variant autoscaler: one replica up or down by spare KV cache and spare queue."""

    KV_LIMIT = 0.8
    QUEUE_LIMIT = 5.0
    SPARE_KV = 0.1
    SPARE_QUEUE = 3.0

    def __init__(self, window: int) -> None:
        self.period = 30
        self.lag = PROMETHEUS_LAG
        self._kv: deque[float] = deque(maxlen=2)
        self._queue: deque[float] = deque(maxlen=2)
        self._desired = 0
        self._behavior = Behavior(Rule(window, 100.0, 4, 15), Rule(window, 100.0, -1, 15))

    def decide(self, seen: Observation) -> int:
        """Return the replicas wanted."""
        ready = max(1, seen.ready)
        self._kv.append(seen.kv)
        self._queue.append(seen.waiting / ready)
        if self._desired == 0:
            self._desired = seen.ordered
        if seen.starting == 0:
            self._desired = self._want(seen, ready, max(self._kv), max(self._queue))
        return self._behavior.apply(seen.now, seen.ordered, self._desired)

    def _want(self, seen: Observation, ready: int, kv: float, queue: float) -> int:
        saturated = kv >= self.KV_LIMIT or queue >= self.QUEUE_LIMIT
        if saturated or self.KV_LIMIT - kv < self.SPARE_KV or self.QUEUE_LIMIT - queue < self.SPARE_QUEUE:
            return seen.ordered + 1
        if ready > 1:
            growth = ready / (ready - 1)
            if self.KV_LIMIT - kv * growth >= self.SPARE_KV and self.QUEUE_LIMIT - queue * growth >= self.SPARE_QUEUE:
                return seen.ordered - 1
        return seen.ordered


class WvaV2:
    """llm-d's token-based autoscaler: tokens in use and queued, over the tokens that a replica carries."""

    UP = 0.85
    DOWN = 0.7

    def __init__(self, fleet: Fleet, batch: float) -> None:
        self.period = 30
        self.lag = PROMETHEUS_LAG
        self._kv_limit = 0.8 * fleet.kv_tokens
        self._batch = batch
        self._desired = 0
        self._behavior = Behavior()

    def decide(self, seen: Observation) -> int:
        """Return the replicas wanted."""
        demand = seen.tokens_in_use + seen.waiting * seen.input_tokens
        capacity = min(self._kv_limit, self._batch * (seen.input_tokens + seen.output_tokens / 2))
        if self._desired == 0:
            self._desired = seen.ordered
        if capacity > 0:
            required = demand / self.UP - (seen.ready + seen.starting) * capacity
            spare = seen.ready * capacity - demand / self.DOWN
            if required > 0:
                self._desired = seen.ordered + math.ceil(required / capacity)
            elif spare > 0:
                self._desired = max(1, seen.ordered - math.floor(spare / capacity))
            else:
                self._desired = seen.ordered
        return self._behavior.apply(seen.now, seen.ordered, self._desired)


class LlmdSlo:
    """llm-d's SLO-aware law: latency over objective, averaged over 45 s, against two thresholds, then an HPA."""

    AVERAGE = 45
    CAP = 2.0

    def __init__(self, up: float, down: float) -> None:
        self.period = SYNC
        self.lag = PROMETHEUS_LAG
        self._up_at = up
        self._down_at = down
        self._ratios: deque[float] = deque(maxlen=self.AVERAGE // SYNC)
        self._behavior = Behavior(Rule(30, 100.0, 4, 60), Rule(180, -1.0, 1, 120))

    def decide(self, seen: Observation) -> int:
        """Return the replicas wanted."""
        self._ratios.append(min(seen.slo_p90, self.CAP))
        ratio = sum(self._ratios) / len(self._ratios)
        desired = self.desired(ratio, seen.ready, seen.ordered)
        return self._behavior.apply(seen.now, seen.ordered, max(1, desired))

    def desired(self, ratio: float, ready: int, ordered: int) -> int:
        """Return the replicas for an averaged ratio of latency over objective."""
        if ratio > self._up_at:
            credit = ready / max(1, ordered)
            return ordered + max(0, math.ceil(ordered * (ratio * credit / self._up_at - 1.0)))
        if ratio < self._down_at:
            return ordered - math.floor(ordered * (1.0 - ratio / self._down_at))
        return ordered

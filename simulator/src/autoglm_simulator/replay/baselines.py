"""The peers' control laws, as their sources and documentation describe them.

Each has one target, or two, which a bench sweeps. All see the same fleet; metrics are late by what each peer's path
takes: 30 s through Prometheus and the HPA, 10 s where a controller scrapes the pods, 5 s where it also decides at once.
"""

import math
from collections import deque

from autoglm_simulator.replay.hpa import SYNC, Behavior, Rule, average_value, pods_value
from autoglm_simulator.replay.plant import Observation
from autoglm_simulator.replay.settings import Fleet

PROMETHEUS_LAG = 30
SCRAPE_LAG = 10
DIRECT_LAG = 5


class KedaInflight:
    """KEDA on requests in flight, running and waiting: `ceil(in flight / target)` through an HPA."""

    def __init__(self, target: float) -> None:
        self.period = SYNC
        self.lag = PROMETHEUS_LAG
        self._target = target
        self._behavior = Behavior()

    def decide(self, seen: Observation) -> int:
        """Return the replicas wanted."""
        desired = average_value(seen.running + seen.waiting, self._target, seen.ordered)
        return self._behavior.apply(seen.now, seen.ordered, desired)


class HpaQueue:
    """An HPA on waiting requests: `ceil(waiting / target)`."""

    def __init__(self, target: float) -> None:
        self.period = SYNC
        self.lag = PROMETHEUS_LAG
        self._target = target
        self._behavior = Behavior()

    def decide(self, seen: Observation) -> int:
        """Return the replicas wanted."""
        desired = max(1, average_value(seen.waiting, self._target, seen.ordered))
        return self._behavior.apply(seen.now, seen.ordered, desired)


class HpaKv:
    """An HPA on the mean KV-cache use of the ready pods."""

    def __init__(self, target: float) -> None:
        self.period = SYNC
        self.lag = PROMETHEUS_LAG
        self._target = target
        self._behavior = Behavior()

    def decide(self, seen: Observation) -> int:
        """Return the replicas wanted."""
        desired = max(1, pods_value(seen.kv, self._target, seen.ready, seen.ordered))
        return self._behavior.apply(seen.now, seen.ordered, desired)


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


class Apa:
    """AIBrix's APA on KV-cache use: tolerance 0.1, at most doubled or halved, 300 s between a change and a removal."""

    TOLERANCE = 0.1
    COOLDOWN = 300.0

    def __init__(self, target: float) -> None:
        self.period = 10
        self.lag = SCRAPE_LAG
        self._target = target
        self._changed = -math.inf

    def decide(self, seen: Observation) -> int:
        """Return the replicas wanted."""
        current = seen.ordered
        ratio = seen.kv * seen.ready / max(1, current) / self._target
        desired = current
        if ratio > 1.0 + self.TOLERANCE:
            desired = min(math.ceil(current * ratio), math.ceil(2.0 * current))
        elif ratio < 1.0 - self.TOLERANCE and seen.now - self._changed >= self.COOLDOWN:
            desired = max(math.ceil(current * ratio), math.floor(current / 2), 1)
        if desired != current:
            self._changed = seen.now
        return desired


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


class Dynamo:
    """NVIDIA Dynamo's planner: a forecast floor each 180 s and single steps each 5 s.

    The forecast is a Kalman filter with level and trend over the intervals. The load loop adds one replica while ITL or
    TTFT is over its objective, and takes one away if after that ITL stays below 80 % of it and the KV cache fits; it
    only watches while replicas start.
    """

    INTERVAL = 180.0
    KEEP = 0.8

    def __init__(self, fleet: Fleet, rate: float) -> None:
        self.period = 5
        self.lag = DIRECT_LAG
        self._fleet = fleet
        self._rate = rate
        self._sum = 0.0
        self._seconds = 0.0
        self._level = -1.0
        self._trend = 0.0
        self._p = [1.0, 0.0, 1.0]
        self._floor = 1

    def decide(self, seen: Observation) -> int:
        """Return the replicas wanted."""
        self._sum += seen.arrivals * seen.seconds
        self._seconds += seen.seconds
        if self._seconds >= self.INTERVAL:
            self._floor = max(1, math.ceil(self.forecast(self._sum / self._seconds) / self._rate))
            self._sum = self._seconds = 0.0
            return max(self._floor, self._load(seen))
        return max(self._floor, self._load(seen))

    def forecast(self, rate: float) -> float:
        """Take in the rate of an interval and return that of the next: Kalman filter of level and trend."""
        if self._level < 0:
            self._level = rate
            return rate
        level, trend = self._level + self._trend, self._trend
        p00, p01, p11 = self._p
        scale = max(rate, 1.0)
        p00, p01, p11 = p00 + 2 * p01 + p11 + scale * 0.1, p01 + p11, p11 + scale * 0.001
        gain0, gain1 = p00 / (p00 + scale * 0.1), p01 / (p00 + scale * 0.1)
        error = rate - level
        self._level, self._trend = level + gain0 * error, trend + gain1 * error
        self._p = [p00 * (1 - gain0), p01 * (1 - gain0), p11 - gain1 * p01]
        return max(0.0, self._level + self._trend)

    def _load(self, seen: Observation) -> int:
        if seen.starting or seen.requests <= 0:
            return seen.ordered
        fleet = self._fleet
        if seen.itl > fleet.itl or seen.ttft > fleet.ttft:
            return seen.ordered + 1
        if seen.ready > 1:
            growth = seen.ready / (seen.ready - 1)
            used = min(0.95, seen.prefill_rate * fleet.prefill_per_token * growth)
            itl = (fleet.decode_base + fleet.decode_per_sequence * seen.batch * growth) / (1.0 - used)
            if itl < self.KEEP * fleet.itl and seen.kv * growth < 1.0:
                return seen.ordered - 1
        return seen.ordered


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

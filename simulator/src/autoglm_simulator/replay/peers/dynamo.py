"""NVIDIA Dynamo's planner."""

import math

from autoglm_simulator.replay.peers.lag import DIRECT_LAG
from autoglm_simulator.replay.plant import Observation
from autoglm_simulator.replay.settings import Fleet


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

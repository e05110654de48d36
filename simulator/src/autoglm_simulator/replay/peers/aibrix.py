"""AIBrix's autoscaler on KV-cache use."""

import math

from autoglm_simulator.replay.peers.lag import SCRAPE_LAG
from autoglm_simulator.replay.plant import Observation


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

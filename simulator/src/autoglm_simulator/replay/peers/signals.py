"""Peers that are an HPA with one signal: requests in flight (KEDA), waiting requests, KV-cache use."""

from autoglm_simulator.replay.hpa import SYNC, Behavior, average_value, pods_value
from autoglm_simulator.replay.peers.lag import PROMETHEUS_LAG
from autoglm_simulator.replay.plant import Observation


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

"""Peers that are an HPA with one signal: requests in flight (KEDA), waiting requests, KV-cache use."""

from autoglm_simulator.replay.hpa import SYNC, Behavior, average_value, pods_value
from autoglm_simulator.replay.peers.lag import PROMETHEUS_LAG
from autoglm_simulator.replay.plant import Observation


class _Hpa:
    """An HPA by the defaults, late by its way through Prometheus."""

    def __init__(self, target: float) -> None:
        self.period = SYNC
        self.lag = PROMETHEUS_LAG
        self._target = target
        self._behavior = Behavior()

    def decide(self, seen: Observation) -> int:
        """Return the replicas wanted."""
        return self._behavior.apply(seen.now, seen.ordered, self._desired(seen))

    def _desired(self, seen: Observation) -> int:
        """Return what the metric asks for."""
        raise NotImplementedError


class KedaInflight(_Hpa):
    """KEDA on requests in flight, running and waiting: `ceil(in flight / target)` through an HPA."""

    def _desired(self, seen: Observation) -> int:
        return average_value(seen.running + seen.waiting, self._target, seen.ordered)


class HpaQueue(_Hpa):
    """An HPA on waiting requests: `ceil(waiting / target)`."""

    def _desired(self, seen: Observation) -> int:
        return max(1, average_value(seen.waiting, self._target, seen.ordered))


class HpaKv(_Hpa):
    """An HPA on the mean KV-cache use of the ready pods."""

    def _desired(self, seen: Observation) -> int:
        return max(1, pods_value(seen.kv, self._target, seen.ready, seen.ordered))

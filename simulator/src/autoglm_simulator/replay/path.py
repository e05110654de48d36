"""How a wish for replicas becomes an order where an HPA stands between: up at once, down through its window."""

from autoglm_simulator.replay.hpa import SYNC, Behavior, Rule
from autoglm_simulator.replay.plant import Observation, Policy

DOWN_WINDOW = 60
"""Seconds of the HPA's window for fewer replicas: it sees the answers of two autoscalers in turn, and the larger one
counts. The hold before replicas go is not here but in the law."""
_ANY = 1_000_000
"""No limit of replicas in one step."""


class HpaPath:
    """A policy whose answers above what is ordered are written at once, and the others by an HPA every 15 s.

    Args:
        wish: Says how many replicas are wanted. Its period divides that of the HPA.
    """

    def __init__(self, wish: Policy) -> None:
        self.period = wish.period
        self.lag = wish.lag
        self._wish = wish
        self._behavior = Behavior(Rule(0, -1.0, _ANY, SYNC), Rule(DOWN_WINDOW, 100.0, -1, SYNC))

    def decide(self, seen: Observation) -> int:
        """Return the replicas ordered."""
        wanted = self._wish.decide(seen)
        if int(seen.now) % SYNC == 0:
            return self._behavior.apply(seen.now, seen.ordered, wanted)
        return max(wanted, seen.ordered)

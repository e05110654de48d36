"""The HorizontalPodAutoscaler's arithmetic and behaviour (autoscaling/v2, pkg/controller/podautoscaler)."""

import math
from dataclasses import dataclass

TOLERANCE = 0.1
SYNC = 15


@dataclass(frozen=True)
class Rule:
    """One direction of `spec.behavior`; the policy that allows more is chosen.

    Attributes:
        window: Stabilization window in seconds.
        percent: Percent of the replicas at the start of the period; negative for no such policy.
        pods: Replicas; negative for no such policy.
        period: Seconds of the policies.
    """

    window: int
    percent: float
    pods: int
    period: int


DEFAULT_UP = Rule(0, 100.0, 4, 15)
DEFAULT_DOWN = Rule(300, 100.0, -1, 15)


class Behavior:
    """Stabilization windows and rate limits, with what they remember."""

    def __init__(self, up: Rule = DEFAULT_UP, down: Rule = DEFAULT_DOWN) -> None:
        self._up = up
        self._down = down
        self._wanted: list[tuple[float, int]] = []
        self._moves: list[tuple[float, int]] = []

    def apply(self, now: float, current: int, desired: int) -> int:
        """Return the replicas to set, and remember the move."""
        longest = max(self._up.window, self._down.window)
        self._wanted = [(when, value) for when, value in self._wanted if when > now - longest]
        self._wanted.append((now, desired))
        lowest, highest = desired, desired
        for when, value in self._wanted:
            if when > now - self._up.window:
                lowest = min(lowest, value)
            if when > now - self._down.window:
                highest = max(highest, value)
        stable = min(max(current, lowest), highest)
        keep = now - max(self._up.period, self._down.period)
        self._moves = [(when, change) for when, change in self._moves if when > keep]
        if stable > current:
            stable = min(stable, self._most(now, current))
        elif stable < current:
            stable = max(stable, self._least(now, current))
        if stable != current:
            self._moves.append((now, stable - current))
        return stable

    def _most(self, now: float, current: int) -> int:
        rule = self._up
        added = sum(change for when, change in self._moves if change > 0 and when > now - rule.period)
        start = current - added
        limits = [current]
        if rule.percent >= 0:
            limits.append(math.ceil(start * (1 + rule.percent / 100)))
        if rule.pods >= 0:
            limits.append(start + rule.pods)
        return max(limits)

    def _least(self, now: float, current: int) -> int:
        rule = self._down
        removed = -sum(change for when, change in self._moves if change < 0 and when > now - rule.period)
        start = current + removed
        limits = [current]
        if rule.percent >= 0:
            limits.append(math.floor(start * (1 - rule.percent / 100)))
        if rule.pods >= 0:
            limits.append(start - rule.pods)
        return min(limits)


def average_value(total: float, target: float, current: int) -> int:
    """Return the replicas for an External or Object metric with a target of type AverageValue."""
    if current > 0 and abs(total / (target * current) - 1.0) <= TOLERANCE:
        return current
    return math.ceil(total / target)


def pods_value(mean: float, target: float, ready: int, ordered: int) -> int:
    """Return the replicas for a Pods metric with its mean over the ready pods; unready ones count as 0 upwards."""
    if ready == 0:
        return ordered
    ratio = mean / target
    if abs(ratio - 1.0) <= TOLERANCE:
        return ordered
    if ratio < 1.0 or ordered == ready:
        return math.ceil(ratio * ready)
    lowered = mean * ready / (target * ordered)
    if lowered <= 1.0 or abs(lowered - 1.0) <= TOLERANCE:
        return ordered
    return math.ceil(lowered * ordered)

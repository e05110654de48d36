"""One replay: a plant under a policy, and what is measured of it."""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from autoglm_simulator.replay.plant import ITL_STEP, TTFT_STEP, Observation, Plant, Policy, Totals


@dataclass(frozen=True)
class Result:
    """The measures of one replay; see `docs/reference/replay.md`."""

    slo_attainment: float
    gpu_hours: float
    requests: int
    lost_requests: int
    direction_changes_per_day: float
    ttft_p99: float
    itl_p99: float
    reaction_seconds: float
    overshoot: float


def replay(  # noqa: PLR0917 (the command passes them by position)
    plant: Plant,
    policy: Policy,
    rate: list[float],
    per_replica: float,
    first: int,
    last: int,
    progress: Callable[[float], None] | None = None,
) -> Result:
    """Run `policy` over a plant and measure from second `first` to `last`.

    Args:
        plant: The fleet under its traffic.
        policy: Chooses the replicas.
        rate: Expected requests per second in each second.
        per_replica: Requests per second that one replica carries within its objectives: what reaction and overshoot
            are judged by.
        first: Second from which on is counted.
        last: Second at which the replay ends.
        progress: Told the share that is done, every hundredth of it.
    """
    delayed: deque[tuple[int, Observation]] = deque()
    watch = _Watch()
    now, told, counting = 0, 0, False
    while now < last:
        if not counting and now >= first:
            counting = True
            plant.count()
            watch.forget()
        now = min(last, now + policy.period)
        latest = plant.advance(now)
        ordered = latest.ordered
        delayed.append((now, latest))
        while len(delayed) > 1 and delayed[1][0] <= now - policy.lag:
            delayed.popleft()
        seen = delayed[0][1]
        # Metrics are as old as they are; the time and the replicas are those of now.
        seen.now, seen.ready, seen.starting, seen.ordered = latest.now, latest.ready, latest.starting, ordered
        wanted = policy.decide(seen)
        if wanted != ordered:
            plant.scale(wanted)
        watch.see(now, ordered, wanted, rate[now - 1] / per_replica)
        if progress is not None and now * 100 // last > told:
            told = now * 100 // last
            progress(told / 100)
    return _result(plant.totals(), watch, max(rate[first:last]) / per_replica, last, last - first)


class _Watch:
    """What orders show: changes of direction, the most replicas, and how long orders stay below what is needed."""

    def __init__(self) -> None:
        self._direction = 0
        self._short_since = -1
        self.forget()

    def forget(self) -> None:
        """Begin to count."""
        self.changes = 0
        self.most = 0
        self.waited = 0.0
        self.times = 0

    def see(self, now: int, ordered: int, wanted: int, needed: float) -> None:
        """Take in one decision, and the replicas that the expected rate needs."""
        if wanted != ordered:
            direction = 1 if wanted > ordered else -1
            if self._direction and direction != self._direction:
                self.changes += 1
            self._direction = direction
        self.most = max(self.most, wanted)
        if wanted < needed:
            if self._short_since < 0:
                self._short_since = now
        elif self._short_since >= 0:
            self._close(now)

    def _close(self, now: int) -> None:
        self.waited += now - self._short_since
        self.times += 1
        self._short_since = -1

    def reaction(self, now: int) -> float:
        """Return the mean seconds from a need to the order that covers it; one that is open ends now."""
        if self._short_since >= 0:
            self._close(now)
        return self.waited / self.times if self.times else 0.0


def _result(totals: Totals, watch: _Watch, peak: float, last: int, seconds: int) -> Result:
    return Result(
        slo_attainment=1.0 - totals.late / totals.requests if totals.requests else 1.0,
        gpu_hours=totals.gpu_seconds / 3600,
        requests=round(totals.requests),
        lost_requests=math.ceil(totals.lost),
        direction_changes_per_day=watch.changes * 86_400 / seconds,
        ttft_p99=percentile(totals.ttft, 0.99) * TTFT_STEP,
        itl_p99=percentile(totals.itl, 0.99) * ITL_STEP,
        reaction_seconds=watch.reaction(last),
        overshoot=max(0.0, watch.most / max(1, math.ceil(peak)) - 1.0),
    )


def percentile(steps: list[float], share: float) -> float:
    """Return the upper edge, in steps, of the one that holds the quantile `share`; 0 if there is nothing."""
    left = share * sum(steps)
    for index, count in enumerate(steps):
        left -= count
        if left <= 0 and count > 0:
            return float(index + 1)
    return 0.0

"""Events that objectives are judged by, from what the engines themselves count: pure.

Engines count in buckets. The events inside an objective are exact where the objective is the bound of a bucket, and
interpolated inside the bucket where it is not. Beyond the last finite bound nothing is known, and nothing is good.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Final

from autoglm_operator.autoscaler.engine_metrics import EngineSample
from autoglm_operator.decide.bottleneck import Setup
from autoglm_operator.decide.scaling.quantiles import Histogram, Increase, increase
from autoglm_operator.slo_metrics import AVAILABILITY, ITL, TTFT

INPUT: Final = "input"
CACHED: Final = "cached"
OUTPUT: Final = "output"

_COUNTERS: Final = ("prompt_tokens", "generation_tokens", "cached_tokens", "preemptions", "ended", "failed")


@dataclass(slots=True)
class Events:
    """What happened between two samples, of one engine or of several.

    Attributes:
        judged: events by objective.
        good: those of them inside the objective; never more.
        tokens: by direction.
    """

    judged: dict[str, float] = field(default_factory=dict)
    good: dict[str, float] = field(default_factory=dict)
    tokens: dict[str, float] = field(default_factory=dict)

    def add(self, other: "Events") -> None:
        """Add what happened at another engine."""
        for each in fields(self):
            mine = getattr(self, each.name)
            for key, value in getattr(other, each.name).items():
                mine[key] = mine.get(key, 0.0) + value


def events(old: EngineSample | None, new: EngineSample, setup: Setup) -> Events:
    """Return what one engine did since `old`; nothing in it is ever negative.

    Args:
        old: the sample before; `None` counts everything since the engine started.
        new: the sample now.
        setup: with the objectives; latencies are judged by those that are set.
    """
    if old is not None and restarted(old, new):
        old = None
    found = Events()
    for objective, limit, before, after in (
        (TTFT, setup.ttft, old.ttft if old else None, new.ttft),
        (ITL, setup.itl, old.itl if old else None, new.itl),
    ):
        if limit is not None and after is not None and (added := _added(before, after)) is not None:
            found.judged[objective] = added.observations
            found.good[objective] = within(added, limit)
    ended = new.ended - (old.ended if old else 0.0)
    found.judged[AVAILABILITY] = ended
    found.good[AVAILABILITY] = max(0.0, ended - (new.failed - (old.failed if old else 0.0)))
    for direction, now, then in _tokens(old, new):
        found.tokens[direction] = now - then
    return found


def _tokens(old: EngineSample | None, new: EngineSample) -> Iterator[tuple[str, float, float]]:
    yield INPUT, new.prompt_tokens, old.prompt_tokens if old else 0.0
    yield CACHED, new.cached_tokens, old.cached_tokens if old else 0.0
    yield OUTPUT, new.generation_tokens, old.generation_tokens if old else 0.0


def restarted(old: EngineSample, new: EngineSample) -> bool:
    """Whether a counter fell: then all of them began anew, also those that are past their old value already."""
    if any(getattr(new, name) < getattr(old, name) for name in _COUNTERS):
        return True
    pairs = ((old.ttft, new.ttft), (old.itl, new.itl))
    return any(
        before is not None and after is not None and before is not after and after.counts[-1] < before.counts[-1]
        for before, after in pairs
    )


def _added(before: Histogram | None, after: Histogram) -> Increase | None:
    if before is None:
        return Increase(after.bounds, tuple(after.counts))
    return None if before is after else increase([before, after])


def within(observed: Increase, limit: float) -> float:
    """Return how many observations are at most `limit`, interpolated inside its bucket."""
    bounds, counts = observed.bounds, observed.counts
    place = bisect_left(bounds, limit)
    below = counts[place - 1] if place else 0.0
    if place == len(bounds):
        return below
    lower = bounds[place - 1] if place else 0.0
    share = (limit - lower) / (bounds[place] - lower) if bounds[place] > lower else 1.0
    return below + (counts[place] - below) * share

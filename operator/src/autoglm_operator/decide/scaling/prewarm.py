"""Which stages of a start are worth making ready beforehand, by expected cost: pure.

Replicas are ordered as far ahead of demand as a start takes, and the reserve that is held for what may come meanwhile
grows with that time. What a tier is worth is therefore at least

```
replicas that the last day needed with starts as they are - with starts without the stages that the tier makes ready
```

and beside that what replicas cost while they start, and the requests that are late meanwhile. What a tier costs is
disk: a claim for weights and compiled code, the image on every node. No tier keeps engines asleep: a sleeping engine
holds its GPUs, and costs what a replica that answers costs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from autoglm_operator.api.status import ColdStart
from autoglm_operator.api.v1alpha1 import WarmStartMode
from autoglm_operator.decide.law import law, store
from autoglm_operator.decide.law.capacity import Capacity, Speed
from autoglm_operator.decide.law.parameters import Parameters

#: The stages of a start that each tier makes ready, the cheapest tier first.
TIERS: Final[Mapping[WarmStartMode, tuple[str, ...]]] = {
    WarmStartMode.LAZY: (),
    WarmStartMode.HYBRID: ("download", "compile"),
    WarmStartMode.FULL: ("download", "compile", "pull"),
}
#: Replicas below which a saving is none.
_NOTHING: Final = 0.05


@dataclass(frozen=True, slots=True)
class Tier:
    """What a tier would make of a start.

    Attributes:
        mode: of `spec.warmStart`.
        seconds: that a start would take at best.
        saves: replicas, as a fraction; `None` while demand and capacity are not known.
    """

    mode: WarmStartMode
    seconds: int
    saves: float | None


@dataclass(frozen=True, slots=True)
class Prewarm:
    """How long a start takes, and what shorter ones would be worth.

    Attributes:
        seconds: of a start, the median of the last ones.
        samples: starts that this is known from.
        stages: seconds of each stage, the longest first.
        needed: replicas that the last day needed on average; `None` while that is not known.
        tiers: beyond the one in force that would make starts shorter, the cheapest first.
    """

    seconds: int
    samples: int
    stages: tuple[tuple[str, int], ...]
    needed: float | None
    tiers: tuple[Tier, ...]

    @classmethod
    def of(cls, start: ColdStart, mode: WarmStartMode, need: Callable[[float], float] | None) -> Self:
        """Return what is known of a deployment.

        Args:
            start: as learned.
            mode: in force.
            need: returns the replicas needed with starts of so many seconds; `None` while that is not known.
        """
        seconds = start.total_seconds
        medians = {stage.name: stage.median_seconds for stage in start.stages}
        needed = None if need is None else need(float(seconds))
        order = list(TIERS)
        tiers: list[Tier] = []
        for tier in order[order.index(mode) + 1 :]:
            left = max(0, seconds - sum(medians.get(stage, 0) for stage in TIERS[tier] if stage not in TIERS[mode]))
            if left < (tiers[-1].seconds if tiers else seconds):
                saves = None if need is None or needed is None else max(0.0, needed - need(float(left)))
                tiers.append(Tier(tier, left, saves))
        longest = tuple(sorted(medians.items(), key=lambda item: -item[1]))
        return cls(seconds, min(start.samples, len(start.recent_total_seconds)), longest, needed, tuple(tiers))

    @property
    def sentences(self) -> list[str]:
        """Return it in words, without the dots at the end."""
        stages = ", ".join(f"{seconds} s {name}" for name, seconds in self.stages if seconds)
        starts = f"the median of the last {self.samples}" if self.samples > 1 else "as the last one did"
        return [f"A replica takes {self.seconds} s to start, {starts}: {stages}", *map(self._offer, self.tiers)]

    def _offer(self, tier: Tier) -> str:
        offer = f"With warmStart.mode {tier.mode} it would be about {tier.seconds} s"
        if tier.saves is None or self.needed is None:
            return offer
        if tier.saves < _NOTHING:
            return f"{offer}, which matters to requests that come in a spike but saves no replica on an average day"
        return f"{offer}, which saves at least {tier.saves:.1f} of the {self.needed:.1f} replicas of the last day"


def needs(stored: Any, capacity: float | None, learned: float) -> Callable[[float], float] | None:
    """Return what tells the replicas needed by the seconds of a start; `None` while demand is not known.

    Args:
        stored: what the law has learned, as kept.
        capacity: requests per second that one replica carries; `None` while that is not known.
        learned: seconds of a start that it was learned with.
    """
    if not capacity or not isinstance(stored, dict):
        return None
    # Of a replica only its capacity counts here, and that is given.
    speed = Speed(1.0, 1.0, 1.0, 1.0, 1.0)
    state = store.load(Capacity(speed, speed), stored)
    if state.demand.level <= 0:
        return None
    return lambda start: law.need_of_start(Parameters(), state, capacity, start, learned)

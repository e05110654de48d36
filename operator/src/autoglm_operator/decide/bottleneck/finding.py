"""The diagnosis, and what is told of it from one tick to the next."""

from dataclasses import dataclass, replace
from typing import Final

from autoglm_operator.decide.bottleneck.case import EASE, Case, Cause, Figures, Setup
from autoglm_operator.decide.bottleneck.rules import RULES, unknown

#: A new cause is named when it was found for so long without a break.
SETTLE_SECONDS: Final = 30.0
#: Replicas that had requests are idle only after this time: one request every few minutes is no news each time.
IDLE_SECONDS: Final = 300.0
#: The numbers of a cause that stays are told anew after this time.
REFRESH_SECONDS: Final = 600.0


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer: cause, one sentence with its numbers, and the knob."""

    cause: Cause
    evidence: str
    knob: str = ""

    @property
    def sentence(self) -> str:
        """Return what conditions, events and logs say."""
        return f"{self.evidence}; {self.knob}" if self.knob else self.evidence


def diagnose(figures: Figures, setup: Setup, present: Cause | None = None) -> Finding:
    """Return the first cause of the table that holds.

    Args:
        figures: of the window.
        setup: of the deployment.
        present: the cause that is named now; its own limits are eased, so that it does not leave at once.
    """
    for rule in RULES:
        case = Case(figures, setup, EASE if rule.cause is present else 1.0)
        if rule.holds(case):
            return Finding(rule.cause, rule.evidence(case), rule.knob(case))
    return Finding(Cause.UNKNOWN, unknown(Case(figures, setup)))


@dataclass(frozen=True, slots=True)
class Held:
    """The cause that is named, and one that may take its place.

    Attributes:
        named: what is told.
        told: monotonic time at which its numbers were last told.
        other: the cause found lately, if it is another one.
        since: monotonic time since which `other` is found.
    """

    named: Finding
    told: float
    other: Cause | None = None
    since: float = 0.0


def settle(held: Held | None, found: Finding, now: float) -> Held:
    """Return what is told from now on: another cause only after it was found for `SETTLE_SECONDS` on end.

    The numbers of a cause that stays are told anew every `REFRESH_SECONDS`: they change each time, and each time would
    be a write.
    """
    if held is None:
        return Held(found, now)
    if found.cause is held.named.cause:
        stays = now - held.told < REFRESH_SECONDS
        return replace(held, other=None) if stays else Held(found, now)
    if found.cause is not held.other:
        return replace(held, other=found.cause, since=now)
    falls_idle = held.named.cause is Cause.CLIENT and found.cause is Cause.IDLE
    return Held(found, now) if now - held.since >= (IDLE_SECONDS if falls_idle else SETTLE_SECONDS) else held

"""Why a number is what it is, in one sentence with its numbers."""

from dataclasses import dataclass

from autoglm_operator.decide.law.types import Candidate, Cause


@dataclass
class Numbers:
    """What a sentence is made of. Rates are requests per second, times seconds.

    Attributes:
        level: Rate now.
        capacity: Of one replica in a burst.
        lead: From an order to a replica that serves.
        expected: Rate at the end of the lead.
        upper: The same with its reserve.
        waiting: Requests in the queues.
        period: Length of the period that is believed; 0 without one.
        hold: Time over which the need counts before replicas go.
        as_before: What the expected rate goes by, as words; empty if nothing but the level.
    """

    level: float
    capacity: float
    lead: float
    expected: float
    upper: float
    waiting: float
    period: float
    hold: float
    as_before: str = ""


def sentence(ordered: int, wanted: int, because: str) -> str:
    """Return the decision and what it was made for in one sentence."""
    replicas = "replica" if wanted == 1 and ordered == 1 else "replicas"
    return f"{ordered} → {wanted} {replicas}: {because}" if wanted != ordered else f"{wanted} {replicas}: {because}"


def reason(top: Candidate, numbers: Numbers, doubt: str) -> str:
    """Return the cause of a decision with its numbers, as a clause."""
    each = f"one replica carries {numbers.capacity:.2f}/s"
    need = f"{top.replicas:.1f} are needed"
    demand = f"{numbers.level:.1f} requests/s"
    if top.cause == Cause.BACKLOG:
        because = f"{numbers.waiting:.0f} requests wait beside {demand}, {each}: {need}"
    elif top.cause == Cause.LEAD:
        because = f"{demand} may be {numbers.upper:.1f}/s in {numbers.lead:.0f} s{numbers.as_before}, {each}: {need}"
    elif top.cause == Cause.PERIOD:
        because = (
            f"every {numbers.period / 60:.0f} minutes demand rises to {numbers.expected:.1f} requests/s, and does so "
            f"within {numbers.lead:.0f} s, {each}: {need}"
        )
    elif top.cause == Cause.HOLD:
        because = f"{demand}, but {need[:-11]} were needed in the last {numbers.hold:.0f} s"
    else:
        because = f"{demand} with bursts to {numbers.upper:.1f}/s, {each}: {need}"
    return because + (unless(doubt) if doubt else "")


def unless(doubt: str) -> str:
    """Return the end of a clause that says why replicas stay that nobody needs."""
    return f"; none is removed while {doubt}"

"""The search for the highest rate inside the objective: doubling, then halving. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from autoglm_bench.load.plan import Search


@dataclass(frozen=True, slots=True)
class Trial:
    """One rate tried.

    Attributes:
        rate: requests a second.
        held: whether the objective was met.
        reason: why not, or by how much.
    """

    rate: float
    held: bool
    reason: str


def next_rate(search: Search, trials: Sequence[Trial]) -> float | None:
    """Return the rate to try next, or `None` at the end of the search.

    A rate that failed is taken for too high for good, so that the search ends also where results vary.
    """
    if not trials:
        return search.lowest
    good, bad = bounds(trials)
    if good is None:
        return None
    if bad is None:
        return None if good >= search.highest else min(2 * good, search.highest)
    return None if bad / good <= 1 + search.precision else (good * bad) ** 0.5


def bounds(trials: Sequence[Trial]) -> tuple[float | None, float | None]:
    """Return the highest rate that held below every one that failed, and the lowest that failed."""
    bad = min((trial.rate for trial in trials if not trial.held), default=None)
    good = max((trial.rate for trial in trials if trial.held and (bad is None or trial.rate < bad)), default=None)
    return good, bad


def verdict(search: Search, trials: Sequence[Trial]) -> str:
    """Return the result of the search in one sentence."""
    good, bad = bounds(trials)
    if good is None:
        last = trials[-1] if trials else None
        why = f": {last.reason}" if last else ": nothing was tried to its end"
        return f"the objective is not held even at the lowest rate of {search.lowest:g} requests/s{why}"
    if bad is None:
        return f"the objective is held at the highest rate tried, {good:.4g} requests/s; the limit was not found"
    reason = next(trial.reason for trial in trials if trial.rate == bad and not trial.held)
    return f"the objective is held up to {good:.4g} requests/s; at {bad:.4g} it is not: {reason}"

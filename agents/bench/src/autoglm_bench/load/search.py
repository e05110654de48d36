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


def share(search: Search, trials: Sequence[Trial], within: float) -> float:
    """Return how much of a search is done, 0 to 1: the trials so far over them and all that its bracket may still take.

    It never falls, and leaps where the objective breaks: how far the doubling goes is not known before.

    Args:
        search: what was asked for.
        trials: those that ended.
        within: share of the one under way.
    """
    left = most_left(search, trials)
    return (len(trials) + within) / (len(trials) + left) if left else 1.0


def most_left(search: Search, trials: Sequence[Trial]) -> int:
    """Return how many trials are still to come at most."""
    if not trials:
        return 1 + _doublings(search, search.lowest)
    good, bad = bounds(trials)
    if good is None:
        return 0
    return _doublings(search, good) if bad is None else _halvings(search, good, bad)


def _doublings(search: Search, good: float) -> int:
    """Return the most trials from a rate that held, with the halvings after the one that does not."""
    most, number = 0, 0
    while good < search.highest:
        number += 1
        bad = min(2 * good, search.highest)
        most = max(most, number + _halvings(search, good, bad))
        good = bad
    return most


def _halvings(search: Search, good: float, bad: float) -> int:
    ratio, number = bad / good, 0
    while ratio > 1 + search.precision:
        ratio, number = ratio**0.5, number + 1
    return number


def bracket(trials: Sequence[Trial]) -> str:
    """Return where the limit is known to be; empty before anything is known."""
    good, bad = bounds(trials)
    if good is None:
        return f"limit below {bad:.4g}/s" if bad is not None else ""
    return f"limit above {good:.4g}/s" if bad is None else f"limit between {good:.4g} and {bad:.4g}/s"


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

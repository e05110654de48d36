"""Whether two runs differ, and how: from their results. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from autoglm_bench.compare.tests import fisher, rank_test, ratio_interval
from autoglm_bench.figures.stats import percentile

#: quantity in the samples → what it is called.
QUANTITIES: Final = {"ttft": "TTFT", "itl": "ITL", "duration": "E2E"}
PERCENTILES: Final = (50, 99)
FAILURES: Final = "failures"
#: What a search finds, in requests a second; the one figure of which more is better.
LIMIT: Final = "limit"
#: Probability of at least one difference being seen where there is none, over all tests together.
_ALPHA: Final = 0.05
#: Two for each quantity, and one for failures.
_TESTS: Final = 2 * len(QUANTITIES) + 1
#: Smaller changes than this are not called a difference, however sure: nobody acts on them.
LEAST_CHANGE: Final = 0.01
#: From this share of the prompts on, a prefix cache that was warm for one run explains its latencies.
_CACHE_SHARE: Final = 0.05


@dataclass(frozen=True, slots=True)
class Change:
    """One figure of two runs.

    Attributes:
        name: such as `TTFT P99`.
        a, b: the figure in each run; seconds, a share for failures, or requests a second for the limit of a search.
        low, high: interval of B over A; `None` where it is not known.
        seen: whether there is a difference; `None` if there is too little to tell.
        note: how it was told.
    """

    name: str
    a: float
    b: float
    low: float | None
    high: float | None
    seen: bool | None
    note: str

    @property
    def ratio(self) -> float:
        """B over A."""
        if self.a == 0:
            return 1.0 if self.b == 0 else math.inf
        return self.b / self.a

    @property
    def worse(self) -> bool:
        """Whether there is a difference, and B is the slower, fails more often, or holds less."""
        return bool(self.seen) and (self.b < self.a if self.name == LIMIT else self.b > self.a)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs.

    Attributes:
        changes: figure by figure.
        warnings: why the comparison may mislead.
    """

    changes: Sequence[Change]
    warnings: Sequence[str]

    @property
    def worse(self) -> bool:
        """Whether B is worse in any figure."""
        return any(change.worse for change in self.changes)

    @property
    def conclusive(self) -> bool:
        """Whether there was enough to tell a difference of more than failures, or there is one."""
        return self.worse or any(change.seen is not None for change in self.changes if change.name != FAILURES)

    @property
    def sentence(self) -> str:
        """The result in one sentence."""
        seen = [change for change in self.changes if change.seen]
        if seen:
            return "; ".join(f"B's {change.name} is {_percent(change)}" for change in seen)
        if not self.conclusive:
            return "too few requests to tell a difference"
        return "no difference seen"


def _percent(change: Change) -> str:
    if change.name == LIMIT:
        return f"{change.b:.4g} instead of {change.a:.4g} requests/s"
    if change.name == FAILURES:
        return f"{100 * change.b:.3g} % instead of {100 * change.a:.3g} %"
    direction = "higher" if change.b > change.a else "lower"
    return f"{100 * abs(change.ratio - 1):.1f} % {direction}"


def compare(a: Mapping[str, Any], b: Mapping[str, Any]) -> Comparison:
    """Compare two results, A the baseline; of two searches what they found, not what it took to find it."""
    if a.get("search") and b.get("search"):
        return Comparison([_limits(a["search"], b["search"])], warnings(a, b))
    changes: list[Change] = []
    for quantity, name in QUANTITIES.items():
        first, second = values(a, quantity), values(b, quantity)
        if first and second:
            changes += [_median(name, first, second), _tail(name, first, second)]
    changes.append(_failures(a, b))
    return Comparison(changes, warnings(a, b))


def values(document: Mapping[str, Any], quantity: str) -> list[float]:
    """Return a latency of the successful requests in the order of sending."""
    samples = document["samples"]
    rows = zip(samples["sent"], samples[quantity], samples["cause"], strict=True)
    return [value for _, value, cause in sorted(rows, key=lambda row: row[0]) if cause is None and value is not None]


def _median(name: str, a: Sequence[float], b: Sequence[float]) -> Change:
    alpha = _ALPHA / _TESTS
    p = rank_test(a, b)
    low, high = ratio_interval(a, b, 50, alpha) or (None, None)
    first, second = percentile(sorted(a), 50), percentile(sorted(b), 50)
    if p is None:
        return Change(f"{name} P50", first, second, low, high, None, f"too few requests ({len(a)} and {len(b)})")
    seen = p < alpha and abs(second / first - 1) >= LEAST_CHANGE if first else p < alpha
    return Change(f"{name} P50", first, second, low, high, seen, f"Mann-Whitney on batch medians, p = {p:.2g}")


def _tail(name: str, a: Sequence[float], b: Sequence[float]) -> Change:
    interval = ratio_interval(a, b, 99, _ALPHA / _TESTS)
    first, second = percentile(sorted(a), 99), percentile(sorted(b), 99)
    if interval is None:
        note = f"too few requests ({len(a)} and {len(b)}; P99 needs 1000 in each)"
        return Change(f"{name} P99", first, second, None, None, None, note)
    low, high = interval
    seen = not low <= 1 <= high and abs(second / first - 1) >= LEAST_CHANGE
    return Change(f"{name} P99", first, second, low, high, seen, "bootstrap over batches")


def _limits(a: Mapping[str, Any], b: Mapping[str, Any]) -> Change:
    """Return the change of the limit: seen where the brackets that the searches ended with do not meet."""
    (good_a, bad_a), (good_b, bad_b) = _bracket(a), _bracket(b)
    low = good_b / bad_a if bad_a is not None else None
    high = bad_b / good_a if bad_b is not None and good_a else None
    seen = (bad_a is not None and good_b >= bad_a) or (bad_b is not None and good_a >= bad_b)
    return Change(LIMIT, good_a, good_b, low, high, seen, "brackets of the searches")


def _bracket(search: Mapping[str, Any]) -> tuple[float, float | None]:
    """Return the limit, 0 if nothing held, and the lowest rate that failed; `None` if all held."""
    failed = [trial["rate"] for trial in search["trials"] if not trial["held"]]
    return search["limit"] or 0.0, min(failed, default=None)


def _failures(a: Mapping[str, Any], b: Mapping[str, Any]) -> Change:
    p = fisher(a["failed"], a["requests"], b["failed"], b["requests"])
    first, second = (run["failed"] / run["requests"] if run["requests"] else 0.0 for run in (a, b))
    return Change(FAILURES, first, second, None, None, p < _ALPHA / _TESTS, f"Fisher's exact test, p = {p:.2g}")


def warnings(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """Return why a comparison of two results may mislead."""
    found = []
    for name, run in (("A", a), ("B", b)):
        if run["partial"]:
            found.append(f"{name} is partial: {run['partialReason']}")
        if run["late"] > run["requests"] / 100:
            found.append(f"{name} sent {run['late']} of {run['requests']} requests late: it tells of the generator")
    if a["specHash"] != b["specHash"]:
        differing = sorted(
            key for key in a["plan"].keys() | b["plan"].keys() if a["plan"].get(key) != b["plan"].get(key)
        )
        found.append(f"the runs did different things: they differ in {', '.join(differing) or 'their hash'}")
    elif a["sequenceHash"] != b["sequenceHash"]:
        found.append("the runs sent different requests: their sequence hashes differ")
    first, second = (run["cachedTokens"] or 0 for run in (a, b))
    if abs(first - second) > _CACHE_SHARE * max(run["promptTokens"] or 0 for run in (a, b)):
        found.append(
            f"the engine took {first} prompt tokens of A and {second} of B from its prefix cache; "
            "the same seed sends the same prompts again"
        )
    return found

"""The watchdog: whether an engine that has work makes progress. Pure.

Progress is any of: a token read or generated, a KV cache that fills or empties, an engine that counts anew, an engine
with nothing to do. Requests that end are none: clients give up on a hung engine too. It is judged for each
data-parallel rank, since one that hangs is hidden by the others' tokens. Waiting requests are no progress and no work:
new ones arrive at a hung engine too, and an engine that may not start them (paused, KV cache withheld) does not hang.

How long a rank may make none is learned from its own pace: a multiple of the longest gap that all but one in a hundred
of its gaps stay below. While a request has not had its first token, an iteration may be one long prefill, and the
engine tells nothing of its progress until it ends: then the limit is longer.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from autoglm_agent.engine.names import Latency
from autoglm_agent.engine.sample import EngineSample, Rank


@dataclass(frozen=True, slots=True)
class Limits:
    """How the patience is learned.

    Attributes:
        least: seconds without progress that never are a hang.
        most: seconds without progress that always are one.
        unknown: limit as long as the pace is not known: compilation and warm-up come with the first requests.
        prefill: least limit while a request waits for its first token in the batch.
        factor: on the P99 gap between two signs of progress.
        blind: seconds without a sample after which a rank is judged anew: what was not seen is no evidence.
    """

    least: float = 30.0
    most: float = 600.0
    unknown: float = 300.0
    prefill: float = 120.0
    factor: float = 10.0
    blind: float = 15.0


#: Bounds of the gaps that are counted, in seconds: 0.25 to 512, each 1.26 times the one before.
_GAPS: Final = tuple(0.25 * 2 ** (step / 3) for step in range(34))
_LEARNED: Final = 20
#: From so many gaps on, old ones are forgotten by halves.
_MOST_GAPS: Final = 4096
_P99: Final = 0.99


class Pace:
    """Gaps between two signs of progress, counted in buckets that grow by a quarter."""

    def __init__(self) -> None:
        self._counts = [0] * (len(_GAPS) + 1)
        self.gaps = 0

    def add(self, seconds: float) -> None:
        """Count a gap."""
        self._counts[bisect_left(_GAPS, seconds)] += 1
        self.gaps += 1
        if self.gaps >= _MOST_GAPS:
            self._counts = [count // 2 for count in self._counts]
            self.gaps = sum(self._counts)

    def p99(self) -> float | None:
        """Return the upper bound of the bucket of the P99 gap; `None` from fewer than twenty gaps."""
        if self.gaps < _LEARNED:
            return None
        rank, seen = math.ceil(_P99 * self.gaps), 0
        for bound, count in zip((*_GAPS, 2 * _GAPS[-1]), self._counts, strict=True):
            seen += count
            if seen >= rank:
                return bound
        return 2 * _GAPS[-1]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the engine hangs.

    Attributes:
        hung: whether it does.
        reason: why it does, or why it does not.
        silent: seconds without progress of the rank that has been without for longest, 0 if none has work.
        limit: seconds it may be without.
    """

    hung: bool = False
    reason: str = "the engine has told nothing yet"
    silent: float = 0.0
    limit: float = 0.0


@dataclass(slots=True)
class _Watched:
    """A rank and when it last made progress."""

    rank: Rank
    progressed: float


class Watchdog:
    """Judges an engine, one sample after the other.

    Args:
        limits: how the patience is learned.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._ranks: dict[str, _Watched] = {}
        self._pace = Pace()
        self._last: float | None = None
        self._prefilling = False
        self._idle = (0.0, 0.0)
        self.verdict = Verdict()

    def unreachable(self, now: float) -> Verdict:
        """Note that there is no sample: what is not seen is neither progress nor a hang.

        A verdict stands for as long as the engine may have been missed by chance; then it is withdrawn, because the
        process that hung may be gone.
        """
        if self._last is None or now - self._last > self._limits.blind:
            self._ranks.clear()
            self.verdict = Verdict(reason="the engine's metrics are not reachable: its progress is not known")
        return self.verdict

    def restart(self) -> None:
        """Forget what was seen of the process before this one; its pace stays, for the model is the same."""
        self._ranks.clear()

    def update(self, sample: EngineSample) -> Verdict:
        """Return the verdict with this sample."""
        now = sample.taken
        if self._last is None or not 0 <= now - self._last <= self._limits.blind:
            self._ranks.clear()
        self._last = now
        self._note_prefill(sample)
        if sample.held:
            self._ranks.clear()
            self.verdict = Verdict(reason=sample.held)
            return self.verdict
        self._ranks = {name: self._watched(self._ranks.get(name), rank, now) for name, rank in sample.ranks.items()}
        self.verdict = self._judge(sample.ranks, now)
        return self.verdict

    def _watched(self, before: _Watched | None, rank: Rank, now: float) -> _Watched:
        if before is None or not rank.running or not before.rank.running:
            return _Watched(rank, now)
        if before.rank.tokens == rank.tokens and before.rank.kv_cache == rank.kv_cache:
            return _Watched(rank, before.progressed)
        self._pace.add(now - before.progressed)
        return _Watched(rank, now)

    def _note_prefill(self, sample: EngineSample) -> None:
        """Note whether a request in the batch has not had its first token.

        Of the requests that had their first token, those that have not ended are in the batch; what is more in the
        batch is in prefill. Requests that are aborted before their first token shift the count, which an empty engine
        sets right.
        """
        first = sample.totals.get(Latency.TTFT)
        if first is None or sample.finished is None:
            self._prefilling = False
            return
        decoding, preempted = first.count - sample.finished, sample.preemptions or 0.0
        if not sample.running and not sample.waiting:
            self._idle = (decoding, preempted)
        # A request that lost its blocks waits with its first token behind it, and will be computed again in one go.
        recomputing = sample.waiting > 0 and preempted != self._idle[1]
        self._prefilling = sample.running > decoding - self._idle[0] or recomputing

    def limit(self) -> float:
        """Return the seconds without progress that are a hang at present."""
        limits, usual = self._limits, self._pace.p99()
        seconds = limits.unknown if usual is None else limits.factor * usual
        if self._prefilling:
            seconds = max(seconds, limits.prefill)
        return min(max(seconds, limits.least), limits.most)

    def _judge(self, ranks: Mapping[str, Rank], now: float) -> Verdict:
        silent = {name: now - self._ranks[name].progressed for name in _busy(ranks)}
        if not silent:
            return Verdict(reason="the engine has nothing to do")
        worst = max(silent, key=lambda name: silent[name])
        seconds, limit = silent[worst], self.limit()
        which = f" of rank {worst}" if len(ranks) > 1 else ""
        running = f"{ranks[worst].running:g} requests{which}"
        if seconds < limit:
            return Verdict(reason=f"{running} make progress", silent=seconds, limit=limit)
        reason = (
            f"{running} are in the batch and no token was read or generated for {seconds:.0f} s; "
            f"at its own pace the engine needs less than {limit:.0f} s"
        )
        return Verdict(hung=True, reason=reason, silent=seconds, limit=limit)


def _busy(ranks: Mapping[str, Rank]) -> Iterable[str]:
    return (name for name, rank in ranks.items() if rank.running)

"""What the engine did lately: rates and quantiles over a sliding window, out of one sample after the other. Pure."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from autoglm_agent.engine.histograms import Increase, added
from autoglm_agent.engine.names import Latency
from autoglm_agent.engine.sample import EngineSample, Total
from autoglm_agent.signals.stability import Stability, stability

WINDOW_SECONDS: Final = 60.0
#: Two samples further apart than this have nothing to do with each other: the machine slept, or the engine was away.
GAP_SECONDS: Final = WINDOW_SECONDS
QUANTILES: Final = (0.5, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class Figures:
    """What an engine did in the window that ends with its last sample; `None` where nothing is known.

    Attributes:
        sample: the last sample.
        quantiles: P50, P95 and P99 of each latency in seconds.
        generation_rate: tokens generated, per second.
        prompt_rate: prompt tokens read, per second.
        preemption_rate: requests that lost their KV blocks, per second.
        prefix_hit_ratio: share of the prompt tokens looked up that were in the prefix cache.
        pace: mean seconds between two tokens of a request since the sample before; `None` if none came.
        stability: how even the latencies are.
        restarted: whether the engine began to count anew with this sample.
    """

    sample: EngineSample
    quantiles: Mapping[Latency, tuple[float, ...]] = field(default_factory=dict)
    generation_rate: float | None = None
    prompt_rate: float | None = None
    preemption_rate: float | None = None
    prefix_hit_ratio: float | None = None
    pace: float | None = None
    stability: Stability = field(default_factory=Stability)
    restarted: bool = False

    @property
    def kv_reserved_free_tokens(self) -> float | None:
        """Tokens of KV cache that the engine holds and no request uses."""
        sample = self.sample
        if sample.kv_tokens is None or sample.kv_cache is None:
            return None
        return sample.kv_tokens * (1.0 - sample.kv_cache)


@dataclass(slots=True)
class _Step:
    """What was counted between two samples."""

    taken: float
    seconds: float
    generated: float
    read: float
    preempted: float
    queried: float
    hit: float
    pace: float | None


class EngineView:
    """Takes samples in and keeps the window over them."""

    def __init__(self) -> None:
        self._last: EngineSample | None = None
        self._steps: deque[_Step] = deque()
        self._whole = {latency: Increase(WINDOW_SECONDS) for latency in Latency}
        self._late = {latency: Increase(WINDOW_SECONDS / 2) for latency in Latency}

    def add(self, sample: EngineSample) -> Figures:
        """Return the figures with this sample."""
        last, self._last = self._last, sample
        if last is not None and not 0 < sample.taken - last.taken <= GAP_SECONDS:
            self._forget()
            last = None
        if last is None:
            return Figures(sample)
        restarted = _restarted(last, sample)
        step = _step(last, sample)
        self._steps.append(step)
        while self._steps[0].taken <= sample.taken - WINDOW_SECONDS:
            self._steps.popleft()
        self._observe(last, sample)
        return self._figures(sample, step, restarted=restarted)

    def _forget(self) -> None:
        self._steps.clear()
        for increase in (*self._whole.values(), *self._late.values()):
            increase.clear()

    def _observe(self, last: EngineSample, sample: EngineSample) -> None:
        for latency, new in sample.histograms.items():
            if (old := last.histograms.get(latency)) is None:
                continue
            more = added(old, new)
            self._whole[latency].add(sample.taken, new.bounds, more)
            self._late[latency].add(sample.taken, new.bounds, more)

    def _figures(self, sample: EngineSample, step: _Step, *, restarted: bool) -> Figures:
        steps = self._steps
        seconds = sum(each.seconds for each in steps)
        queried = sum(each.queried for each in steps)
        quantiles = {}
        for latency, increase in self._whole.items():
            found = [value for q in QUANTILES if (value := increase.quantile(q)) is not None]
            if found:
                quantiles[latency] = tuple(found)
        return Figures(
            sample=sample,
            quantiles=quantiles,
            generation_rate=_rate(sample.generation_tokens, sum(each.generated for each in steps), seconds),
            prompt_rate=_rate(sample.prompt_tokens, sum(each.read for each in steps), seconds),
            preemption_rate=_rate(sample.preemptions, sum(each.preempted for each in steps), seconds),
            prefix_hit_ratio=min(1.0, sum(each.hit for each in steps) / queried) if queried else None,
            pace=step.pace,
            stability=stability([each.pace for each in steps if each.pace], self._halves()),
            restarted=restarted,
        )

    def _halves(self) -> list[tuple[list[float], list[float]]]:
        """Return what each latency counted in the first and in the second half of the window, bucket by bucket."""
        halves = []
        for latency, whole in self._whole.items():
            late = self._late[latency]
            # How long a whole request takes is the user's doing, not the engine's.
            if latency is not Latency.E2E and whole.bounds and late.bounds == whole.bounds:
                early = [a - b for a, b in zip(whole.counts, late.counts, strict=True)]
                halves.append((_buckets(early), _buckets(late.counts)))
        return halves


def _buckets(cumulative: Sequence[float]) -> list[float]:
    return [count - below for count, below in zip(cumulative, (0.0, *cumulative[:-1]), strict=True)]


def _restarted(last: EngineSample, sample: EngineSample) -> bool:
    pairs = (
        (last.generation_tokens, sample.generation_tokens),
        (last.prompt_tokens, sample.prompt_tokens),
        (last.finished, sample.finished),
    )
    return any(old is not None and new is not None and new < old for old, new in pairs)


def _step(last: EngineSample, sample: EngineSample) -> _Step:
    return _Step(
        taken=sample.taken,
        seconds=sample.taken - last.taken,
        generated=_grown(last.generation_tokens, sample.generation_tokens),
        read=_grown(last.prompt_tokens, sample.prompt_tokens),
        preempted=_grown(last.preemptions, sample.preemptions),
        queried=_grown(last.prefix_queries, sample.prefix_queries),
        hit=_grown(last.prefix_hits, sample.prefix_hits),
        pace=_mean(last.totals.get(Latency.ITL), sample.totals.get(Latency.ITL)),
    )


def _grown(old: float | None, new: float | None) -> float:
    """Return what a counter counted; all of it if it fell, which means that the engine started again."""
    if old is None or new is None:
        return 0.0
    return new - old if new >= old else new


def _mean(old: Total | None, new: Total | None) -> float | None:
    if old is None or new is None or new.count <= old.count or new.seconds < old.seconds:
        return None
    return (new.seconds - old.seconds) / (new.count - old.count)


def _rate(told: float | None, count: float, seconds: float) -> float | None:
    return None if told is None or seconds <= 0 else count / seconds

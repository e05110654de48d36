"""From the samples of one deployment's pods to what the control law is told of a tick: pure.

```
arrivals   first tokens + change of the queue + refused, of each pod over the time between its own two samples
batch      what all inter-token latencies of a pod add up to, per second: by Little's law the requests that decoded
tokens     of the last minute, since an answer takes longer than a tick
late       share of the events outside an objective, the worse of the two, of the requests that got a first token
```

A pod that starts again counts from nothing. One that is silent is taken to get what the others get, so that demand does
not seem to fall with it. The time that the law goes by is that of a clock that nobody sets: Unix time at the first
tick, and monotonic from there on.
"""

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from autoglm_operator.autoscaler import slo
from autoglm_operator.autoscaler.engine_metrics import EngineSample
from autoglm_operator.autoscaler.pods import EnginePod
from autoglm_operator.autoscaler.snapshot import STALE_TICKS, are_fresh
from autoglm_operator.autoscaler.store import History, Row
from autoglm_operator.decide.bottleneck import Setup
from autoglm_operator.decide.law.types import Sample
from autoglm_operator.decide.scaling.quantiles import Histogram
from autoglm_operator.slo_metrics import ITL, TTFT

#: Over which the tokens of a request are counted.
TOKEN_SECONDS: Final = 60.0
#: By which the clocks of this process and of the API server may differ.
_SKEW_SECONDS: Final = 30.0


@dataclass(slots=True)
class _Known:
    """What is remembered of a pod: its last sample, and the requests per second that came to it before that."""

    sample: EngineSample
    rate: float | None = None


@dataclass(slots=True)
class _Tick:
    """What the pods together did between their last two samples.

    Attributes:
        begun: requests that got a first token.
        ended: requests that ended well.
        prompt: prompt tokens that were computed.
        output: tokens of answers.
        gaps: inter-token latencies that were observed.
        gap_seconds: their sum.
        batch: requests that decoded at once in a pod, times the gaps of that pod.
        prefill: prompt tokens per second of a pod, times the gaps of that pod.
        events: judged by the objectives.
    """

    begun: float = 0.0
    ended: float = 0.0
    prompt: float = 0.0
    output: float = 0.0
    gaps: float = 0.0
    gap_seconds: float = 0.0
    batch: float = 0.0
    prefill: float = 0.0
    events: slo.Events = field(default_factory=slo.Events)


@dataclass(slots=True)
class Seen:
    """What is remembered of a deployment from one tick to the next.

    Attributes:
        began: monotonic time of the first tick.
        wall: Unix time of the first tick.
        interval: seconds between two scrapes.
        now: monotonic time of the last tick; `None` before the first.
        pods: by uid.
        owed: requests per second by which the last tick came out below nothing: a request that left the queue, and has
            no first token yet, was counted when it came.
        ticks: of the last minute, each with its time.
    """

    began: float
    wall: float
    interval: float
    now: float | None = None
    pods: dict[str, _Known] = field(default_factory=dict)
    owed: float = 0.0
    ticks: deque[tuple[float, _Tick]] = field(default_factory=deque)


def feed(rows: Sequence[Row], seen: Seen, setup: Setup, ordered: int, now: float) -> Sample | None:
    """Return the sample of a tick, and remember it in `seen`; `None` if what arrives cannot be told.

    Args:
        rows: the deployment's pods, with what is known of each.
        seen: of the ticks before.
        setup: with the objectives that requests may be late by.
        ordered: replicas that `spec.replicas` asks for.
        now: monotonic time.
    """
    ready = [row for row in rows if row[0].ready]
    fresh = are_fresh(ready, now, seen.interval)
    sound = [row for row in fresh if is_sound(row[1].samples[-1])]
    tick = _Tick()
    rates = [rate for row in sound if (rate := _visit(row, seen, setup, now, tick)) is not None]
    last, seen.now = seen.now, now
    _forget(seen, rows)
    if last is None or not rates or not _counts([row[1].samples[-1] for row in sound]):
        return None
    _remember(seen, tick, now)
    silent = _silent(ready, sound, now - STALE_TICKS * seen.interval)
    arrivals = sum(rates) * (1 + silent / len(rates)) + seen.owed
    seen.owed = min(0.0, arrivals)
    input_tokens, output_tokens = _tokens(seen)
    return Sample(
        now=seen.wall + now - seen.began,
        seconds=now - last,
        arrivals=max(0.0, arrivals),
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        waiting=sum(row[1].samples[-1].waiting for row in sound),
        batch=tick.batch / tick.gaps if tick.gaps else 0.0,
        prefill_rate=tick.prefill / tick.gaps if tick.gaps else 0.0,
        itl=tick.gap_seconds / tick.gaps if tick.gaps else 0.0,
        requests=tick.begun,
        late=tick.begun * _late_share(tick.events),
        ready=len(sound),
        ordered=ordered,
        doubt=f"{silent} of {len(ready)} ready pods tell nothing, or nothing that can be" if silent else "",
    )


def is_sound(sample: EngineSample) -> bool:
    """Whether a sample holds nothing but finite numbers of at least 0."""
    numbers = (
        *(sample.taken, sample.running, sample.waiting, sample.kv_cache, sample.ended, sample.failed),
        *(sample.prompt_tokens, sample.generation_tokens, sample.cached_tokens, sample.itl_seconds or 0.0),
        *(_count(sample.ttft), _count(sample.itl)),
    )
    return math.isfinite(sum(numbers)) and min(numbers) >= 0


def _count(histogram: Histogram | None) -> float:
    return histogram.counts[-1] if histogram is not None else 0.0


def _visit(row: Row, seen: Seen, setup: Setup, now: float, tick: _Tick) -> float | None:
    """Add what one pod did since its last sample; return the requests per second that come to it, if known."""
    pod, history = row
    new, known = history.samples[-1], seen.pods.get(pod.uid)
    if known is None:
        known = seen.pods[pod.uid] = _Known(new)
        if not _is_new(pod, history, seen):
            return None
        old, seconds = None, now - (seen.now or now)
    else:
        old, seconds = known.sample, new.taken - known.sample.taken
        if seconds <= 0:
            return known.rate
        known.sample = new
    if old is not None and slo.restarted(old, new):
        old = None
    if seconds > 0:
        known.rate = _add(tick, old, new, setup, seconds)
    return known.rate


def _is_new(pod: EnginePod, history: History, seen: Seen) -> bool:
    """Whether all that the pod counted was counted since the last tick."""
    if seen.now is None or history.ready_since is None:
        return False
    return pod.created > seen.wall + _SKEW_SECONDS and history.ready_since > seen.now


def _add(tick: _Tick, old: EngineSample | None, new: EngineSample, setup: Setup, seconds: float) -> float:
    """Add what happened between two samples of one engine; return its arrivals per second, which may be negative."""
    events = slo.events(old, new, setup)
    failed = new.failed - (old.failed if old else 0.0)
    ended = new.ended - (old.ended if old else 0.0)
    prompt = max(0.0, events.tokens[slo.INPUT] - events.tokens[slo.CACHED])
    if new.ttft is None:
        begun = ended - failed
        arrived = new.in_flight - (old.in_flight if old else 0.0) + ended
    else:
        begun = _count(new.ttft) - (_count(old.ttft) if old else 0.0)
        arrived = begun + new.waiting - (old.waiting if old else 0.0) + failed
    tick.begun += max(0.0, begun)
    tick.ended += max(0.0, ended - failed)
    tick.prompt += prompt
    tick.output += events.tokens[slo.OUTPUT]
    tick.events.add(events)
    if old is not None:
        _add_gaps(tick, old, new, seconds, prompt)
    return arrived / seconds


def _add_gaps(tick: _Tick, old: EngineSample, new: EngineSample, seconds: float, prompt: float) -> None:
    """Add what a pod decoded, weighted by its tokens: one with nothing to do says nothing of the others' speed."""
    gaps = _count(new.itl) - _count(old.itl)
    if old.itl_seconds is None or new.itl_seconds is None or gaps <= 0:
        return
    spent = max(0.0, new.itl_seconds - old.itl_seconds)
    tick.gaps += gaps
    tick.gap_seconds += spent
    tick.batch += gaps * spent / seconds
    tick.prefill += gaps * prompt / seconds


def _counts(samples: Iterable[EngineSample]) -> bool:
    """Whether the engines count requests; one that never had any is taken to."""
    return all(sample.ttft is not None or sample.ended > 0 or sample.in_flight == 0 for sample in samples)


def _silent(ready: Sequence[Row], sound: Sequence[Row], oldest: float) -> int:
    """Return how many pods do not tell; one that became ready since the last scrape is not silent yet."""
    telling = {row[0].uid for row in sound}
    others = (row[1] for row in ready if row[0].uid not in telling)
    return sum(bool(history.samples) or (history.ready_since or 0.0) < oldest for history in others)


def _forget(seen: Seen, rows: Sequence[Row]) -> None:
    """Drop pods that are gone."""
    for uid in seen.pods.keys() - {pod.uid for pod, _ in rows}:
        del seen.pods[uid]


def _remember(seen: Seen, tick: _Tick, now: float) -> None:
    seen.ticks.append((now, tick))
    while seen.ticks[0][0] <= now - TOKEN_SECONDS:
        seen.ticks.popleft()


def _tokens(seen: Seen) -> tuple[float, float]:
    """Return prompt and output tokens per request of the last minute; 0 if they cannot be told."""
    begun = ended = prompt = output = 0.0
    for _, tick in seen.ticks:
        begun += tick.begun
        ended += tick.ended
        prompt += tick.prompt
        output += tick.output
    if begun <= 0 or ended <= 0 or output <= 0:
        return 0.0, 0.0
    # While demand rises more requests begin than end, and the tokens are those of something between.
    return prompt / begun, 2 * output / (begun + ended)


def _late_share(events: slo.Events) -> float:
    """Return the share that is late by the worse objective: each is a promise of its own."""
    shares = [1.0 - events.good[name] / judged for name in (TTFT, ITL) if (judged := events.judged.get(name, 0.0)) > 0]
    return max(shares, default=0.0)

"""From the samples of one deployment's pods to its signals and served values: pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Self

from autoglm_operator.api.signals import (
    GPU_MEMORY_UTILIZATION,
    ITL_P99,
    KV_CACHE_UTILIZATION,
    QUEUE_DEPTH,
    RUNNING_REQUESTS,
    TTFT_P99,
)
from autoglm_operator.autoscaler.engine_metrics import EngineSample
from autoglm_operator.autoscaler.store import History, Row
from autoglm_operator.decide.scaling.needs import LEAST_QUEUE, Signals, Tail
from autoglm_operator.decide.scaling.quantiles import Histogram, Increase, increase, pool, quantile
from autoglm_operator.decide.scaling.rule import EVIDENCE_SECONDS

#: A sample older than this many scrape intervals is no sample.
STALE_TICKS: Final = 3
#: GPU figures older than this are none.
AGENT_STALE_SECONDS: Final = 30.0
_P99: Final = 0.99

_Choose = Callable[[EngineSample], Histogram | None]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One deployment at one moment.

    Attributes:
        taken: monotonic time of the oldest sample in it.
        signals: what the scaling law decides on.
        values: metric name → value, of those that can be told.
        problems: metric name → why it cannot be told.
        demand: requests that arrive per second; `None` without a fresh sample.
    """

    taken: float
    signals: Signals
    values: Mapping[str, float]
    problems: Mapping[str, str]
    demand: float | None = None


def are_fresh(pods: Iterable[Row], now: float, interval: float) -> list[Row]:
    """Return the ready pods whose last sample is good for a decision."""
    oldest = now - STALE_TICKS * interval
    return [row for row in pods if row[0].ready and row[1].samples and oldest <= row[1].samples[-1].taken <= now]


def take(pods: Iterable[Row], now: float, interval: float, saturated_rate: float | None = None) -> Snapshot:
    """Return the snapshot of a deployment.

    Args:
        pods: its pods with what is known of each.
        now: monotonic time.
        interval: seconds between two scrapes.
        saturated_rate: the last one known, see `Signals`.
    """
    rows = list(pods)
    ready = [row for row in rows if row[0].ready]
    oldest = now - STALE_TICKS * interval
    fresh = are_fresh(ready, now, interval)
    others = [row for row in ready if row not in fresh]
    # One that became ready since the last scrape is not silent yet.
    silent = [row for row in others if (row[1].ready_since or 0.0) < oldest]
    new = len(others) - len(silent)
    lately = [[s for s in history.samples if s.taken >= now - EVIDENCE_SECONDS] for _, history in fresh]
    observed = _Observed.of(fresh, lately)
    signals = _signals(rows, observed, now, saturated_rate=saturated_rate, silent=len(silent), new=new)
    values, problems = _values(observed, signals, now)
    if silent:
        why = _silence(silent, len(ready), now)
        values, problems = {}, dict.fromkeys((*values, *problems), why)
    taken = min((history.samples[-1].taken for _, history in fresh), default=now)
    return Snapshot(taken, signals, values, problems, _demand(observed))


@dataclass(frozen=True, slots=True)
class _Observed:
    """What the fresh pods showed, each reckoned once.

    Attributes:
        fresh: the pods.
        lately: samples of the last seconds of each.
        rates: first tokens per second in these.
        settled: monotonic time since when all of them are ready.
        window: by objective, what was observed over the whole window.
        since: the same since `settled`.
    """

    fresh: Sequence[Row]
    lately: Sequence[Sequence[EngineSample]]
    rates: Sequence[float]
    settled: float
    window: Mapping[str, Increase | None]
    since: Mapping[str, Increase | None]

    @classmethod
    def of(cls, fresh: Sequence[Row], lately: Sequence[Sequence[EngineSample]]) -> Self:
        """Reckon."""
        settled = max((history.ready_since or 0.0 for _, history in fresh), default=0.0)
        window = {name: _increase(fresh, choose, 0.0) for name, choose in _LATENCIES.items()}
        since = window
        if any(history.samples[0].taken < settled for _, history in fresh):
            since = {name: _increase(fresh, choose, settled) for name, choose in _LATENCIES.items()}
        return cls(fresh, lately, [_rate(samples) for samples in lately], settled, window, since)

    def tail(self, name: str) -> Tail | None:
        """Return the P99 since all pods are ready."""
        observed = self.since[name]
        p99 = quantile(_P99, observed)
        return None if observed is None or p99 is None else Tail(p99, int(observed.observations))


def _signals(
    rows: Sequence[Row], observed: _Observed, now: float, *, saturated_rate: float | None, silent: int, new: int
) -> Signals:
    fresh = observed.fresh
    latest = [history.samples[-1] for _, history in fresh]
    waiting_for_node = sum(pod.unschedulable for pod, _ in rows)
    return Signals(
        ready=len(fresh),
        silent=silent,
        starting=new + sum(not pod.ready and not pod.unschedulable for pod, _ in rows),
        unschedulable=waiting_for_node,
        waiting=sum(sample.waiting for sample in latest),
        running=sum(sample.running for sample in latest),
        peak=sum(max(sample.in_flight for sample in samples) for samples in observed.lately),
        kv_cache=_mean([sample.kv_cache for sample in latest]) or 0.0,
        ttft=observed.tail(TTFT_P99.name),
        itl=observed.tail(ITL_P99.name),
        rate=sum(observed.rates),
        saturated_rate=_saturated_rate(history for _, history in fresh) or saturated_rate,
        evidence=min((now - max(history.samples[0].taken, observed.settled) for _, history in fresh), default=0.0),
    )


def _values(observed: _Observed, signals: Signals, now: float) -> tuple[dict[str, float], dict[str, str]]:
    fresh = observed.fresh
    measured = {
        QUEUE_DEPTH.name: signals.waiting,
        RUNNING_REQUESTS.name: signals.running,
        KV_CACHE_UTILIZATION.name: signals.kv_cache,
    }
    if not fresh:
        return {}, dict.fromkeys((*measured, *_LATENCIES, GPU_MEMORY_UTILIZATION.name), _none(signals))
    values: dict[str, float] = dict(measured)
    problems: dict[str, str] = {}
    for name, seen in observed.window.items():
        p99 = quantile(_P99, seen)
        if p99 is not None:
            values[name] = p99
        elif signals.in_flight == 0:
            # Nobody waits for anything: an error here would keep the HPA from ever removing an idle replica.
            values[name] = 0.0
        else:
            problems[name] = f"{signals.in_flight:.0f} requests in flight, but none observed in the window"
    memory = _gpu_memory(fresh, now)
    if memory is None:
        problems[GPU_MEMORY_UTILIZATION.name] = f"no agent gave a figure younger than {AGENT_STALE_SECONDS:.0f} s"
    else:
        values[GPU_MEMORY_UTILIZATION.name] = memory
    return values, problems


def _none(signals: Signals) -> str:
    return f"no replica is ready ({signals.starting} starting, {signals.unschedulable} without a node)"


def _silence(silent: Sequence[Row], ready: int, now: float) -> str:
    pod, history = silent[0]
    since = f"{now - history.samples[-1].taken:.0f} s ago" if history.samples else "never"
    error = f", last error: {history.error}" if history.error else ""
    return f"{len(silent)} of {ready} ready pods without fresh metrics; {pod.name} answered {since}{error}"


def _ttft(sample: EngineSample) -> Histogram | None:
    return sample.ttft


def _itl(sample: EngineSample) -> Histogram | None:
    return sample.itl


_LATENCIES: Final[Mapping[str, _Choose]] = {TTFT_P99.name: _ttft, ITL_P99.name: _itl}


def _increase(rows: Iterable[Row], choose: _Choose, since: float) -> Increase | None:
    """Return what all pods together observed in the window after `since`."""
    parts = []
    for _, history in rows:
        histograms = [h for sample in history.samples if sample.taken >= since and (h := choose(sample)) is not None]
        if (part := increase(histograms)) is not None:
            parts.append(part)
    return pool(parts)


def _rate(samples: Sequence[EngineSample]) -> float:
    """Return the first tokens per second of one pod."""
    observed = increase([sample.ttft for sample in samples if sample.ttft is not None])
    return observed.observations / (samples[-1].taken - samples[0].taken) if observed is not None else 0.0


def _demand(observed: _Observed) -> float | None:
    """Return the requests that came per second: those that got a first token, and those that wait or were refused."""
    if not observed.fresh:
        return None
    arrivals = 0.0
    for samples, rate in zip(observed.lately, observed.rates, strict=True):
        first, last = samples[0], samples[-1]
        if last.taken > first.taken:
            left = last.waiting - first.waiting + max(0.0, last.failed - first.failed)
            arrivals += max(0.0, rate + left / (last.taken - first.taken))
    return arrivals


def _saturated_rate(histories: Iterable[History]) -> float | None:
    """Return the most first tokens per second of one pod between two scrapes that both found a queue.

    One request that happens to wait at both does not make a queue: the rate of an idle pod would then pass for all
    that it can do, and no replica would ever be spared.
    """
    rates = [
        _rate(pair)
        for history in histories
        for pair in pairwise(history.samples)
        if all(sample.waiting >= LEAST_QUEUE for sample in pair)
    ]
    return max(rates, default=None)


def _gpu_memory(rows: Iterable[Row], now: float) -> float | None:
    fresh = [h.gpu for _, h in rows if h.gpu is not None and 0 <= now - h.gpu.taken <= AGENT_STALE_SECONDS]
    return _mean([share for sample in fresh for share in sample.memory])


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None

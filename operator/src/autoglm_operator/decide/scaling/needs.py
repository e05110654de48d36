"""What each cause asks for, and the signals it judges by: pure."""

from dataclasses import dataclass
from enum import StrEnum
from math import ceil
from typing import Final

from autoglm_operator.api.types import seconds
from autoglm_operator.api.v1alpha1 import Autoscaling

_LATENCY_PERCENT: Final = 90
_MEMORY_PERCENT: Final = 90
#: Fewer waiting requests of one replica than these are the jitter of arrivals, not a queue.
LEAST_QUEUE: Final = 4.0
#: With fewer observations the 99th percentile is just the slowest request.
_LEAST_OBSERVATIONS: Final = 20
_MOST_GROWTH: Final = 2.0


class ScalingReason(StrEnum):
    """Why the number is what it is."""

    QUEUE = "QueueBacklog"
    LATENCY = "LatencyOverObjective"
    MEMORY = "MemoryPressure"
    SPARE = "SpareCapacity"
    IDLE = "Idle"
    STEADY = "Steady"
    UNCERTAIN = "Uncertain"
    NO_READY_REPLICA = "NoReadyReplica"
    UNSCHEDULABLE = "Unschedulable"
    BOUNDS = "OutOfBounds"
    LOAD = "Load"
    LEAD = "ColdStartLead"
    PERIOD = "Period"
    HOLD = "Hold"


@dataclass(frozen=True, slots=True)
class Tail:
    """A 99th percentile, in seconds, and what it rests on."""

    p99: float
    observations: int


@dataclass(frozen=True, slots=True)
class Signals:
    """What the pods of one deployment say.

    Attributes:
        ready: ready pods with a fresh sample.
        silent: ready pods without one.
        starting: pods that are not ready yet.
        unschedulable: pods that no node takes.
        waiting: requests in the queues.
        running: requests in the batches.
        peak: most requests in flight lately, each pod's own peak added up.
        kv_cache: share of the KV cache in use, mean over the pods.
        ttft: of the requests since the last pod became ready; `None` without any.
        itl: as `ttft`.
        rate: first tokens per second lately, all pods.
        saturated_rate: first tokens per second of one pod when it last had a queue; `None` if it never had.
        evidence: seconds over which every pod has samples.
    """

    ready: int
    silent: int = 0
    starting: int = 0
    unschedulable: int = 0
    waiting: float = 0.0
    running: float = 0.0
    peak: float = 0.0
    kv_cache: float = 0.0
    ttft: Tail | None = None
    itl: Tail | None = None
    rate: float = 0.0
    saturated_rate: float | None = None
    evidence: float = 0.0

    @property
    def in_flight(self) -> float:
        """Requests in the batches and queues."""
        return self.running + self.waiting


@dataclass(frozen=True, slots=True)
class Need:
    """What one cause asks for, in one sentence with its numbers."""

    replicas: int
    reason: ScalingReason
    because: str


def find_needs(autoscaling: Autoscaling, batch: int, signals: Signals) -> tuple[Need, ...]:
    """Return what the causes ask for, each more than the ready replicas, the largest first.

    Args:
        autoscaling: objective and signals of the spec; a signal that is left out asks for nothing.
        batch: most requests in the batch of one replica.
        signals: of at least one ready replica.
    """
    needs = (
        *_queue(autoscaling, batch, signals),
        *_latency(autoscaling, signals),
        *_memory(autoscaling, signals),
    )
    # Stable: the queue is named first among equals, since it is the cause of a bad P99 and not the other way round.
    return tuple(sorted(needs, key=lambda need: -need.replicas))


def _queue(autoscaling: Autoscaling, batch: int, signals: Signals) -> list[Need]:
    signal = autoscaling.signals.queue_depth
    if signal is None or signals.waiting <= queue_target(autoscaling, signals) * signals.ready:
        return []
    waits = f"{requests(signals.waiting, 'wait')} and {signals.running:.0f} run"
    places = ceil(signals.in_flight / batch)
    because = f"{waits}; at {batch} in a batch per replica, {places} replicas are needed"
    needs = [Need(places, ScalingReason.QUEUE, because)]
    # Places are free and requests wait all the same: prompts or KV cache are the limit, and how far a replica gets
    # under it shows in how many it runs.
    grown = _grown(signals, signals.in_flight / max(1.0, signals.running))
    if grown > places:
        because = f"{waits}, short of {signals.ready * batch:.0f} places in the batch; {grown} replicas share them"
        needs.append(Need(grown, ScalingReason.QUEUE, because))
    if signal.target:
        wanted = ceil(signals.waiting / signal.target)
        because = f"{waits}; signals.queueDepth.target is {signal.target} per replica, {wanted} replicas are needed"
        needs.append(Need(wanted, ScalingReason.QUEUE, because))
    return needs


def queue_target(autoscaling: Autoscaling, signals: Signals) -> float:
    """Return how many requests may wait for one replica: the user's figure, or what it starts in half the objective."""
    signal = autoscaling.signals.queue_depth
    if signal is not None and signal.target:
        return float(signal.target)
    rate = signals.saturated_rate or 0.0
    return max(LEAST_QUEUE, rate * seconds(autoscaling.objective.ttft_p99) / 2)


def _latency(autoscaling: Autoscaling, signals: Signals) -> list[Need]:
    needs = []
    for name, tail, limit in latencies(autoscaling, signals):
        if tail.observations < _LEAST_OBSERVATIONS or tail.p99 <= limit:
            continue
        # More replicas than requests would not make any of them faster.
        replicas = min(_grown(signals, tail.p99 / limit), ceil(signals.peak))
        if replicas <= signals.ready:
            continue
        because = (
            f"P99 {name} is {milliseconds(tail.p99)} over {tail.observations} observations; "
            f"replicas are added from {milliseconds(limit)}"
        )
        needs.append(Need(replicas, ScalingReason.LATENCY, because))
    return needs


def latencies(autoscaling: Autoscaling, signals: Signals) -> list[tuple[str, Tail, float]]:
    """Return name, tail and limit in seconds of each latency that was observed and is followed."""
    signal, objective = autoscaling.signals.latency_p99, autoscaling.objective
    if signal is None:
        return []
    share = (signal.target or _LATENCY_PERCENT) / 100
    rows = (("TTFT", signals.ttft, objective.ttft_p99), ("ITL", signals.itl, objective.itl_p99))
    return [(name, tail, seconds(promised) * share) for name, tail, promised in rows if tail is not None]


def _memory(autoscaling: Autoscaling, signals: Signals) -> list[Need]:
    limit = memory_limit(autoscaling)
    if limit is None or signals.kv_cache <= limit:
        return []
    replicas = min(_grown(signals, signals.kv_cache / limit), ceil(signals.peak))
    if replicas <= signals.ready:
        return []
    because = f"{signals.kv_cache:.0%} of the KV cache is in use; replicas are added from {limit:.0%}"
    return [Need(replicas, ScalingReason.MEMORY, because)]


def memory_limit(autoscaling: Autoscaling) -> float | None:
    """Return the share of the KV cache from which replicas are added; `None` if memory is not followed."""
    signal = autoscaling.signals.memory_pressure
    return None if signal is None else (signal.target or _MEMORY_PERCENT) / 100


def _grown(signals: Signals, factor: float) -> int:
    # Rounded first: 1.1 * 10 is a little more than 11, and must not become 12.
    return ceil(round(signals.ready * min(_MOST_GROWTH, factor), 6))


def plural(word: str, number: float) -> str:
    """Return `word` as it stands beside `number`."""
    return word if number == 1 else f"{word}s"


def requests(number: float, verb: str) -> str:
    """Return a clause such as `48 requests wait`."""
    return f"{number:.0f} request {verb}s" if round(number) == 1 else f"{number:.0f} requests {verb}"


def milliseconds(value: float) -> str:
    """Return a time in whole milliseconds, such as `812ms`."""
    return f"{value * 1000:.0f}ms"

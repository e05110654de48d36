"""From the samples of one deployment's pods to the figures that a bottleneck is told from: pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from typing import Final

from autoglm_operator.api.status import Bottleneck
from autoglm_operator.autoscaler.engine_metrics import EngineSample
from autoglm_operator.autoscaler.snapshot import Snapshot
from autoglm_operator.autoscaler.store import History
from autoglm_operator.decide.bottleneck import (
    WINDOW_SECONDS,
    Cause,
    Figures,
    Finding,
    Held,
    Setup,
    diagnose,
    settle,
)
from autoglm_operator.decide.scaling.needs import LEAST_QUEUE

#: Seconds of samples below which nothing is said.
_LEAST_SECONDS: Final = 15.0
#: Of the largest batch in the window, that the smallest may fall short of it on a plateau.
_PLATEAU: Final = 0.02
_EVIDENCE: Final = ("sm", "tensor", "dram", "kv_cache", "cpu", "gpu_memory")


def figures(histories: Iterable[History], snapshot: Snapshot, gpu_memory: float | None, now: float) -> Figures | None:
    """Return what the pods did over the window; `None` without samples from enough of it.

    Args:
        histories: of the ready pods with a fresh sample.
        snapshot: of now.
        gpu_memory: share of the GPU memory in use.
        now: monotonic time.
    """
    rows = list(histories)
    windows = [[s for s in history.samples if s.taken >= now - WINDOW_SECONDS] for history in rows]
    spans = [_since_restart(samples) for samples in windows if samples]
    if not spans or max(samples[-1].taken - samples[0].taken for samples in spans) < _LEAST_SECONDS:
        return None
    rates = [_Rates.of(samples) for samples in spans]
    itl = _ratio(sum(rate.itl_seconds for rate in rates), sum(rate.tokens for rate in rates))
    per_second = sum(rate.computed for rate in rates) / len(rates)
    activity = [seen for history in rows for taken, seen in history.activity if taken >= now - WINDOW_SECONDS]
    every = [sample for samples in windows for sample in samples]
    return Figures(
        running=sum(sample.running for sample in every) / len(every),
        waiting=sum(sample.waiting for sample in every) / len(every),
        kv_cache=sum(sample.kv_cache for sample in every) / len(every),
        requests=sum(rate.requests for rate in rates) / len(rates),
        preemptions=sum(rate.preemptions for rate in rates) / len(rates),
        step_tokens=None if itl is None else per_second * itl,
        plateau=all(map(_plateau, windows)),
        ttft=snapshot.signals.ttft,
        itl=snapshot.signals.itl,
        elsewhere=_elsewhere(rates),
        cpu=_mean([rate.cpu for rate in rates]),
        sm=_mean([seen.sm for seen in activity]),
        tensor=_mean([seen.tensor for seen in activity]),
        dram=_mean([seen.dram for seen in activity]),
        gpu_memory=gpu_memory,
    )


@dataclass(frozen=True, slots=True)
class _Rates:
    """Of one engine over the window, per second where its name does not say seconds.

    Attributes:
        computed: tokens of prompts and answers that the engine computed, without those in the prefix cache.
        tokens: that took `itl_seconds` together, over the window.
    """

    requests: float
    preemptions: float
    computed: float
    tokens: float
    itl_seconds: float
    queue_seconds: float
    batch_seconds: float
    answer_seconds: float
    cpu: float | None

    @classmethod
    def of(cls, samples: Sequence[EngineSample]) -> "_Rates":
        first, last = samples[0], samples[-1]
        seconds = last.taken - first.taken or inf
        prompts = last.prompt_tokens - first.prompt_tokens - (last.cached_tokens - first.cached_tokens)
        answers = last.generation_tokens - first.generation_tokens
        return cls(
            requests=_observed(first, last, "ttft") / seconds,
            preemptions=(last.preemptions - first.preemptions) / seconds,
            computed=(max(0.0, prompts) + answers) / seconds,
            tokens=_observed(first, last, "itl"),
            itl_seconds=_grown(first, last, "itl_seconds") or 0.0,
            queue_seconds=_grown(first, last, "queue_seconds") or 0.0,
            batch_seconds=_grown(first, last, "batch_seconds") or 0.0,
            answer_seconds=_grown(first, last, "answer_seconds") or 0.0,
            cpu=None if (cpu := _grown(first, last, "cpu_seconds")) is None else min(1.0, cpu / seconds),
        )


def _since_restart(samples: Sequence[EngineSample]) -> Sequence[EngineSample]:
    """Return the samples since the engine last started: counters compare among them alone."""
    start = 0
    for index, (old, new) in enumerate(pairwise(samples), 1):
        if new.generation_tokens < old.generation_tokens or new.prompt_tokens < old.prompt_tokens:
            start = index
    return samples[start:]


def _observed(first: EngineSample, last: EngineSample, name: str) -> float:
    old, new = getattr(first, name), getattr(last, name)
    return max(0.0, new.counts[-1] - (old.counts[-1] if old is not None else 0.0)) if new is not None else 0.0


def _grown(first: EngineSample, last: EngineSample, name: str) -> float | None:
    old, new = getattr(first, name), getattr(last, name)
    return None if new is None else max(0.0, new - (old or 0.0))


def _elsewhere(rates: Iterable[_Rates]) -> float | None:
    """Return the share of the requests' time outside queue and batch; `None` where no engine tells all three."""
    rows = [rate for rate in rates if rate.batch_seconds > 0]
    answer = sum(rate.answer_seconds for rate in rows)
    inside = sum(rate.queue_seconds + rate.batch_seconds for rate in rows)
    return _ratio(max(0.0, answer - inside), answer)


def _plateau(samples: Sequence[EngineSample]) -> bool:
    running = [sample.running for sample in samples]
    waits = all(sample.waiting >= LEAST_QUEUE for sample in samples)
    return waits and max(running) - min(running) <= _PLATEAU * max(running)


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def evidence(found: Figures, setup: Setup) -> dict[str, float]:
    """Return the shares that the diagnosis was made from, by name; what is not measured is left out."""
    told = {name: value for name in _EVIDENCE if (value := getattr(found, name)) is not None}
    if setup.batch:
        told["batch"] = min(1.0, found.running / setup.batch)
    return told


def follow(held: Held | None, written: Bottleneck | None, found: Figures, setup: Setup, now: float) -> Held:
    """Return what is told from now on.

    Args:
        held: what is told; `None` in a process that has told nothing yet.
        written: what the status says, perhaps by another process.
        found: the figures of now.
        setup: of the deployment.
        now: monotonic time.
    """
    if held is None and written is not None and written.cause in set(Cause):
        held = Held(Finding(Cause(written.cause), written.evidence, written.knob), now)
    return settle(held, diagnose(found, setup, held.named.cause if held else None), now)


def status(held: Held) -> Bottleneck:
    """Return what the status says."""
    named = held.named
    return Bottleneck(cause=named.cause.value, evidence=named.evidence, knob=named.knob)

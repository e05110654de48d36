"""The state that every output shows, and its JSON form."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from autoglm_agent.device import GpuSample
from autoglm_agent.engine.health import EngineStatus
from autoglm_agent.engine.view import Figures
from autoglm_agent.metrics import GPU_FIGURES
from autoglm_agent.report import EngineReport
from autoglm_agent.sampler import Snapshot
from autoglm_agent.signals.memory import MemoryFigures, MemorySignals

#: Version of the `/state` document; fields may be added within one version.
STATE_VERSION = 1
#: Figures of a GPU that are in `/state` whether they are known or not.
_ALWAYS = ("memory_used_bytes", "memory_total_bytes", "utilization")


@dataclass(frozen=True, slots=True)
class State:
    """What is known at the monotonic time `now`.

    Attributes:
        snapshot: the GPUs.
        engine: whether the engine answers.
        now: monotonic time in seconds.
        report: the judgement over the engine.
        memory: the judgement over the GPUs' memory.
        otlp_failures: exports that no collector took; `None` if none is asked for.
    """

    snapshot: Snapshot
    engine: EngineStatus
    now: float
    report: EngineReport = field(default_factory=EngineReport)
    memory: MemorySignals = field(default_factory=MemorySignals)
    otlp_failures: int | None = None


#: Returns the present state; touches neither GPU nor engine.
StateSource = Callable[[], State]


def document(state: State, wall_time: float) -> dict[str, Any]:
    """Return the `/state` document: version 1, ages in seconds, stale GPUs left out, what is not known `null`.

    Args:
        state: what to show.
        wall_time: Unix time of `state.now`.
    """
    snapshot, report = state.snapshot, state.report
    fired = {**state.memory.fired, **report.fired}
    return {
        "version": STATE_VERSION,
        "time": round(wall_time, 3),
        "source": snapshot.source,
        "sourceDown": snapshot.down or None,
        "engine": _engine(state),
        "gpus": [_gpu(sample, state.memory.gpus, state.now) for sample in snapshot.fresh(state.now)],
        "faults": [
            {
                "gpu": fault.gpu,
                "code": fault.code,
                "severity": fault.severity.value,
                "action": fault.action.value,
                "message": fault.message,
                "sinceSeconds": round(state.now - fault.since, 3),
            }
            for fault in snapshot.faults
        ],
        "signals": {name: round(state.now - since, 3) for name, since in sorted(fired.items())},
        "tolerance": {
            "mode": report.tolerance.value,
            "paceDeviation": _rounded(report.pace_deviation),
            "memoryDeviation": _rounded(report.memory_deviation),
            "reaction": report.reaction.value,
        },
        "elastic": _elastic(state),
    }


def _engine(state: State) -> dict[str, Any]:
    engine, report = state.engine, state.report
    found: dict[str, Any] = {
        "alive": engine.alive(state.now),
        "state": engine.state.value,
        "reason": engine.reason,
        "sinceSeconds": round(state.now - engine.since, 3),
        "checkedSecondsAgo": None if engine.checked is None else round(state.now - engine.checked, 3),
        "hung": report.verdict.hung,
        "progress": report.verdict.reason,
        "metricsDown": report.down or None,
        "models": None if report.models is None else list(report.models),
    }
    figures = report.fresh(state.now)
    return found if figures is None else found | _figures(figures, state.now)


def _figures(figures: Figures, now: float) -> dict[str, Any]:
    sample = figures.sample
    return {
        "kind": sample.kind.value,
        "sampleAgeSeconds": round(now - sample.taken, 3),
        "running": sample.running,
        "waiting": sample.waiting,
        "held": sample.held or None,
        "kvCacheUsage": _rounded(sample.kv_cache),
        "kvCacheTokens": sample.kv_tokens,
        "weightsBytes": sample.weights_bytes,
        "generationTokensPerSecond": _rounded(figures.generation_rate),
        "promptTokensPerSecond": _rounded(figures.prompt_rate),
        "preemptionsPerSecond": _rounded(figures.preemption_rate),
        "prefixCacheHitRatio": _rounded(figures.prefix_hit_ratio),
        "latencies": {
            latency.value: dict(zip(("p50", "p95", "p99"), map(_rounded, quantiles), strict=True))
            for latency, quantiles in figures.quantiles.items()
        },
        "latencyCv": _rounded(figures.stability.cv),
        "overallConsistency": _rounded(figures.stability.ocs),
    }


def _gpu(sample: GpuSample, memory: Mapping[str, MemoryFigures], now: float) -> dict[str, Any]:
    values = {name: getattr(sample, name) for name in GPU_FIGURES}
    watched = memory.get(sample.uuid)
    return {
        "index": sample.index,
        "uuid": sample.uuid,
        "name": sample.name,
        **{_camel(name): values[name] for name in values if name in _ALWAYS or values[name] is not None},
        "memoryExhaustedInSeconds": _rounded(watched.exhausted_in) if watched else None,
        "sampleAgeSeconds": round(now - sample.taken, 3),
    }


def _elastic(state: State) -> dict[str, Any] | None:
    request = state.report.elastic
    if request is None:
        return None
    return {
        "requestedMaxNumSeqs": request.max_num_seqs,
        "reason": request.reason,
        "sinceSeconds": round(state.now - request.since, 3),
    }


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)

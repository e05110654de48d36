"""The result as a JSON document; its form is `result.schema.json`. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from autoglm_bench.figures.checks import LittlesLaw, check, held, too_late
from autoglm_bench.figures.gpu import GpuUse
from autoglm_bench.figures.objectives import Objective
from autoglm_bench.figures.records import Records
from autoglm_bench.figures.score import Score
from autoglm_bench.figures.split import Split
from autoglm_bench.figures.stats import Distribution
from autoglm_bench.figures.summary import Summary
from autoglm_bench.load.search import Trial
from autoglm_bench.report.samples import samples

#: Version of the JSON document; fields may be added within one version.
SCHEMA_VERSION: Final = 2


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a result comes from.

    Attributes:
        started_at: seconds since the epoch.
        url, model: the target.
        versions: of this program, Python and so on.
        environment: machine and platform.
        plan: what was asked for.
        spec_hash, sequence_hash: of the plan and of what it sends.
    """

    started_at: float
    url: str
    model: str
    versions: Mapping[str, str]
    environment: Mapping[str, Any]
    plan: Mapping[str, Any]
    spec_hash: str
    sequence_hash: str


@dataclass(frozen=True, slots=True)
class Findings:
    """All that a run found.

    Attributes:
        records: every request.
        total: figures of the whole.
        phases: and of each phase.
        objectives: the limits given.
        partial: why the run ended early; empty if it did not.
        littles_law, split, gpu, score: the cross-checks; `None` where there is nothing to tell.
        trials: of a search.
        verdict: the result in one sentence.
        notes: what the reader has to know.
    """

    records: Records
    total: Summary
    phases: Sequence[Summary]
    objectives: Sequence[Objective]
    partial: str
    littles_law: LittlesLaw | None
    split: Split | None
    gpu: GpuUse | None
    score: Score
    verdict: str
    trials: Sequence[Trial] = ()
    limit: float | None = None
    notes: Sequence[str] = field(default_factory=tuple)


def document(origin: Origin, found: Findings) -> dict[str, Any]:
    """Return the JSON document of a run; times are seconds."""
    return {
        "schemaVersion": SCHEMA_VERSION,
        "partial": bool(found.partial),
        "partialReason": found.partial or None,
        "verdict": found.verdict,
        "notes": list(found.notes),
        "startedAt": origin.started_at,
        "target": {"url": origin.url, "model": origin.model},
        "versions": dict(origin.versions),
        "environment": dict(origin.environment),
        "plan": dict(origin.plan),
        "specHash": origin.spec_hash,
        "sequenceHash": origin.sequence_hash,
        **_figures(found.total),
        "objectives": [_objective(found.total, objective) for objective in found.objectives],
        "littlesLaw": asdict(found.littles_law) | {"difference": found.littles_law.difference}
        if found.littles_law
        else None,
        "latencySplit": _split(found.split),
        "gpu": _gpu(found.gpu),
        "score": _score(found.score),
        "search": _search(found) if found.trials else None,
        "phases": [{"name": phase.name, **_figures(phase)} for phase in found.phases],
        "failureDetails": {cause.value: list(details) for cause, details in found.records.details.items()},
        "perSecond": _per_second(found.records),
        "samples": samples(found.records),
    }


def _figures(summary: Summary) -> dict[str, Any]:
    seconds = summary.seconds
    goodput = None if summary.inside is None else {"requests": summary.inside, "perSecond": summary.inside / seconds}
    return {
        "seconds": seconds,
        "requests": summary.requests,
        "succeeded": summary.succeeded,
        "failed": summary.requests - summary.succeeded,
        "late": summary.late,
        "failures": dict(summary.failures),
        "promptTokens": summary.prompt_tokens,
        "cachedTokens": summary.cached_tokens,
        "outputTokens": summary.output_tokens,
        "requestsPerSecond": summary.succeeded / seconds,
        "outputTokensPerSecond": summary.output_tokens / seconds,
        "goodput": goodput,
        **{name: distribution(found) for name, found in summary.distributions.items()},
        "latencyCv": summary.cv,
        "overallConsistency": summary.ocs,
    }


def distribution(found: Distribution | None) -> dict[str, Any] | None:
    """Return a distribution as it stands in the document."""
    if found is None:
        return None
    percentiles = {f"p{percent}": value for percent, value in found.percentiles.items()}
    return {
        "count": found.count,
        "mean": found.mean,
        "variation": found.variation,
        **percentiles,
        "max": found.maximum,
    }


def _objective(summary: Summary, objective: Objective) -> dict[str, Any]:
    (found,) = check(summary, [objective])
    return {"name": objective.name, "limit": objective.seconds, "measured": found.seconds, "held": found.held}


def _split(found: Split | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {"seconds": dict(found.seconds), "requests": found.requests, "note": found.note}


def _gpu(found: GpuUse | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "gpus": found.gpus,
        "memoryPeakBytes": found.memory_peak,
        "powerMeanWatts": found.power_mean,
        "energyJoules": found.energy,
        "joulesPerOutputToken": found.joules_per_token,
        "method": found.method,
    }


def _score(found: Score) -> dict[str, Any]:
    parts = {
        name: {"value": part.value, "weight": found.weights[name], "method": part.method}
        for name, part in found.parts.items()
    }
    return {"value": found.value, "parts": parts}


def _search(found: Findings) -> dict[str, Any]:
    return {"limit": found.limit, "trials": [asdict(trial) for trial in found.trials]}


def _per_second(records: Records) -> dict[str, list[float]]:
    """Return the pace of each second: tokens after the first of their answers, and their mean gap."""
    pairs = list(zip(records.pace_sum, records.pace_count, strict=True))
    return {
        "tokens": [float(count) for _, count in pairs],
        "itl": [round(total / count, 6) if count else 0.0 for total, count in pairs],
    }


def verdict(found: Summary, objectives: Sequence[Objective], partial: str) -> str:
    """Return the result of a run in one sentence."""
    begin = f"partial ({partial}): " if partial else ""
    if not found.succeeded:
        return f"{begin}no request succeeded"
    if too_late(found):
        begin += f"{found.late} of {found.requests} requests were sent late, so this tells of the generator: "
    if not objectives:
        return f"{begin}{found.succeeded} of {found.requests} requests succeeded; no objective was given"
    kept, why = held(found, objectives)
    return f"{begin}the objective is {'held' if kept else 'not held'}: {why}"

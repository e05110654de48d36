"""How an AutoGLMBenchmark is: conditions, progress and the last result, each in one sentence."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from autoglm_operator.api.benchmark_status import Progress
from autoglm_operator.decide.benchmark import BenchmarkPlan, newest
from autoglm_operator.decide.health import STALLED, Notice, Verdict
from autoglm_operator.decide.reasons import Reason
from autoglm_operator.errors import ReconcileError, Waiting
from autoglm_operator.observe.benchmark import ObservedBenchmark, Run

COMPLETE: Final = "Complete"
OBJECTIVE_MET: Final = "ObjectiveMet"
REGRESSION: Final = "Regression"
_SILENT: Final = "it left no last word"


@dataclass(frozen=True, slots=True)
class BenchmarkHealth:
    """The whole judgement.

    Attributes:
        verdicts: conditions.
        job: the run that is under way; empty if there is none.
        progress: of it.
        last: the last run that ended, as `status.lastRun`; `None` to keep what is there.
        notices: events to tell.
    """

    verdicts: tuple[Verdict, ...]
    job: str = ""
    progress: Progress | None = None
    last: dict[str, Any] | None = None
    notices: tuple[Notice, ...] = ()


def judge_benchmark(observed: ObservedBenchmark, plan: BenchmarkPlan) -> BenchmarkHealth:
    """Return how the benchmark is."""
    run = newest(observed, plan)
    ended = [item for item in observed.runs if item.ended is not None]
    latest = ended[-1] if ended else None
    last = _last_run(plan, latest) if latest is not None else None
    under_way = run is not None and run.ended is None
    verdicts = [_complete(observed, plan, run), _stalled(run)]
    verdicts.append(_objective(plan, run))
    if plan.spec.baseline is not None:
        verdicts.append(_regression(run))
    return BenchmarkHealth(
        tuple(verdicts),
        job=run.job if run is not None and under_way else "",
        progress=(observed.progress or Progress(percent=0)) if under_way else None,
        last=last,
        notices=_notices(observed, latest),
    )


def refused_benchmark(error: ReconcileError) -> BenchmarkHealth:
    """Return how a benchmark is that cannot run: the reason stands in both conditions."""
    waiting = isinstance(error, Waiting)
    stalled = (
        Verdict(STALLED, "False", Reason.NOTHING_WRONG, "it is tried again")
        if waiting
        else Verdict(STALLED, "True", error.reason, str(error))
    )
    return BenchmarkHealth((Verdict(COMPLETE, "False", error.reason, str(error)), stalled))


def _complete(observed: ObservedBenchmark, plan: BenchmarkPlan, run: Run | None) -> Verdict:
    if run is None:
        return _not_there(observed, plan)
    if run.ended is None:
        return _under_way(plan, run)
    if run.summary is None:
        why = run.words or _SILENT
        return Verdict(COMPLETE, "False", Reason.RUN_FAILED, f"Job {run.job} gave no result: {why}")
    reason = Reason.RUN_PARTIAL if run.summary.partial else Reason.RUN_FINISHED
    return Verdict(COMPLETE, "False" if run.summary.partial else "True", reason, run.summary.verdict)


def _not_there(observed: ObservedBenchmark, plan: BenchmarkPlan) -> Verdict:
    last = observed.benchmark.status.get("lastRun") or {}
    if last.get("job") == plan.job:
        # Its Job was removed since, which takes nothing from the result.
        partial = bool(last.get("partial"))
        reason = Reason.RUN_PARTIAL if partial else Reason.RUN_FINISHED
        return Verdict(COMPLETE, "False" if partial else "True", reason, str(last.get("verdict", "")))
    if plan.spec.schedule is not None:
        return Verdict(COMPLETE, "False", Reason.SCHEDULED, f"waits for its schedule, {plan.spec.schedule} (UTC)")
    return Verdict(COMPLETE, "False", Reason.RUN_STARTING, f"Job {plan.job} is being made")


def _under_way(plan: BenchmarkPlan, run: Run) -> Verdict:
    if run.running:
        return Verdict(COMPLETE, "False", Reason.RUNNING, f"Job {run.job} sends requests to {plan.url}")
    because = f": {run.words}" if run.words else ""
    return Verdict(COMPLETE, "False", Reason.RUN_STARTING, f"the pod of Job {run.job} is starting{because}")


def _stalled(run: Run | None) -> Verdict:
    if run is not None and run.ended is not None and (run.summary is None or run.summary.partial):
        why = run.summary.verdict if run.summary else run.words or _SILENT
        again = "change the spec, or the annotation autoglm.io/run, to run it again"
        return Verdict(STALLED, "True", Reason.RUN_FAILED, f"{why}; it is not tried again by itself: {again}")
    return Verdict(STALLED, "False", Reason.NOTHING_WRONG, "nothing is in its way")


def _objective(plan: BenchmarkPlan, run: Run | None) -> Verdict:
    if not plan.objective:
        return Verdict(OBJECTIVE_MET, "Unknown", Reason.NO_OBJECTIVE, "there is no objective to hold")
    summary = run.summary if run is not None and run.ended is not None else None
    if summary is None:
        return Verdict(OBJECTIVE_MET, "Unknown", Reason.NO_RESULT, "no result yet")
    if summary.met is None or summary.partial:
        return Verdict(OBJECTIVE_MET, "Unknown", Reason.NO_RESULT, summary.verdict)
    if summary.met:
        return Verdict(OBJECTIVE_MET, "True", Reason.OBJECTIVE_HELD, summary.verdict)
    return Verdict(OBJECTIVE_MET, "False", Reason.OBJECTIVE_MISSED, summary.verdict)


def _regression(run: Run | None) -> Verdict:
    summary = run.summary if run is not None and run.ended is not None else None
    if summary is None or summary.regression is None:
        why = (summary.comparison if summary else "") or "nothing was compared yet"
        return Verdict(REGRESSION, "Unknown", Reason.NO_RESULT, why)
    status = "True" if summary.regression else "False"
    reason = Reason.WORSE_THAN_BASELINE if summary.regression else Reason.NOT_WORSE_THAN_BASELINE
    return Verdict(REGRESSION, status, reason, summary.comparison)


def _last_run(plan: BenchmarkPlan, run: Run) -> dict[str, Any]:
    summary = run.summary
    claim = plan.spec.report.pvc
    written = summary is not None and summary.report
    last: dict[str, Any] = {
        "job": run.job,
        "ended": datetime.fromtimestamp(run.ended or 0.0, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "partial": summary is None or summary.partial,
        "verdict": summary.verdict if summary else f"no result: {run.words or _SILENT}",
        "results": [row.model_dump(by_alias=True) for row in summary.rows] if summary else [],
    }
    if summary and summary.comparison:
        last["comparison"] = summary.comparison
    if summary and summary.sequence:
        last["sequence"] = summary.sequence
    if claim is not None and written:
        folder = f"{claim.path}/" if claim.path else ""
        last["report"] = f"{claim.claim_name}:{folder}{run.job}"
    return last


def _notices(observed: ObservedBenchmark, run: Run | None) -> tuple[Notice, ...]:
    if run is None or (observed.benchmark.status.get("lastRun") or {}).get("job") == run.job:
        return ()
    if run.summary is None:
        return (Notice("Warning", Reason.RUN_FAILED, f"Job {run.job} gave no result: {run.words}"),)
    kind = "Warning" if run.summary.partial or run.summary.met is False else "Normal"
    reason = Reason.RUN_PARTIAL if run.summary.partial else Reason.RUN_FINISHED
    return (Notice(kind, reason, run.summary.verdict),)

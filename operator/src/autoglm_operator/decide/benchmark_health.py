"""How an AutoGLMBenchmark is: conditions, progress and the last result, each in one sentence."""

from dataclasses import dataclass
from typing import Any, Final

from autoglm_operator.api.benchmark_status import Progress
from autoglm_operator.api.types import rfc3339
from autoglm_operator.decide.benchmark import BenchmarkPlan, newest
from autoglm_operator.decide.health import STALLED, Notice, Verdict
from autoglm_operator.decide.reasons import Reason
from autoglm_operator.errors import ReconcileError, Waiting
from autoglm_operator.observe.benchmark import ObservedBenchmark, Run, Summary

COMPLETE: Final = "Complete"
OBJECTIVE_MET: Final = "ObjectiveMet"
REGRESSION: Final = "Regression"
REPORT_WRITTEN: Final = "ReportWritten"
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
    if settled := _settled(observed, plan, run):
        return BenchmarkHealth(settled)
    ended = [item for item in observed.runs if item.ended is not None]
    latest = ended[-1] if ended else None
    last = _last_run(observed, plan, latest) if latest is not None else None
    under_way = run is not None and run.ended is None
    verdicts = [_complete(plan, run), _stalled(run)]
    verdicts.append(_objective(plan, run))
    if plan.spec.baseline is not None:
        verdicts.append(_regression(run))
    if plan.reports is not None:
        verdicts.append(_report(plan, run))
    return BenchmarkHealth(
        tuple(verdicts),
        job=run.job if run is not None and under_way else "",
        progress=_progress(observed, run) if run is not None and under_way else None,
        last=last,
        notices=_notices(observed, latest),
    )


def _settled(observed: ObservedBenchmark, plan: BenchmarkPlan, run: Run | None) -> tuple[Verdict, ...]:
    """Return what was said of a run whose pod or Job is gone, and its last word with it; empty if nothing was."""
    last = observed.benchmark.status.get("lastRun") or {}
    conditions = observed.benchmark.conditions
    lost = run is None or (run.ended is not None and run.summary is None and not run.pod)
    if not lost or last.get("job") != (plan.job if run is None else run.job) or COMPLETE not in conditions:
        return ()
    return tuple(Verdict(one.type, one.status, one.reason, one.message) for one in conditions.values())


def _progress(observed: ObservedBenchmark, run: Run) -> Progress:
    """Return how far a run is: what was told last, where its log tells nothing."""
    status = observed.benchmark.status
    if observed.progress is None and status.get("job") == run.job and status.get("progress"):
        return Progress.model_validate(status["progress"])
    return observed.progress or Progress(percent=0)


def refused_benchmark(error: ReconcileError) -> BenchmarkHealth:
    """Return how a benchmark is that cannot run: the reason stands in both conditions."""
    waiting = isinstance(error, Waiting)
    stalled = (
        Verdict(STALLED, "False", Reason.NOTHING_WRONG, "it is tried again")
        if waiting
        else Verdict(STALLED, "True", error.reason, str(error))
    )
    return BenchmarkHealth((Verdict(COMPLETE, "False", error.reason, str(error)), stalled))


def _complete(plan: BenchmarkPlan, run: Run | None) -> Verdict:
    if run is None:
        return _not_there(plan)
    if run.ended is None:
        return _under_way(plan, run)
    if run.summary is None:
        why = run.words or _SILENT
        return Verdict(COMPLETE, "False", Reason.RUN_FAILED, f"Job {run.job} gave no result: {why}")
    reason = Reason.RUN_PARTIAL if run.summary.partial else Reason.RUN_FINISHED
    return Verdict(COMPLETE, "False" if run.summary.partial else "True", reason, run.summary.verdict)


def _not_there(plan: BenchmarkPlan) -> Verdict:
    if plan.spec.schedule is not None:
        return Verdict(COMPLETE, "False", Reason.SCHEDULED, f"waits for its schedule, {plan.spec.schedule} (UTC)")
    return Verdict(COMPLETE, "False", Reason.RUN_STARTING, f"Job {plan.job} is being made")


def _under_way(plan: BenchmarkPlan, run: Run) -> Verdict:
    if run.running:
        return Verdict(COMPLETE, "False", Reason.RUNNING, f"Job {run.job} sends requests to {plan.url}")
    if run.exited:
        return Verdict(COMPLETE, "False", Reason.RUNNING, f"Job {run.job} has sent its requests and is about to end")
    because = f": {run.words}" if run.words else ""
    return Verdict(COMPLETE, "False", Reason.RUN_STARTING, f"the pod of Job {run.job} is starting{because}")


def _stalled(run: Run | None) -> Verdict:
    if run is not None and run.ended is not None and (run.summary is None or run.summary.partial):
        why = run.summary.verdict if run.summary else run.words or _SILENT
        again = "change the spec, or the annotation autoglm.io/run, to run it again"
        return Verdict(STALLED, "True", Reason.RUN_FAILED, f"{why}; it is not tried again by itself: {again}")
    return Verdict(STALLED, "False", Reason.NOTHING_WRONG, "nothing is in its way")


def _objective(plan: BenchmarkPlan, run: Run | None) -> Verdict:
    summary = _summary(run)
    if summary is not None and summary.met is not None and not summary.partial:
        reason = Reason.OBJECTIVE_HELD if summary.met else Reason.OBJECTIVE_MISSED
        return Verdict(OBJECTIVE_MET, str(summary.met), reason, summary.verdict)
    if not plan.objective:
        return Verdict(OBJECTIVE_MET, "Unknown", Reason.NO_OBJECTIVE, "there is no objective to hold")
    return Verdict(OBJECTIVE_MET, "Unknown", Reason.NO_RESULT, summary.verdict if summary else "no result yet")


def _summary(run: Run | None) -> Summary | None:
    """Return the last word of a run that has ended."""
    return run.summary if run is not None and run.ended is not None else None


def _report(plan: BenchmarkPlan, run: Run | None) -> Verdict:
    summary = _summary(run)
    if run is None or summary is None:
        return Verdict(REPORT_WRITTEN, "Unknown", Reason.NO_RESULT, "no result yet")
    if summary.report:
        return Verdict(REPORT_WRITTEN, "True", Reason.REPORT_WRITTEN, f"the report is at {plan.report_of(run.job)}")
    why = f"{summary.unwritten or 'the run did not say why'}; the figures in status.lastRun are whole"
    return Verdict(REPORT_WRITTEN, "False", Reason.REPORT_NOT_WRITTEN, why)


def _regression(run: Run | None) -> Verdict:
    summary = _summary(run)
    if summary is None or summary.regression is None:
        why = (summary.comparison if summary else "") or "nothing was compared yet"
        return Verdict(REGRESSION, "Unknown", Reason.NO_RESULT, why)
    status = "True" if summary.regression else "False"
    reason = Reason.WORSE_THAN_BASELINE if summary.regression else Reason.NOT_WORSE_THAN_BASELINE
    return Verdict(REGRESSION, status, reason, summary.comparison)


def _last_run(observed: ObservedBenchmark, plan: BenchmarkPlan, run: Run) -> dict[str, Any]:
    summary = run.summary
    last: dict[str, Any] = {
        "job": run.job,
        "ended": rfc3339(run.ended or 0.0),
        "partial": summary is None or summary.partial,
        "verdict": summary.verdict if summary else f"no result: {run.words or _SILENT}",
        "results": [row.model_dump(by_alias=True) for row in summary.rows] if summary else [],
    }
    if summary and summary.comparison:
        last["comparison"] = summary.comparison
    if summary and summary.sequence:
        last["sequence"] = summary.sequence
    known = observed.benchmark.status.get("lastRun") or {}
    if summary and summary.report and run.asked == plan.asked:
        last["report"] = plan.report_of(run.job)
    elif known.get("job") == run.job and "report" in known:
        # Where an older spec had it written.
        last["report"] = known["report"]
    return last


def _notices(observed: ObservedBenchmark, run: Run | None) -> tuple[Notice, ...]:
    if run is None or (observed.benchmark.status.get("lastRun") or {}).get("job") == run.job:
        return ()
    if run.summary is None:
        return (Notice("Warning", Reason.RUN_FAILED, f"Job {run.job} gave no result: {run.words}"),)
    kind = "Warning" if run.summary.partial or run.summary.met is False else "Normal"
    reason = Reason.RUN_PARTIAL if run.summary.partial else Reason.RUN_FINISHED
    told = Notice(kind, reason, run.summary.verdict)
    if not run.summary.unwritten:
        return (told,)
    return told, Notice("Warning", Reason.REPORT_NOT_WRITTEN, run.summary.unwritten)

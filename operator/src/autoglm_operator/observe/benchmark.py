"""AutoGLMBenchmarks, as facts: the object, the Jobs of its runs, and what those said."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

from autoglm_operator.api import names
from autoglm_operator.api.benchmark_status import Progress, ResultRow
from autoglm_operator.api.status import Condition
from autoglm_operator.api.v1alpha1.benchmark import BenchmarkSpec
from autoglm_operator.observe.pod import Exit, Pod, seconds
from autoglm_operator.observe.resource import read_conditions, read_spec

Document = dict[str, Any]

#: On the Jobs and pods of a benchmark, with its name.
LABEL_BENCHMARK: Final = f"{names.GROUP}/benchmark"
#: On Jobs: hash of what the run was asked.
ANNOTATION_RUN: Final = f"{names.GROUP}/benchmark-run"
#: On an AutoGLMBenchmark, set by a user: another value asks for another run of the same spec.
ANNOTATION_AGAIN: Final = f"{names.GROUP}/run"
BENCH_CONTAINER: Final = "bench"
JOB_LABEL: Final = "batch.kubernetes.io/job-name"
#: Exit status of a run that cannot come out otherwise when it is tried again.
EXIT_REFUSED: Final = 2
_MOST_ROWS: Final = 64
_SHOWN: Final = 600
#: How a line of a run's log begins that tells its progress.
_PROGRESS: Final = '{"progress"'


@dataclass(frozen=True, slots=True)
class Benchmark:
    """An AutoGLMBenchmark as read.

    Attributes:
        spec: parsed; `None` if it cannot be read, which the API server's schema normally prevents.
        spec_error: why it cannot be read.
        again: the user's word for another run; empty if there is none.
        conditions: the last ones written, by type.
    """

    namespace: str
    name: str
    uid: str
    generation: int
    spec: BenchmarkSpec | None
    spec_error: str = ""
    again: str = ""
    deleting: bool = False
    conditions: Mapping[str, Condition] = field(default_factory=dict)
    status: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, document: Document) -> Self:
        """Return the benchmark in `document`, an object as the API serves it."""
        meta, status = document["metadata"], document.get("status") or {}
        spec, problem = read_spec(BenchmarkSpec, document)
        return cls(
            namespace=meta["namespace"],
            name=meta["name"],
            uid=meta["uid"],
            generation=meta.get("generation", 0),
            spec=spec,
            spec_error=problem,
            again=str((meta.get("annotations") or {}).get(ANNOTATION_AGAIN, "")),
            deleting="deletionTimestamp" in meta,
            conditions=read_conditions(status),
            status=status,
        )


@dataclass(frozen=True, slots=True)
class Summary:
    """The last word of a run.

    Attributes:
        verdict: one sentence.
        partial: whether it was cut short.
        met: whether the objective was held; `None` if there is none, or it cannot be told.
        comparison: with the baseline, in one sentence; empty without one.
        regression: whether it is worse than the baseline; `None` if that was not compared.
        sequence: hash of the requests that were sent.
        report: whether its full report was written.
        unwritten: why not; empty if it was, or none was asked for.
    """

    verdict: str
    partial: bool = False
    met: bool | None = None
    comparison: str = ""
    regression: bool | None = None
    sequence: str = ""
    report: bool = False
    unwritten: str = ""
    rows: tuple[ResultRow, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the summary in a termination message; `None` if it is none, such as the end of a log."""
        try:
            found = json.loads(text)
            rows = tuple(
                ResultRow(name=name, value=value, unit=unit) for name, value, unit in found["results"][:_MOST_ROWS]
            )
            return cls(
                verdict=str(found["verdict"])[:_SHOWN],
                partial=found["partial"] is not False,
                met=_truth(found.get("objectiveMet")),
                comparison=str(found.get("comparison") or "")[:_SHOWN],
                regression=_truth(found.get("regression")),
                sequence=str(found.get("sequence") or "")[:80],
                report=found.get("report") is True,
                unwritten=str(found.get("unwritten") or "")[:_SHOWN],
                rows=rows,
            )
        except (ValueError, TypeError, KeyError, RecursionError):
            return None


def _truth(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


@dataclass(frozen=True, slots=True)
class Run:
    """One Job.

    Attributes:
        asked: hash of what it was asked.
        created: seconds since the epoch.
        ended: when; `None` while it runs.
        succeeded: whether the Job says so.
        summary: its last word; `None` if it left none.
        words: what the container left instead of a summary, or why its pod does not run; empty if nothing.
        running: whether its container runs now.
        exited: whether it ran, and has ended.
        pod: name of its newest pod; empty if it has none.
    """

    job: str
    asked: str
    created: float
    ended: float | None = None
    succeeded: bool = False
    summary: Summary | None = None
    words: str = ""
    running: bool = False
    exited: bool = False
    pod: str = ""

    @classmethod
    def of(cls, job: Document, pod: Pod | None) -> Self:
        """Return the run of a Job and its newest pod."""
        meta, conditions = job["metadata"], (job.get("status") or {}).get("conditions") or []
        over = next((i for i in conditions if i["type"] in {"Complete", "Failed"} and i["status"] == "True"), None)
        container = next((item for item in pod.containers if item.name == BENCH_CONTAINER), None) if pod else None
        exit_ = container.last_exit if container else None
        summary = Summary.parse(exit_.message) if exit_ else None
        return cls(
            job=meta["name"],
            asked=str((meta.get("annotations") or {}).get(ANNOTATION_RUN, "")),
            created=seconds(meta.get("creationTimestamp")) or 0.0,
            ended=None if over is None else (seconds(over.get("lastTransitionTime")) or 0.0),
            succeeded=over is not None and over["type"] == "Complete",
            summary=summary,
            words="" if summary else _words(exit_, pod, over),
            running=container is not None and container.running_since is not None,
            exited=exit_ is not None,
            pod=pod.name if pod else "",
        )


def _words(exit_: Exit | None, pod: Pod | None, over: Document | None) -> str:
    if exit_ is not None:
        return _last_words(exit_)[-_SHOWN:]
    if pod is not None and pod.unschedulable is not None:
        return f"no node takes its pod: {pod.unschedulable}"
    for container in pod.containers if pod else ():
        if container.waiting and container.waiting not in {"ContainerCreating", "PodInitializing"}:
            return f"{container.waiting}: {container.waiting_message}"[:_SHOWN]
    return str((over or {}).get("message") or "")[:_SHOWN]


def _last_words(exit_: Exit) -> str:
    """Return what a container left without a summary: the end of its log but for its progress, and how it ended."""
    lines = (line for line in exit_.message.strip().splitlines() if not line.startswith(_PROGRESS))
    said = "\n".join(lines)
    if said and exit_.reason in {"", "Error", "Completed"}:
        return said
    return ": ".join(filter(None, (f"its container ended with {exit_.reason or 'no reason'} ({exit_.code})", said)))


def progress_in(log: str) -> Progress | None:
    """Return the newest progress that a log tells; `None` if it tells none."""
    for line in reversed(log.splitlines()):
        try:
            found = json.loads(line)
            if "progress" in found:
                return Progress.model_validate(found["progress"])
        except (ValueError, TypeError, RecursionError):
            continue
    return None


@dataclass(frozen=True, slots=True)
class ObservedBenchmark:
    """Everything one reconcile of a benchmark looks at.

    Attributes:
        children: live objects that the benchmark controls, by kind and name.
        runs: oldest first.
        deployment: the AutoGLMDeployment that it names; `None` if there is none.
        engines: addresses of the ready engine pods of that deployment.
        baseline: the benchmark that it compares with; `None` if it names none, or there is none.
        progress: of the run that is under way, as far as it was read.
        now: seconds since the epoch.
    """

    benchmark: Benchmark
    children: Mapping[tuple[str, str, str], Document]
    runs: Sequence[Run]
    now: float
    deployment: Document | None = None
    engines: tuple[str, ...] = ()
    baseline: Benchmark | None = None
    progress: Progress | None = None

    @property
    def current(self) -> Run | None:
        """Return the newest run; `None` if there was none."""
        return self.runs[-1] if self.runs else None

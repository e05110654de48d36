"""What an AutoGLMBenchmark should be doing, and what came of it: pure."""

from dataclasses import dataclass
from math import ceil, log2
from typing import Any, Final

from autoglm_operator.api import names
from autoglm_operator.api.hashing import content_hash
from autoglm_operator.api.types import seconds
from autoglm_operator.api.v1alpha1.benchmark import BenchmarkSpec, ProfileType, Report
from autoglm_operator.decide.reasons import Reason
from autoglm_operator.errors import Terminal, Waiting
from autoglm_operator.observe.benchmark import Benchmark, ObservedBenchmark, Run
from autoglm_operator.observe.world import Deployment

#: Looked at again after this long while the target is not there; its own changes are not watched for this.
_AGAIN_SECONDS: Final = 10.0
#: Beyond the time of sending: to pull the image, warm up, wait for the last answers and write the report.
_ALLOWANCE_SECONDS: Final = 900
#: Trials after the limit was passed, until it is known closely enough, and one in hand.
_HALVINGS: Final = 7
#: Seconds that a trial waits for its last answers, and how many times the largest limit if that is longer.
_LEAST_DRAIN: Final = 10.0
_DRAIN_OF_LIMIT: Final = 5.0


@dataclass(frozen=True, slots=True)
class Objective:
    """What counts as good, in seconds; `None` for what was not promised."""

    ttft: float | None = None
    itl: float | None = None

    def __bool__(self) -> bool:
        return self.ttft is not None or self.itl is not None


@dataclass(frozen=True, slots=True)
class BenchmarkPlan:
    """What a run is asked.

    Attributes:
        url: OpenAI endpoint of the target.
        model: name to ask for.
        objective: of the benchmark, or of the deployment.
        asked: hash of everything that makes a run another one.
        job: name of its Job.
        engines: addresses of engine pods, whose own figures are read beside.
        deadline: seconds after which Kubernetes ends the Job.
        start: whether the Job is to be made now.
        reports: where its reports go, but for the name of the Job; empty for nowhere.
        baseline: where the reports of the run to compare with are; empty for none. Both are either a folder on the
            claim of the reports, or `s3://bucket/prefix`.
    """

    spec: BenchmarkSpec
    url: str
    model: str
    objective: Objective
    asked: str
    job: str
    engines: tuple[str, ...]
    deadline: int
    start: bool
    reports: str | None = None
    baseline: str = ""

    def report_of(self, job: str) -> str:
        """Return where the report of one run is, as `status.lastRun.report` has it."""
        claim = self.spec.report.pvc
        place = "/".join(filter(None, (self.reports, job)))
        return f"{claim.claim_name}:{place}" if claim is not None else place


def plan_benchmark(observed: ObservedBenchmark) -> BenchmarkPlan:
    """Return what to run.

    Raises:
        Terminal: the spec cannot be carried out as it is.
        Waiting: the target is not there or not ready.
    """
    benchmark = observed.benchmark
    if benchmark.spec is None:
        raise Terminal(Reason.INVALID_SPEC, benchmark.spec_error)
    spec = benchmark.spec
    asked = run_hash(benchmark)
    job = f"{benchmark.name}-{asked[:8]}"
    start = spec.schedule is None and not _done(observed, asked, job)
    # What a run needed may be gone when it has ended; its result stays.
    coming = start or spec.schedule is not None
    deployment = _deployment(observed, spec, required=coming)
    url, model = _endpoint(observed, spec, deployment)
    if start and deployment is not None and not observed.engines:
        raise Waiting(
            Reason.TARGET_NOT_READY,
            f"AutoGLMDeployment {deployment.name} has no ready replica: the run starts when it has one; "
            f"`kubectl autoglm explain {deployment.name}` says why",
            _AGAIN_SECONDS,
        )
    objective = _objective(spec, deployment)
    if coming and spec.profile.type is ProfileType.FIND_LIMIT and not objective:
        raise Terminal(
            Reason.NO_OBJECTIVE,
            "spec.objective: FindLimit looks for the highest rate inside an objective, and there is none: set "
            "spec.objective.ttftP99 or itlP99, or autoscaling.objective of the AutoGLMDeployment",
        )
    return BenchmarkPlan(
        spec,
        url,
        model,
        objective,
        asked,
        job,
        observed.engines,
        _deadline(spec, objective),
        start,
        reports=_reports(benchmark, spec),
        baseline=_baseline(observed, spec) if coming else "",
    )


def _endpoint(observed: ObservedBenchmark, spec: BenchmarkSpec, deployment: Deployment | None) -> tuple[str, str]:
    """Return the URL and the model of the target."""
    namespace = observed.benchmark.namespace
    if (ref := spec.target.deployment_ref) is not None:
        served = deployment.spec.model.served_name if deployment and deployment.spec else None
        return f"http://{ref.name}.{namespace}.svc:{names.ENGINE_PORT}/v1", served or ref.name
    if (service := spec.target.service_ref) is not None:
        return f"http://{service.name}.{namespace}.svc:{service.port}/v1", service.model
    raise Terminal(Reason.INVALID_SPEC, "spec.target: give exactly one of deploymentRef and serviceRef")


def _deadline(spec: BenchmarkSpec, objective: Objective) -> int:
    """Return the seconds that a Job may take: a search doubles the rate up to the highest, then halves the gap."""
    once = seconds(spec.duration)
    profile = spec.profile
    if profile.type is not ProfileType.FIND_LIMIT or not profile.rate or not profile.peak_rate:
        return ceil(once) + _ALLOWANCE_SECONDS
    trials = ceil(log2(profile.peak_rate / profile.rate)) + _HALVINGS
    drain = max(_LEAST_DRAIN, _DRAIN_OF_LIMIT * max(objective.ttft or 0.0, objective.itl or 0.0))
    return ceil((once + drain) * trials) + _ALLOWANCE_SECONDS


def _reports(benchmark: Benchmark, spec: BenchmarkSpec) -> str | None:
    if spec.report.pvc is not None:
        return spec.report.pvc.path or ""
    if (place := spec.report.s3) is None:
        return None
    # Namespace and name, so that those who share a bucket cannot meet.
    return "s3://" + "/".join(filter(None, (place.bucket, place.prefix, benchmark.namespace, benchmark.name)))


def run_hash(benchmark: Benchmark) -> str:
    """Return the hash of everything in a benchmark that makes a run another one."""
    spec = benchmark.spec.model_dump(mode="json", exclude_none=True) if benchmark.spec else {}
    return content_hash({"spec": spec, "again": benchmark.again})


def _done(observed: ObservedBenchmark, asked: str, job: str) -> bool:
    """Whether the run is there, or has ended and its Job was removed since."""
    last: Any = observed.benchmark.status.get("lastRun") or {}
    return any(run.asked == asked for run in observed.runs) or last.get("job") == job


def _deployment(observed: ObservedBenchmark, spec: BenchmarkSpec, *, required: bool) -> Deployment | None:
    ref = spec.target.deployment_ref
    if ref is None or (observed.deployment is None and not required):
        return None
    if observed.deployment is None:
        raise Waiting(
            Reason.TARGET_NOT_FOUND,
            f"spec.target.deploymentRef.name: there is no AutoGLMDeployment {ref.name} in namespace "
            f"{observed.benchmark.namespace}: create it, or correct the name",
            _AGAIN_SECONDS,
        )
    return Deployment.parse(observed.deployment)


def _objective(spec: BenchmarkSpec, deployment: Deployment | None) -> Objective:
    given = spec.objective
    if given is not None:
        return Objective(_seconds(given.ttft_p99), _seconds(given.itl_p99))
    scaling = deployment.spec.autoscaling if deployment and deployment.spec else None
    if scaling is None:
        return Objective()
    return Objective(seconds(scaling.objective.ttft_p99), seconds(scaling.objective.itl_p99))


def _seconds(duration: str | None) -> float | None:
    return None if duration is None else seconds(duration)


def _baseline(observed: ObservedBenchmark, spec: BenchmarkSpec) -> str:
    if spec.baseline is None:
        return ""
    where = f"spec.baseline.name: AutoGLMBenchmark {spec.baseline.name}"
    baseline = observed.baseline
    if baseline is None or baseline.spec is None:
        raise Waiting(
            Reason.BASELINE_NOT_FOUND, f"{where} does not exist: create it, or correct the name", _AGAIN_SECONDS
        )
    theirs, ours = _kept(baseline.spec.report), _kept(spec.report)
    if theirs != ours:
        raise Terminal(
            Reason.BASELINE_NOT_FOUND,
            f"{where} keeps its reports {theirs}, and this one {ours}: the comparison reads both, so keep both in "
            "the same place",
        )
    report = str((baseline.status.get("lastRun") or {}).get("report") or "")
    if report and report.startswith(_within(spec.report)):
        return report if spec.report.s3 else report.partition(":")[2]
    if report:
        raise Waiting(
            Reason.BASELINE_NOT_FOUND,
            f"{where} has its last report elsewhere, at {report}: its next one is waited for",
            _AGAIN_SECONDS,
        )
    if baseline.name == observed.benchmark.name:
        # Its own first run has nothing to be compared with; the next has this one.
        return ""
    raise Waiting(Reason.BASELINE_NOT_FOUND, f"{where} has no report yet: it is waited for", _AGAIN_SECONDS)


def _within(report: Report) -> str:
    """Return how the places of all reports of one spec begin."""
    if report.pvc is not None:
        return f"{report.pvc.claim_name}:"
    return f"s3://{report.s3.bucket}/" if report.s3 is not None else ""


def _kept(report: Report) -> str:
    """Return where reports are kept, in words that are equal where the places are."""
    if report.pvc is not None:
        return f"on claim {report.pvc.claim_name}"
    if report.s3 is None:
        return "nowhere"
    return f"in bucket {report.s3.bucket} of {report.s3.endpoint or f'AWS, {report.s3.region}'}"


def newest(observed: ObservedBenchmark, plan: BenchmarkPlan) -> Run | None:
    """Return the run that the spec asks for: the newest of a schedule, or the one with its hash."""
    wanted = [run for run in observed.runs if plan.spec.schedule is not None or run.asked == plan.asked]
    return wanted[-1] if wanted else None

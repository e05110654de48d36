"""What an AutoGLMBenchmark should be doing, and what came of it: pure."""

from dataclasses import dataclass
from math import ceil, log2
from typing import Any, Final

from autoglm_operator.api import names
from autoglm_operator.api.hashing import content_hash
from autoglm_operator.api.types import seconds
from autoglm_operator.api.v1alpha1.benchmark import BenchmarkSpec, ProfileType
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
        baseline: folder, on the claim of the reports, of the run to compare with; empty for none.
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
    baseline: str = ""


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
    deployment = _deployment(observed, spec)
    if deployment is not None:
        url = f"http://{deployment.name}.{deployment.namespace}.svc:{names.ENGINE_PORT}/v1"
        model = (deployment.spec.model.served_name if deployment.spec else None) or deployment.name
    else:
        service = spec.target.service_ref
        if service is None:
            raise Terminal(Reason.INVALID_SPEC, "spec.target: give exactly one of deploymentRef and serviceRef")
        url, model = f"http://{service.name}.{benchmark.namespace}.svc:{service.port}/v1", service.model
    if start and deployment is not None and not observed.engines:
        raise Waiting(
            Reason.TARGET_NOT_READY,
            f"AutoGLMDeployment {deployment.name} has no ready replica: the run starts when it has one; "
            f"`kubectl autoglm explain {deployment.name}` says why",
            _AGAIN_SECONDS,
        )
    objective = _objective(spec, deployment)
    if spec.profile.type is ProfileType.FIND_LIMIT and not objective:
        raise Terminal(
            Reason.NO_OBJECTIVE,
            "spec.objective: FindLimit looks for the highest rate inside an objective, and there is none: set "
            "spec.objective.ttftP99 or itlP99, or autoscaling.objective of the AutoGLMDeployment",
        )
    baseline = _baseline(observed, spec)
    deadline = int(seconds(spec.duration) * _trials(spec)) + _ALLOWANCE_SECONDS
    return BenchmarkPlan(spec, url, model, objective, asked, job, observed.engines, deadline, start, baseline)


def _trials(spec: BenchmarkSpec) -> int:
    """Return how often the duration is run: a search doubles the rate up to the highest, then halves the gap."""
    if spec.profile.type is not ProfileType.FIND_LIMIT or not spec.profile.rate or not spec.profile.peak_rate:
        return 1
    return ceil(log2(spec.profile.peak_rate / spec.profile.rate)) + _HALVINGS


def run_hash(benchmark: Benchmark) -> str:
    """Return the hash of everything in a benchmark that makes a run another one."""
    spec = benchmark.spec.model_dump(mode="json", exclude_none=True) if benchmark.spec else {}
    return content_hash({"spec": spec, "again": benchmark.again})


def _done(observed: ObservedBenchmark, asked: str, job: str) -> bool:
    """Whether the run is there, or has ended and its Job was removed since."""
    last: Any = observed.benchmark.status.get("lastRun") or {}
    return any(run.asked == asked for run in observed.runs) or last.get("job") == job


def _deployment(observed: ObservedBenchmark, spec: BenchmarkSpec) -> Deployment | None:
    ref = spec.target.deployment_ref
    if ref is None:
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
    if spec.baseline is None or spec.report.pvc is None:
        return ""
    where = f"spec.baseline.name: AutoGLMBenchmark {spec.baseline.name}"
    baseline = observed.baseline
    if baseline is None or baseline.spec is None:
        raise Waiting(
            Reason.BASELINE_NOT_FOUND, f"{where} does not exist: create it, or correct the name", _AGAIN_SECONDS
        )
    claim = baseline.spec.report.pvc
    if claim is None or claim.claim_name != spec.report.pvc.claim_name:
        kept = "no claim" if claim is None else f"claim {claim.claim_name}"
        raise Terminal(
            Reason.BASELINE_NOT_FOUND,
            f"{where} keeps its reports on {kept}, and this one on {spec.report.pvc.claim_name}: the comparison reads "
            "both, so write both to the same claim",
        )
    report = (baseline.status.get("lastRun") or {}).get("report")
    if not report:
        raise Waiting(Reason.BASELINE_NOT_FOUND, f"{where} has no report yet: it is waited for", _AGAIN_SECONDS)
    return str(report).partition(":")[2]


def newest(observed: ObservedBenchmark, plan: BenchmarkPlan) -> Run | None:
    """Return the run that the spec asks for: the newest of a schedule, or the one with its hash."""
    wanted = [run for run in observed.runs if plan.spec.schedule is not None or run.asked == plan.asked]
    return wanted[-1] if wanted else None

"""The Job or CronJob of an AutoGLMBenchmark."""

from typing import Any, Final

from autoglm_operator.api import names
from autoglm_operator.api.types import seconds
from autoglm_operator.api.v1alpha1.benchmark import BenchmarkSpec, Profile, ProfileType, WorkloadType
from autoglm_operator.decide.benchmark import BenchmarkPlan, Objective
from autoglm_operator.observe.benchmark import (
    ANNOTATION_RUN,
    BENCH_CONTAINER,
    JOB_LABEL,
    LABEL_BENCHMARK,
    Benchmark,
)
from autoglm_operator.render.engines.common import literal
from autoglm_operator.render.meta import CONTAINER_SECURITY, POD_SECURITY
from autoglm_operator.settings import Images

#: Where the claims are mounted.
REPORTS_PATH: Final = "/reports"
TRACE_PATH: Final = "/trace"
DATASET_PATH: Final = "/dataset"
LAST_WORD: Final = "/dev/termination-log"
#: Time to write a partial report after SIGTERM.
_GRACE_SECONDS: Final = 60
_JOB_NAME: Final = f"metadata.labels['{JOB_LABEL}']"
_PROFILES: Final = {
    ProfileType.CONSTANT: "constant",
    ProfileType.STEP: "step",
    ProfileType.RAMP: "ramp",
    ProfileType.SPIKE: "spike",
    ProfileType.POISSON: "poisson",
    ProfileType.BURSTY: "gamma",
    ProfileType.CONCURRENCY: "concurrency",
    ProfileType.TRACE: "trace",
    ProfileType.FIND_LIMIT: "find-limit",
}
_LEAST_STEPS: Final = 2
#: Keys of the Secret of a bucket, which the program reads under the same names, and whether it can do without.
_BUCKET_KEYS: Final = {"AWS_ACCESS_KEY_ID": False, "AWS_SECRET_ACCESS_KEY": False, "AWS_SESSION_TOKEN": True}


def benchmark_child(benchmark: Benchmark, plan: BenchmarkPlan, images: Images) -> dict[str, Any]:
    """Return the CronJob of a benchmark with a schedule, else its Job."""
    job = _job_spec(benchmark, plan, images)
    meta = benchmark_metadata(benchmark)
    notes = {ANNOTATION_RUN: plan.asked}
    if plan.spec.schedule is None:
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": meta | {"name": plan.job, "annotations": notes},
            "spec": job,
        }
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": meta,
        "spec": {
            "schedule": plan.spec.schedule,
            "timeZone": "Etc/UTC",
            # Two loads at once would measure each other.
            "concurrencyPolicy": "Forbid",
            "successfulJobsHistoryLimit": 3,
            "failedJobsHistoryLimit": 3,
            "jobTemplate": {"metadata": {"labels": meta["labels"], "annotations": notes}, "spec": job},
        },
    }


def labels(name: str) -> dict[str, str]:
    """Return the labels of everything that belongs to the benchmark `name`."""
    return {
        "app.kubernetes.io/name": "autoglm",
        "app.kubernetes.io/component": "benchmark",
        "app.kubernetes.io/part-of": "autoglm",
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
        LABEL_BENCHMARK: name,
    }


def benchmark_metadata(benchmark: Benchmark) -> dict[str, Any]:
    """Return the metadata of a child: named after its owner and removed with it."""
    owner = {
        "apiVersion": names.API_VERSION,
        "kind": names.BENCHMARK.kind,
        "name": benchmark.name,
        "uid": benchmark.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {
        "name": benchmark.name,
        "namespace": benchmark.namespace,
        "labels": labels(benchmark.name),
        "ownerReferences": [owner],
    }


def _job_spec(benchmark: Benchmark, plan: BenchmarkPlan, images: Images) -> dict[str, Any]:
    return {
        # A load that failed would fail again. Only what the cluster did to the pod is worth another one.
        "backoffLimit": 0,
        "podFailurePolicy": {
            "rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
        },
        "activeDeadlineSeconds": plan.deadline,
        "template": {"metadata": {"labels": labels(benchmark.name)}, "spec": _pod(plan, images)},
    }


def _pod(plan: BenchmarkPlan, images: Images) -> dict[str, Any]:
    volumes, mounts = _volumes(plan)
    container = {
        "name": BENCH_CONTAINER,
        "image": images.bench,
        "imagePullPolicy": images.pull_policy,
        "args": arguments(plan),
        "env": _environment(plan.spec),
        "resources": {"requests": {"cpu": "500m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
        "securityContext": CONTAINER_SECURITY,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": mounts,
    }
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": POD_SECURITY,
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": _GRACE_SECONDS,
        "containers": [container],
        "volumes": volumes,
    }


def arguments(plan: BenchmarkPlan) -> list[str]:
    """Return the command line of `autoglm-bench`: one word each, so that a value is never taken for a flag."""
    spec = plan.spec
    words = ["run", f"--url={plan.url}", f"--model={literal(plan.model)}", f"--seed={spec.seed}"]
    words += [*_profile(spec.profile, seconds(spec.duration)), *_workload(spec), *_objective(plan.objective)]
    words += [f"--metrics-url=http://{address}:{names.ENGINE_PORT}/metrics" for address in plan.engines]
    words += [f"--agent-url=http://{address}:{names.AGENT_PORT}/state" for address in plan.engines]
    words += [f"--last-word={LAST_WORD}", "--progress=json", "--output=table"]
    if plan.reports is None:
        return words
    # The kubelet fills in the name: each run of a schedule has another.
    words.append(f"--report-dir={_place(plan, plan.reports)}/$(JOB_NAME)")
    words += [f"--baseline={_place(plan, plan.baseline)}"] if plan.baseline else []
    if (bucket := spec.report.s3) is not None:
        words.append(f"--s3-region={bucket.region}")
        words += [f"--s3-endpoint={bucket.endpoint}"] if bucket.endpoint else []
    return words


def _place(plan: BenchmarkPlan, folder: str) -> str:
    """Return a place as the pod sees it."""
    return folder if plan.spec.report.s3 else "/".join(filter(None, (REPORTS_PATH, folder)))


def _environment(spec: BenchmarkSpec) -> list[dict[str, Any]]:
    made = [{"name": "JOB_NAME", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": _JOB_NAME}}}]
    if spec.report.s3 is not None:
        secret = spec.report.s3.credentials_secret_ref.name
        for name, optional in _BUCKET_KEYS.items():
            reference: dict[str, Any] = {"name": secret, "key": name} | ({"optional": True} if optional else {})
            made.append({"name": name, "valueFrom": {"secretKeyRef": reference}})
    return made


def _profile(profile: Profile, duration: float) -> list[str]:
    """Return the flags of the load; the rules of the API see to it that what a type needs is given."""
    words = [f"--profile={_PROFILES[profile.type]}", f"--duration={duration:g}"]
    rate, peak = profile.rate or 0.0, profile.peak_rate or 0.0
    match profile.type:
        case ProfileType.STEP:
            count = profile.steps or _LEAST_STEPS
            heights = [rate + (peak - rate) * step / (count - 1) for step in range(count)]
            return [*words, "--rates=" + ",".join(f"{height:g}" for height in heights)]
        case ProfileType.RAMP:
            words.append(f"--end-rate={peak:g}")
        case ProfileType.SPIKE:
            third = f"{duration / 3:g}"
            words += [f"--spike-rate={peak:g}", f"--spike-start={third}", f"--spike-duration={third}"]
        case ProfileType.FIND_LIMIT:
            words.append(f"--highest-rate={peak:g}")
        case ProfileType.BURSTY:
            words.append(f"--burstiness={profile.burstiness or 1.0:g}")
        case ProfileType.CONCURRENCY:
            return [*words, f"--concurrency={profile.concurrency}"]
        case ProfileType.TRACE:
            return [*words, f"--trace={TRACE_PATH}/{profile.trace.path if profile.trace else ''}"]
    return [*words, f"--rate={rate:g}"]


def _workload(spec: BenchmarkSpec) -> list[str]:
    workload = spec.workload
    if workload.dataset is not None:
        return [f"--requests={DATASET_PATH}/{workload.dataset.path}"]
    if workload.type is WorkloadType.PHONE_AGENT:
        return ["--workload=phone-agent"]
    if spec.profile.type is ProfileType.TRACE:
        # A trace brings its own lengths.
        return []
    words = [f"--prompt-tokens={_length(workload.prompt_tokens, workload.variation)}"]
    words += [f"--output-tokens={_length(workload.output_tokens, workload.variation)}", f"--turns={workload.turns}"]
    return words + ([f"--prefix-tokens={workload.shared_prefix_tokens}"] if workload.shared_prefix_tokens else [])


def _length(mean: int, variation: float) -> str:
    return f"normal:{mean},{mean * variation:g}" if variation else str(mean)


def _objective(objective: Objective) -> list[str]:
    given = (("ttft_p99", objective.ttft), ("itl_p99", objective.itl))
    return [f"--objective={name}={value * 1000:g}ms" for name, value in given if value is not None]


def _volumes(plan: BenchmarkPlan) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    spec = plan.spec
    wanted = (
        ("trace", spec.profile.trace, TRACE_PATH),
        ("dataset", spec.workload.dataset, DATASET_PATH),
        ("reports", spec.report.pvc, REPORTS_PATH),
    )
    volumes: list[dict[str, Any]] = [{"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}]
    mounts: list[dict[str, Any]] = [{"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108  # the container's own
    for name, claim, path in wanted:
        if claim is not None:
            volumes.append({"name": name, "persistentVolumeClaim": {"claimName": claim.claim_name}})
            mounts.append({"name": name, "mountPath": path, "readOnly": name != "reports"})
    return volumes, mounts

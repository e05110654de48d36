import pytest

from autoglm_operator.observe.benchmark import LABEL_BENCHMARK, Benchmark, ObservedBenchmark, Run
from autoglm_operator.observe.pod import Pod

NOW = 1_800_000_000.0
POISSON = {"type": "Poisson", "rate": 2.5}
PVC = {"pvc": {"claimName": "reports", "path": "glm"}}
BUCKET = {"bucket": "runs", "prefix": "glm", "credentialsSecretRef": {"name": "keys"}}
S3 = {"s3": BUCKET}


def benchmark_document(name="load", status=None, annotations=None, **spec):
    given = {"target": {"deploymentRef": {"name": "phone"}}, "profile": POISSON} | spec
    meta = {"namespace": "team", "name": name, "uid": f"uid-{name}", "generation": 3, "annotations": annotations or {}}
    return {"metadata": meta, "spec": given, "status": status or {}}


def deployment_document(**autoscaling):
    spec = {"model": {"source": {"huggingFace": "a/b"}, "servedName": "glm"}}
    if autoscaling:
        spec["autoscaling"] = {"maxReplicas": 2} | autoscaling
    return {"metadata": {"namespace": "team", "name": "phone", "uid": "d"}, "spec": spec}


READY = deployment_document(objective={"ttftP99": "1s"})


@pytest.fixture
def observe():
    """Return a picture of a benchmark whose target is ready, with changes."""

    def make(runs=(), *, deployment=READY, engines=("10.0.0.5",), before=None, progress=None, **benchmark):
        return ObservedBenchmark(
            benchmark=Benchmark.parse(benchmark_document(**benchmark)),
            children={},
            runs=tuple(runs),
            now=NOW,
            deployment=deployment,
            engines=engines,
            baseline=before,
            progress=progress,
        )

    return make


def job_document(name, asked, conditions=()):
    return {
        "metadata": {
            "name": name,
            "creationTimestamp": "2026-11-21T10:00:00Z",
            "labels": {LABEL_BENCHMARK: "load"},
            "annotations": {"autoglm.io/benchmark-run": asked},
        },
        "status": {"conditions": list(conditions)},
    }


def ended(kind, message=""):
    return {"type": kind, "status": "True", "lastTransitionTime": "2026-11-21T10:05:00Z", "message": message}


def pod(**status):
    return Pod.parse({"metadata": {"name": "load-x"}, "status": {"containerStatuses": [{"name": "bench"} | status]}})


def run(asked, said=None, kind=None, **status):
    """Return the run that a Job and its pod make: `kind` Complete, Failed or, while it runs, None."""
    if said is not None:
        status = {"state": {"terminated": {"exitCode": 0, "message": said}}}
    conditions = [ended(kind)] if kind else []
    return Run.of(job_document(f"load-{asked[:8]}", asked, conditions), pod(**status) if status else None)

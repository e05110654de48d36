"""Rules across the fields of an AutoGLMBenchmark, in CEL and in Python."""

import re
from collections.abc import Mapping
from typing import Any, Final

from autoglm_operator.api.names import BENCHMARK, MAX_NAME_LENGTH
from autoglm_operator.api.rule import Rule, exactly_one, same_namespace
from autoglm_operator.api.types import CRON_PATTERN, IN_CLUSTER_PATTERN
from autoglm_operator.api.v1alpha1.benchmark import ProfileType, WorkloadType

_KIND: Final = BENCHMARK.kind
_RATES: Final = (
    ProfileType.CONSTANT,
    ProfileType.POISSON,
    ProfileType.BURSTY,
    ProfileType.STEP,
    ProfileType.RAMP,
    ProfileType.SPIKE,
    ProfileType.FIND_LIMIT,
)
#: Field of `profile` → the types that need it; the others do not take it.
PROFILE_FIELDS: Final[Mapping[str, tuple[ProfileType, ...]]] = {
    "rate": _RATES,
    "peakRate": (ProfileType.STEP, ProfileType.RAMP, ProfileType.SPIKE, ProfileType.FIND_LIMIT),
    "steps": (ProfileType.STEP,),
    "burstiness": (ProfileType.BURSTY,),
    "concurrency": (ProfileType.CONCURRENCY,),
    "trace": (ProfileType.TRACE,),
}


def _belongs(where: tuple[str, ...], field: str, kind: str, types: tuple[str, ...]) -> Rule:
    """Return the rule that `field` is given exactly where the sibling `type` is one of `types`."""
    values = [str(item) for item in types]

    def holds(value: Mapping[str, Any]) -> bool:
        return (field in value) == (value["type"] in values)

    return Rule(
        where,
        f"has(self.{field}) == (self.type in {values})",
        f"{field} belongs to {kind} type {', '.join(values)}: give it there, and leave it out elsewhere",
        holds,
        f".{field}",
    )


def _protected(bucket: Mapping[str, Any]) -> bool:
    endpoint = bucket.get("endpoint", "https://")
    return endpoint.startswith("https://") or re.fullmatch(IN_CLUSTER_PATTERN, endpoint) is not None


BENCHMARK_RULES: Final[tuple[Rule, ...]] = (
    Rule(
        (),
        f"size(self.metadata.name) <= {MAX_NAME_LENGTH}",
        f"metadata.name may have at most {MAX_NAME_LENGTH} characters, because Jobs are named after it: choose a "
        "shorter one",
        lambda obj: len(obj["metadata"]["name"]) <= MAX_NAME_LENGTH,
    ),
    exactly_one(("spec", "target"), ("deploymentRef", "serviceRef")),
    *same_namespace(("spec", "target", "deploymentRef"), "AutoGLMDeployment", _KIND),
    *same_namespace(("spec", "target", "serviceRef"), "Service", _KIND),
    *same_namespace(("spec", "profile", "trace"), "PersistentVolumeClaim", _KIND),
    *same_namespace(("spec", "workload", "dataset"), "PersistentVolumeClaim", _KIND),
    *same_namespace(("spec", "baseline"), "AutoGLMBenchmark", _KIND),
    *same_namespace(("spec", "report", "pvc"), "PersistentVolumeClaim", _KIND),
    *same_namespace(("spec", "report", "s3", "credentialsSecretRef"), "Secret", _KIND),
    Rule(
        ("spec", "report"),
        "!has(self.pvc) || !has(self.s3)",
        "give pvc or s3, not both: a report goes to one place",
        lambda report: "pvc" not in report or "s3" not in report,
        ".s3",
    ),
    Rule(
        ("spec", "report", "s3"),
        f"!has(self.endpoint) || self.endpoint.startsWith('https://') || self.endpoint.matches('{IN_CLUSTER_PATTERN}')",
        "endpoint with http must be a Service of the cluster, such as http://minio.storage.svc:9000: elsewhere "
        "reports would cross the network unprotected; use https",
        _protected,
        ".endpoint",
    ),
    *(_belongs(("spec", "profile"), field, "profile", types) for field, types in PROFILE_FIELDS.items()),
    _belongs(("spec", "workload"), "dataset", "workload", (WorkloadType.DATASET,)),
    Rule(
        ("spec", "profile"),
        "!has(self.peakRate) || !has(self.rate) || self.peakRate > self.rate",
        "peakRate must be above rate: it is the top of the load, and rate the bottom",
        lambda profile: profile.get("peakRate", float("inf")) > profile.get("rate", 0),
        ".peakRate",
    ),
    Rule(
        ("spec", "profile", "trace"),
        "has(self.path)",
        "trace needs path, the file inside the claim",
        lambda trace: "path" in trace,
        ".path",
    ),
    Rule(
        ("spec", "workload", "dataset"),
        "has(self.path)",
        "dataset needs path, the file inside the claim",
        lambda dataset: "path" in dataset,
        ".path",
    ),
    Rule(
        ("spec",),
        "!has(self.baseline) || has(self.report.pvc) || has(self.report.s3)",
        "baseline needs report.pvc or report.s3: the reports that are compared are kept there",
        lambda spec: "baseline" not in spec or "pvc" in spec["report"] or "s3" in spec["report"],
        ".baseline",
    ),
    Rule(
        ("spec",),
        f"!has(self.schedule) || self.schedule.matches('{CRON_PATTERN}')",
        'schedule must be a cron line of five fields, such as "0 3 * * *"',
        lambda spec: re.fullmatch(CRON_PATTERN, spec.get("schedule", "0 3 * * *")) is not None,
        ".schedule",
    ),
)

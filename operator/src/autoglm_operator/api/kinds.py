"""The kinds of the API: what each is called, made of, and shows in a list."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from autoglm_operator.api import names
from autoglm_operator.api.benchmark_rules import BENCHMARK_RULES
from autoglm_operator.api.benchmark_status import BenchmarkStatus
from autoglm_operator.api.rule import Rule
from autoglm_operator.api.status import Status
from autoglm_operator.api.types import ApiModel
from autoglm_operator.api.v1alpha1 import Spec
from autoglm_operator.api.v1alpha1.benchmark import BenchmarkSpec
from autoglm_operator.api.validation import RULES

Column = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CustomKind:
    """One kind.

    Attributes:
        names: what it is called.
        description: what `kubectl explain` says of it.
        spec: model of what a user writes.
        status: model of what we write.
        rules: across fields.
        columns: what `kubectl get` shows.
        subresources: beside `status`.
    """

    names: names.KindNames
    description: str
    spec: type[ApiModel]
    status: type[ApiModel]
    rules: tuple[Rule, ...]
    columns: tuple[Column, ...]
    subresources: Mapping[str, Any] = field(default_factory=dict)


_AGE: Final[Column] = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
_DEPLOYMENT_COLUMNS: Final[tuple[Column, ...]] = (
    {
        "name": "Ready",
        "type": "string",
        "jsonPath": '.status.conditions[?(@.type=="Ready")].status',
        "description": "Whether replicas of the newest spec answer requests.",
    },
    {
        "name": "Replicas",
        "type": "integer",
        "jsonPath": ".status.readyReplicas",
        "description": "Replicas that answer requests.",
    },
    {"name": "Desired", "type": "integer", "jsonPath": ".spec.replicas", "description": "Replicas wanted."},
    {
        "name": "Model",
        "type": "string",
        "jsonPath": ".status.modelName",
        "description": "Name that clients write.",
    },
    {"name": "Engine", "type": "string", "jsonPath": ".spec.engine.type", "description": "Inference engine."},
    {
        "name": "GPU",
        "type": "string",
        "jsonPath": ".spec.resources.gpu.product",
        "description": "GPU product.",
    },
    {
        "name": "P99 TTFT",
        "type": "string",
        "jsonPath": ".status.autoscaling.ttftP99",
        "description": "99th percentile of the time to first token.",
    },
    {
        "name": "Reason",
        "type": "string",
        "priority": 1,
        "jsonPath": '.status.conditions[?(@.type=="Ready")].message',
        "description": "Why it is, or is not, ready.",
    },
    _AGE,
)

_BENCHMARK_COLUMNS: Final[tuple[Column, ...]] = (
    {
        "name": "Complete",
        "type": "string",
        "jsonPath": '.status.conditions[?(@.type=="Complete")].status',
        "description": "Whether the newest run has ended with a result.",
    },
    {
        "name": "Met",
        "type": "string",
        "jsonPath": '.status.conditions[?(@.type=="ObjectiveMet")].status',
        "description": "Whether the last run stayed inside the objective.",
    },
    {
        "name": "Progress",
        "type": "integer",
        "jsonPath": ".status.progress.percent",
        "description": "Percent of the run that is under way.",
    },
    {
        "name": "P99 TTFT",
        "type": "string",
        "jsonPath": ".status.progress.ttftP99",
        "description": "99th percentile of the time to first token, so far.",
    },
    {
        "name": "Verdict",
        "type": "string",
        "jsonPath": ".status.lastRun.verdict",
        "description": "What the last run showed.",
    },
    _AGE,
)

DEPLOYMENT: Final = CustomKind(
    names.DEPLOYMENT,
    "An LLM served by a set of GPU inference pods that scales to hold its latency objective.",
    Spec,
    Status,
    RULES,
    _DEPLOYMENT_COLUMNS,
    {
        "scale": {
            "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        }
    },
)
BENCHMARK: Final = CustomKind(
    names.BENCHMARK,
    "A load test of an AutoGLMDeployment or a Service, with a verdict on its objective.",
    BenchmarkSpec,
    BenchmarkStatus,
    BENCHMARK_RULES,
    _BENCHMARK_COLUMNS,
)
KINDS: Final = (DEPLOYMENT, BENCHMARK)

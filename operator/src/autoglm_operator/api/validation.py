"""Rules across fields: one CEL text for the API server and one Python predicate, tested to agree.

The API server enforces the CEL text, so the rules hold without a webhook; the predicate serves
`kubectl autoglm render`, which has no API server to ask.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from autoglm_operator.api.names import MAX_NAME_LENGTH
from autoglm_operator.api.types import DNS_NAME_PATTERN, seconds


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule on the object found at `path`.

    Attributes:
        path: keys from the root of the custom resource to the object the rule is on.
        cel: the rule in CEL, with `self` that object.
        message: what is wrong and what to write instead.
        holds: the same rule in Python, given the object as decoded JSON with defaults filled in.
        field: JSON path, below `path`, that an error is reported on.
    """

    path: tuple[str, ...]
    cel: str
    message: str
    holds: Callable[[Mapping[str, Any]], bool]
    field: str = ""


def _signals_given(autoscaling: Mapping[str, Any]) -> bool:
    return any(key in autoscaling["signals"] for key in ("queueDepth", "latencyP99", "memoryPressure"))


def _same_namespace(path: tuple[str, ...], kind: str) -> tuple[Rule, Rule]:
    name_field = "claimName" if kind == "PersistentVolumeClaim" else "name"
    return (
        Rule(
            path,
            "!has(self.__namespace__)",
            f"references stay inside the namespace: remove `namespace` and create the {kind} beside the "
            "AutoGLMDeployment",
            lambda ref: "namespace" not in ref,
            ".__namespace__",
        ),
        Rule(
            path,
            f"self.{name_field}.matches('{DNS_NAME_PATTERN}')",
            f"must be the plain name of a {kind} in the same namespace: lower case letters, digits, '-' and '.', "
            "without '/'",
            lambda ref: re.fullmatch(DNS_NAME_PATTERN, ref[name_field]) is not None,
            f".{name_field}",
        ),
    )


RULES: Final[tuple[Rule, ...]] = (
    Rule(
        (),
        f"size(self.metadata.name) <= {MAX_NAME_LENGTH}",
        f"metadata.name may have at most {MAX_NAME_LENGTH} characters, because pods and Services are named after it: "
        "choose a shorter one",
        lambda obj: len(obj["metadata"]["name"]) <= MAX_NAME_LENGTH,
    ),
    Rule(
        (),
        "!self.metadata.name.contains('.')",
        "metadata.name may not contain '.', because a Service is named after it: use '-' instead",
        lambda obj: "." not in obj["metadata"]["name"],
    ),
    Rule(
        (),
        "self.metadata.name.matches('^[a-z]')",
        "metadata.name must start with a letter, because a Service is named after it",
        lambda obj: obj["metadata"]["name"][:1].isalpha(),
    ),
    Rule(
        ("spec", "model", "source"),
        "has(self.huggingFace) != has(self.pvc)",
        "give exactly one of huggingFace and pvc",
        lambda source: ("huggingFace" in source) != ("pvc" in source),
    ),
    *_same_namespace(("spec", "model", "source", "pvc"), "PersistentVolumeClaim"),
    *_same_namespace(("spec", "model", "tokenSecretRef"), "Secret"),
    Rule(
        ("spec", "engine"),
        "!has(self.simulator) || self.type == 'Simulator'",
        "`simulator` is only for type Simulator: remove it or set type to Simulator",
        lambda engine: "simulator" not in engine or engine["type"] == "Simulator",
        ".simulator",
    ),
    Rule(
        ("spec", "resources"),
        "self.gpu.count == self.parallelism.tensor * self.parallelism.pipeline || self.gpu.count == 0",
        "gpu.count must be parallelism.tensor * parallelism.pipeline: one GPU for each rank",
        lambda resources: (
            resources["gpu"]["count"] in (0, resources["parallelism"]["tensor"] * resources["parallelism"]["pipeline"])
        ),
        ".gpu.count",
    ),
    Rule(
        ("spec",),
        "self.resources.gpu.count > 0 || self.engine.type == 'Simulator'",
        "resources.gpu.count must be at least 1: only engine type Simulator runs without a GPU",
        lambda spec: spec["resources"]["gpu"]["count"] > 0 or spec["engine"]["type"] == "Simulator",
        ".resources.gpu.count",
    ),
    Rule(
        ("spec", "autoscaling"),
        "self.minReplicas <= self.maxReplicas",
        "minReplicas must be at most maxReplicas: lower minReplicas or raise maxReplicas",
        lambda autoscaling: autoscaling["minReplicas"] <= autoscaling["maxReplicas"],
        ".minReplicas",
    ),
    Rule(
        ("spec", "autoscaling"),
        "has(self.signals.queueDepth) || has(self.signals.latencyP99) || has(self.signals.memoryPressure)",
        "give at least one of queueDepth, latencyP99 and memoryPressure, or leave signals out for all three",
        _signals_given,
        ".signals",
    ),
    Rule(
        ("spec", "autoscaling"),
        "duration(self.scaleDownHold) <= duration('1h')",
        "scaleDownHold may be at most 1h, the longest window of a HorizontalPodAutoscaler",
        lambda autoscaling: seconds(autoscaling["scaleDownHold"]) <= 3600,  # noqa: PLR2004  # one hour
        ".scaleDownHold",
    ),
)


def violations(document: Mapping[str, Any]) -> list[str]:
    """Return a line for each rule that `document`, with defaults filled in, breaks; each names the field."""
    broken = []
    for rule in RULES:
        target = _at(document, rule.path)
        if target is not None and not rule.holds(target):
            field = ".".join(rule.path) + rule.field.replace("__", "")
            broken.append(f"{field or 'metadata.name'}: {rule.message}")
    return broken


def _at(document: Mapping[str, Any], path: tuple[str, ...]) -> Mapping[str, Any] | None:
    target: Any = document
    for key in path:
        target = target.get(key)
        if target is None:
            return None
    return target  # type: ignore[no-any-return]

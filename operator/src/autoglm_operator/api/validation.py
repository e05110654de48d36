"""Rules across fields: one CEL text for the API server and one Python predicate, tested to agree.

The API server enforces the CEL text, so the rules hold without a webhook; the predicate serves
`kubectl autoglm render`, which has no API server to ask.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from autoglm_operator.api.environment import EXTRA_ENV, reserved_environment
from autoglm_operator.api.names import MAX_NAME_LENGTH
from autoglm_operator.api.rule import EACH, Rule, broken, exactly_one, same_namespace
from autoglm_operator.api.types import seconds

_ADAPTERS: Final = ("spec", "engine", "lora", "adapters", EACH)
_SCHEDULES: Final = ("spec", "autoscaling", "schedules", EACH)
_WEEK: Final = 168 * 3600
_TENSOR_SIZES: Final = (1, 2, 4, 8, 16, 32, 64)
_RANKS: Final = (8, 16, 32, 64, 128, 256)
_DRAFT_METHODS: Final = ("eagle", "eagle3", "draftModel")
#: Fields of `engine` that the simulator has no model of.
_REAL_OBJECTS: Final = ("speculative", "lora", "sampling", "cpuOffload")
_REAL_LISTS: Final = ("extraArgs", "extraEnv")
_GIVEN_REAL: Final = " || ".join(
    [f"has(self.{name})" for name in _REAL_OBJECTS]
    + [f"(has(self.{name}) && size(self.{name}) > 0)" for name in _REAL_LISTS]
)


def _signals_given(autoscaling: Mapping[str, Any]) -> bool:
    return any(key in autoscaling["signals"] for key in ("queueDepth", "latencyP99", "memoryPressure"))


def _real_only(engine: Mapping[str, Any]) -> bool:
    return any(name in engine for name in _REAL_OBJECTS) or any(engine.get(name) for name in _REAL_LISTS)


def _gpus_match(resources: Mapping[str, Any]) -> bool:
    parallelism = resources["parallelism"]
    ranks = parallelism["tensor"] * parallelism["pipeline"] * parallelism["data"]
    return resources["gpu"]["count"] in (0, ranks)


def _pinnable(resources: Mapping[str, Any]) -> bool:
    whole = re.fullmatch("[1-9][0-9]*", resources.get("cpu", "")) is not None
    return not resources["cpuPinning"] or (whole and "memory" in resources)


def _schedules_in_order(autoscaling: Mapping[str, Any]) -> bool:
    return all(
        one.get("minReplicas", autoscaling["minReplicas"]) <= one.get("maxReplicas", autoscaling["maxReplicas"])
        for one in autoscaling.get("schedules", ())
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
    exactly_one(("spec", "model", "source"), ("huggingFace", "modelScope", "pvc", "ociImage", "url")),
    Rule(
        ("spec", "model"),
        "!has(self.hubEndpoint) || has(self.source.huggingFace) || has(self.source.modelScope)",
        "hubEndpoint is a mirror of a hub: it goes with source.huggingFace or source.modelScope",
        lambda model: "hubEndpoint" not in model or bool({"huggingFace", "modelScope"} & set(model["source"])),
        ".hubEndpoint",
    ),
    Rule(
        ("spec",),
        "!has(self.model.source.url) || self.warmStart.mode != 'Lazy'",
        "model.source.url is downloaded to the cache of warmStart: set warmStart.mode to Hybrid or Full",
        lambda spec: "url" not in spec["model"]["source"] or spec["warmStart"]["mode"] != "Lazy",
        ".warmStart.mode",
    ),
    Rule(
        ("spec", "warmStart", "cache"),
        "!has(self.claimName) || (!has(self.storageClassName) && !has(self.size))",
        "storageClassName and size are for a claim to be made: remove them, or claimName",
        lambda cache: "claimName" not in cache or not {"storageClassName", "size"} & set(cache),
        ".claimName",
    ),
    *same_namespace(("spec", "model", "source", "pvc"), "PersistentVolumeClaim"),
    *same_namespace(("spec", "model", "tokenSecretRef"), "Secret"),
    Rule(
        ("spec", "engine"),
        "!has(self.simulator) || self.type == 'Simulator'",
        "`simulator` is only for type Simulator: remove it or set type to Simulator",
        lambda engine: "simulator" not in engine or engine["type"] == "Simulator",
        ".simulator",
    ),
    Rule(
        ("spec", "engine"),
        f"self.type != 'Simulator' || !({_GIVEN_REAL})",
        f"type Simulator does not simulate {', '.join((*_REAL_OBJECTS, *_REAL_LISTS))}: remove them",
        lambda engine: engine["type"] != "Simulator" or not _real_only(engine),
        ".type",
    ),
    Rule(
        ("spec", "engine", "speculative"),
        f"has(self.model) == (self.method in {list(_DRAFT_METHODS)})",
        f"methods {', '.join(_DRAFT_METHODS)} need `model`, the other methods take none",
        lambda speculative: ("model" in speculative) == (speculative["method"] in _DRAFT_METHODS),
        ".model",
    ),
    Rule(
        ("spec", "engine", "lora"),
        "self.adapters.all(one, self.adapters.exists_one(other, other.name == one.name))",
        "each adapter needs a name of its own",
        lambda lora: len({adapter["name"] for adapter in lora["adapters"]}) == len(lora["adapters"]),
        ".adapters",
    ),
    Rule(
        ("spec", "engine", "lora"),
        f"self.maxRank in {list(_RANKS)}",
        "maxRank must be 8, 16, 32, 64, 128 or 256: the smallest that is not below the ranks of the adapters",
        lambda lora: lora["maxRank"] in _RANKS,
        ".maxRank",
    ),
    Rule(
        ("spec", "engine", "lora"),
        "!has(self.maxCpuLoras) || self.maxCpuLoras >= self.maxLoras",
        "maxCpuLoras must be at least maxLoras: adapters in use are held in CPU memory too",
        lambda lora: lora.get("maxCpuLoras", lora["maxLoras"]) >= lora["maxLoras"],
        ".maxCpuLoras",
    ),
    exactly_one((*_ADAPTERS, "source"), ("huggingFace", "pvc")),
    *same_namespace((*_ADAPTERS, "source", "pvc"), "PersistentVolumeClaim"),
    exactly_one(EXTRA_ENV, ("value", "secretKeyRef")),
    *same_namespace((*EXTRA_ENV, "secretKeyRef"), "Secret"),
    *reserved_environment(),
    Rule(
        ("spec", "resources"),
        "self.gpu.count == 0 || "
        "self.gpu.count == self.parallelism.tensor * self.parallelism.pipeline * self.parallelism.data",
        "gpu.count must be parallelism.tensor * parallelism.pipeline * parallelism.data: one GPU for each rank",
        _gpus_match,
        ".gpu.count",
    ),
    Rule(
        ("spec", "resources", "parallelism"),
        f"self.tensor in {list(_TENSOR_SIZES)}",
        "tensor must be a power of two, because attention heads are split evenly: 1, 2, 4, 8, 16, 32 or 64",
        lambda parallelism: parallelism["tensor"] in _TENSOR_SIZES,
        ".tensor",
    ),
    Rule(
        ("spec", "resources", "parallelism"),
        "self.pipeline % self.nodes == 0",
        "pipeline must be a multiple of nodes: each node holds an equal share of the pipeline stages",
        lambda parallelism: parallelism["pipeline"] % parallelism["nodes"] == 0,
        ".nodes",
    ),
    Rule(
        ("spec", "resources", "gpu"),
        "!has(self.migProfile) || self.count <= 1",
        "with migProfile count must be 1: engines cannot spread a model over MIG slices",
        lambda gpu: "migProfile" not in gpu or gpu["count"] <= 1,
        ".count",
    ),
    Rule(
        ("spec", "resources"),
        "!self.cpuPinning || (has(self.cpu) && self.cpu.matches('^[1-9][0-9]*$') && has(self.memory))",
        "cpuPinning needs `cpu` as a whole number and `memory`: the kubelet pins only guaranteed pods with whole CPUs",
        _pinnable,
        ".cpuPinning",
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
    Rule(
        _SCHEDULES,
        "has(self.minReplicas) || has(self.maxReplicas)",
        "give minReplicas, maxReplicas or both: a schedule that moves no bound does nothing",
        lambda schedule: "minReplicas" in schedule or "maxReplicas" in schedule,
        ".minReplicas",
    ),
    Rule(
        _SCHEDULES,
        "duration(self.duration) <= duration('168h')",
        "duration may be at most 168h, a week: longer bounds are those of spec.autoscaling itself",
        lambda schedule: seconds(schedule["duration"]) <= _WEEK,
        ".duration",
    ),
    Rule(
        ("spec", "autoscaling"),
        "!has(self.schedules) || self.schedules.all(one, "
        "(has(one.minReplicas) ? one.minReplicas : self.minReplicas) <= "
        "(has(one.maxReplicas) ? one.maxReplicas : self.maxReplicas))",
        "in each of schedules minReplicas must be at most maxReplicas; a bound left out is that of autoscaling",
        _schedules_in_order,
        ".schedules",
    ),
)


def violations(document: Mapping[str, Any]) -> list[str]:
    """Return a line for each rule that `document`, with defaults filled in, breaks; each names the field."""
    return broken(RULES, document)

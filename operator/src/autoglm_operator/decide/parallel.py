"""Whether a model can be spread over GPUs as asked, and what that costs: pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from autoglm_operator.api.v1alpha1 import EngineType, Parallelism, Spec
from autoglm_operator.decide.reasons import Reason
from autoglm_operator.errors import Terminal, Waiting

GROUP_KIND: Final = "LeaderWorkerSet"
_LOOK_AGAIN_SECONDS: Final = 60.0
_FIELD: Final = "spec.resources.parallelism"
_MOST_TENSOR: Final = 64


@dataclass(frozen=True, slots=True)
class ModelShape:
    """What of a model's architecture limits how it is spread; `None` where it is not known.

    Attributes:
        heads: attention heads.
        layers: hidden layers.
        experts: routed experts; 0 for a dense model.
    """

    heads: int | None = None
    layers: int | None = None
    experts: int | None = None


@dataclass(frozen=True, slots=True)
class Parallel:
    """How a replica is laid out.

    Attributes:
        notes: sentences with what the layout costs.
    """

    gpus_per_pod: int
    stages_per_node: int
    notes: tuple[str, ...] = ()


UNKNOWN_SHAPE: Final = ModelShape()


def check(
    spec: Spec,
    *,
    shape: ModelShape = UNKNOWN_SHAPE,
    gpus_per_node: int | None = None,
    kinds: frozenset[str] | None = None,
) -> Parallel:
    """Return how a replica of `spec` is laid out.

    Args:
        spec: what is wanted.
        shape: of its model.
        gpus_per_node: most GPUs that any node can have; `None` if larger nodes may come.
        kinds: optional kinds that the cluster serves; `None` if not known.

    Raises:
        Terminal: no cluster could run it.
        Waiting: this one cannot, as it is.
    """
    parallelism, count = spec.resources.parallelism, spec.resources.gpu.count
    if count == 0:
        return Parallel(gpus_per_pod=0, stages_per_node=parallelism.pipeline)
    _check_ranks(parallelism, count)
    _check_nodes(spec, gpus_per_node)
    _check_shape(parallelism, shape)
    if parallelism.nodes > 1 and kinds is not None and GROUP_KIND not in kinds:
        raise Waiting(
            Reason.NO_LEADER_WORKER_SET,
            f"{_FIELD}.nodes is {parallelism.nodes}, and pods on several nodes are held together by LeaderWorkerSet "
            "(leaderworkerset.x-k8s.io/v1), which the cluster does not serve: install it "
            "(https://lws.sigs.k8s.io/docs/installation), or set nodes to 1",
            _LOOK_AGAIN_SECONDS,
        )
    return Parallel(
        gpus_per_pod=count // parallelism.nodes,
        stages_per_node=parallelism.pipeline // parallelism.nodes,
        notes=tuple(_notes(parallelism)),
    )


def bubble(stages: int, batches: int) -> float:
    """Return the share of time that a pipeline stage idles with that many batches in flight: (p-1)/(m+p-1).

    Source: Huang et al., GPipe (arXiv:1811.06965), section 2.3: p stages, m micro-batches.
    """
    return (stages - 1) / (batches + stages - 1)


def _check_ranks(parallelism: Parallelism, count: int) -> None:
    tensor = parallelism.tensor
    if tensor not in _powers(_MOST_TENSOR):
        raise _refusal("tensor", tensor, "a power of two", _nearest(tensor, _powers(_MOST_TENSOR)))
    ranks = tensor * parallelism.pipeline * parallelism.data
    if ranks != count:
        raise Terminal(
            Reason.INVALID_PARALLELISM,
            f"spec.resources.gpu.count is {count}, and tensor x pipeline x data is {tensor} x {parallelism.pipeline} x "
            f"{parallelism.data} = {ranks}: each rank has one GPU, so set gpu.count to {ranks} or change the others",
        )


def _check_nodes(spec: Spec, gpus_per_node: int | None) -> None:
    parallelism, count = spec.resources.parallelism, spec.resources.gpu.count
    nodes, pipeline = parallelism.nodes, parallelism.pipeline
    if pipeline % nodes:
        raise _refusal(
            "nodes",
            nodes,
            f"a divisor of pipeline ({pipeline}), because each node holds an equal share of the stages",
            _nearest(nodes, _divisors(pipeline)),
        )
    if nodes > 1 and spec.engine.type is EngineType.SIMULATOR:
        raise _refusal("nodes", nodes, "1 with engine type Simulator, which simulates one node", [1])
    per_node = count // nodes
    if gpus_per_node is not None and per_node > gpus_per_node:
        fitting = [n for n in _divisors(pipeline) if count // n <= gpus_per_node]
        advice = (
            f"set nodes to {fitting[0]}"
            if fitting
            else f"use at most {gpus_per_node} GPUs, or more pipeline stages and nodes"
        )
        raise Terminal(
            Reason.INVALID_PARALLELISM,
            f"{_FIELD}: {per_node} GPUs are wanted on each of {nodes} nodes, and a node has {gpus_per_node}: {advice}",
        )


def _check_shape(parallelism: Parallelism, shape: ModelShape) -> None:
    if shape.heads is not None and shape.heads % parallelism.tensor:
        usable = [size for size in _powers(_MOST_TENSOR) if shape.heads % size == 0]
        expected = f"a power of two that divides the model's {shape.heads} attention heads"
        raise _refusal("tensor", parallelism.tensor, expected, _nearest(parallelism.tensor, usable))
    if shape.layers is not None and parallelism.pipeline > shape.layers:
        expected = f"at most the model's {shape.layers} layers, because each stage holds at least one"
        raise _refusal("pipeline", parallelism.pipeline, expected, [shape.layers])
    if parallelism.expert and shape.experts == 0:
        raise Terminal(
            Reason.INVALID_PARALLELISM,
            f"{_FIELD}.expert is true, and the model is dense: it has no experts to spread; set it to false",
        )


def _notes(parallelism: Parallelism) -> Iterable[str]:
    stages = parallelism.pipeline
    if stages > 1:
        # vLLM's executors keep as many batches in flight as there are stages (max_concurrent_batches).
        yield (
            f"{stages} pipeline stages: each idles {bubble(stages, 1):.0%} of the time with one request, "
            f"{bubble(stages, stages):.0%} with {stages} batches in flight; stages add memory, not speed"
        )
    if parallelism.data > 1:
        spread = "the layers that are no experts" if parallelism.expert else "the model"
        yield f"{parallelism.data} data-parallel ranks: each holds a copy of {spread} and a KV cache of its own"


def _refusal(field: str, value: int, expected: str, nearest: list[int]) -> Terminal:
    advice = " or ".join(str(number) for number in nearest)
    return Terminal(Reason.INVALID_PARALLELISM, f"{_FIELD}.{field} is {value}, expected {expected}: set it to {advice}")


def _powers(most: int) -> list[int]:
    return [1 << power for power in range(most.bit_length())]


def _divisors(number: int) -> list[int]:
    return [divisor for divisor in range(1, number + 1) if number % divisor == 0]


def _nearest(value: int, usable: list[int]) -> list[int]:
    """Return the usable values next to `value`, below and above."""
    below = [number for number in usable if number <= value][-1:]
    return below + [number for number in usable if number > value][:1]

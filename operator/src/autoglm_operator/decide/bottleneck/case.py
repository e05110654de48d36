"""What a bottleneck is told from: the figures of a window, what the spec says, and the limits between them."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, Self

from autoglm_operator.api.types import seconds
from autoglm_operator.api.v1alpha1 import KvCacheDType, Spec
from autoglm_operator.decide.scaling.needs import LEAST_QUEUE, Tail

#: Over which the figures are averaged.
WINDOW_SECONDS: Final = 60.0
#: Data sheets put the tokens at which 16-bit weights keep memory and tensor cores equally busy at 153 (A100), 206
#: (H200), 281 (B200), 295 (H100) and 419 (L40S). Kernels reach more of the bandwidth than of the operations, which
#: lowers it by about half. A third of the least and a little more than the most leave no GPU in doubt.
BANDWIDTH_TOKENS: Final = 64.0
COMPUTE_TOKENS: Final = 512.0
#: What kernels reach at best: prefill keeps the tensor pipes busy for at most some 60 % of cycles, and decoding reads
#: memory at some 85 % of the data sheet's rate.
TENSOR_CEILING: Final = 0.6
DRAM_CEILING: Final = 0.85
#: Sum over the two units of the share of their ceiling: from here on the GPU's time is spent, on one or the other.
GPU_SPENT: Final = 0.6
KV_FULL: Final = 0.9
#: KV cache in use up to which a batch may fill it; more of it is where running requests lose their blocks.
KV_ROOM: Final = 0.8
BATCH_FULL: Final = 0.95
#: Of the ITL objective, up to which a larger batch or step may slow every token down.
ITL_ROOM: Final = 0.8
#: Of a latency objective, from which there is pressure: as in the scaling law.
LATENCY_PRESSURE: Final = 0.9
_LEAST_OBSERVATIONS: Final = 20
#: Times that a running request loses its KV blocks, for each request that starts.
PREEMPTED: Final = 0.02
#: Of a request's time, spent neither in the queue nor in the batch.
ELSEWHERE: Final = 0.3
#: Of one core: a Python process cannot use more of it for one event loop.
CPU_FULL: Final = 0.9
#: The cause that is named leaves only when its limits are missed by this much.
EASE: Final = 0.9


class Cause(StrEnum):
    """What limits the replicas."""

    COMPUTE = "compute"
    MEMORY_BANDWIDTH = "memory-bandwidth"
    KV_CACHE = "kv-cache"
    QUEUE = "queue"
    NETWORK = "network"
    CLIENT = "client"
    IDLE = "idle"
    UNKNOWN = "unknown"


#: Causes that ask for nothing: the replicas wait for requests.
WELL: Final = frozenset({Cause.CLIENT, Cause.IDLE})


@dataclass(frozen=True, slots=True)
class Figures:
    """What the ready replicas did over the window, each on average. A share is 0 to 1; `None` is not known.

    Attributes:
        running: requests in the batch of one replica.
        waiting: requests in the queue of one replica.
        kv_cache: share of the KV cache in use.
        requests: first tokens per second of one replica.
        preemptions: per second of one replica.
        step_tokens: that one step of the engine computes.
        plateau: the batch did not change while requests waited all the time: it is as large as it gets.
        ttft: P99 of the time to first token.
        itl: P99 of the inter-token latency.
        elsewhere: share of the requests' time spent neither in the queue nor in the batch.
        cpu: share of one core that the HTTP server's process uses.
        sm: share of SM cycles with work.
        tensor: share of cycles in which a tensor pipe was busy.
        dram: share of the peak memory bandwidth.
        gpu_memory: share of the GPU memory in use.
    """

    running: float
    waiting: float
    kv_cache: float
    requests: float
    preemptions: float = 0.0
    step_tokens: float | None = None
    plateau: bool = False
    ttft: Tail | None = None
    itl: Tail | None = None
    elsewhere: float | None = None
    cpu: float | None = None
    sm: float | None = None
    tensor: float | None = None
    dram: float | None = None
    gpu_memory: float | None = None


@dataclass(frozen=True, slots=True)
class Setup:
    """What the spec says that decides which knob is left to turn.

    Attributes:
        replicas: ordered.
        max_replicas: `autoscaling.maxReplicas`; `None` if autoscaling is off.
        batch: `engine.batching.maxNumSeqs`, if given.
        budget: `engine.batching.maxBatchedTokens`, if given.
        ttft: objective in seconds; `None` if autoscaling is off.
        itl: as `ttft`.
        quantized: whether the weights are smaller than the checkpoint's.
        small_cache: whether the KV cache is smaller than 16 bits a value.
        prefix_caching: whether it is on.
    """

    replicas: int = 1
    max_replicas: int | None = None
    batch: int | None = None
    budget: int | None = None
    ttft: float | None = None
    itl: float | None = None
    quantized: bool = False
    small_cache: bool = False
    prefix_caching: bool = True

    @classmethod
    def of(cls, spec: Spec) -> Self:
        """Return the setup in a spec."""
        scaling, engine = spec.autoscaling, spec.engine
        return cls(
            replicas=spec.replicas,
            max_replicas=scaling.max_replicas if scaling else None,
            batch=engine.batching.max_num_seqs,
            budget=engine.batching.max_batched_tokens,
            ttft=seconds(scaling.objective.ttft_p99) if scaling else None,
            itl=seconds(scaling.objective.itl_p99) if scaling else None,
            quantized=engine.quantization is not None,
            small_cache=engine.kv_cache.dtype not in {KvCacheDType.AUTO, KvCacheDType.BFLOAT16},
            prefix_caching=engine.kv_cache.prefix_caching,
        )

    @property
    def more_replicas(self) -> str:
        """Return the field that gives more replicas."""
        if self.max_replicas is None:
            return f"spec.replicas: more than {self.replicas}"
        if self.replicas < self.max_replicas:
            return f"spec.autoscaling.maxReplicas: more than {self.max_replicas}, if it stays so when all of them run"
        return f"spec.autoscaling.maxReplicas: more than {self.max_replicas}"


@dataclass(frozen=True, slots=True)
class Case:
    """Figures to judge, with limits that are eased for the cause that is named already.

    Attributes:
        ease: factor on each limit, 1 or less.
    """

    figures: Figures
    setup: Setup
    ease: float = 1.0

    def least(self, value: float | None, limit: float) -> bool:
        """Whether `value` is known and at least `limit`."""
        return value is not None and value >= limit * self.ease

    def most(self, value: float | None, limit: float) -> bool:
        """Whether `value` is known and at most `limit`."""
        return value is not None and value <= limit / self.ease

    @property
    def hard(self) -> "Case":
        """Return the case for conditions that must not hold: what eases a cause makes those harder to meet."""
        return replace(self, ease=1 / self.ease)

    @property
    def queue(self) -> bool:
        """Whether requests wait, and not only because arrivals jitter."""
        return self.least(self.figures.waiting, LEAST_QUEUE)

    def over(self, tail: Tail | None, objective: float | None) -> bool:
        """Whether a latency is near its objective or over it."""
        if tail is None or objective is None or tail.observations < _LEAST_OBSERVATIONS:
            return False
        return self.least(tail.p99, LATENCY_PRESSURE * objective)

    @property
    def late(self) -> bool:
        """Whether a latency is near its objective or over it."""
        return self.over(self.figures.ttft, self.setup.ttft) or self.over(self.figures.itl, self.setup.itl)

    @property
    def pressure(self) -> bool:
        """Whether anything is to be had from a change."""
        return self.queue or self.late

    @property
    def places(self) -> float | None:
        """Return the places in the batch: as the spec says, or as many as it filled when more waited."""
        if self.setup.batch:
            return float(self.setup.batch)
        # Prompts that come faster than they are computed keep the batch at one size too.
        return self.figures.running if self.figures.plateau and not self.hard.computing else None

    @property
    def batch_full(self) -> bool:
        """Whether no place in the batch is free."""
        return self.places is not None and self.least(self.figures.running, BATCH_FULL * self.places)

    @property
    def itl_room(self) -> bool:
        """Whether tokens may come slower."""
        tail, objective = self.figures.itl, self.setup.itl
        return objective is None or tail is None or self.most(tail.p99, ITL_ROOM * objective)

    @property
    def computing(self) -> bool:
        """Whether the GPU's time is spent, and more of it on operations than on memory."""
        if self.units is None:
            return self.least(self.figures.step_tokens, COMPUTE_TOKENS)
        tensor, dram = self.units
        return self.least(tensor + dram, GPU_SPENT) and self.least(tensor, dram)

    @property
    def reading(self) -> bool:
        """Whether the GPU's time is spent, and more of it on memory than on operations."""
        if self.units is None:
            return self.most(self.figures.step_tokens, BANDWIDTH_TOKENS)
        tensor, dram = self.units
        return self.least(tensor + dram, GPU_SPENT) and self.least(dram, tensor)

    @property
    def units(self) -> tuple[float, float] | None:
        """Return tensor and memory activity, each as a share of its ceiling; `None` without the GPU's counters."""
        tensor, dram = self.figures.tensor, self.figures.dram
        return None if tensor is None or dram is None else (tensor / TENSOR_CEILING, dram / DRAM_CEILING)

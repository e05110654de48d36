"""What a replay is told: the fleet, its start times and the run."""

import math
import random
from dataclasses import dataclass


@dataclass(frozen=True)
class ColdStart:
    """How long a replica takes from its order to its first request.

    Attributes:
        stages: Median seconds of each stage, such as node, image, weights, warm-up; they add up.
        sigma: Spread of each stage: the standard deviation of its logarithm.
    """

    stages: tuple[float, ...]
    sigma: float = 0.1

    @property
    def median(self) -> float:
        """Seconds, about the median of the sum."""
        return sum(self.stages)

    def draw(self, rng: random.Random) -> float:
        """Return the seconds of one start."""
        return sum(stage * math.exp(self.sigma * rng.gauss(0.0, 1.0)) for stage in self.stages)


@dataclass(frozen=True)
class Fleet:
    """One model on one GPU type, its objectives and its bounds.

    The defaults are the reference plant: an 8B model on one H100-class GPU.

    Attributes:
        cold_start: Times from order to ready.
        ttft: Objective for the time to first token, in seconds.
        itl: Objective for the inter-token latency, in seconds.
        decode_base: Seconds of a decoding iteration, whatever its batch.
        decode_per_sequence: Seconds added by each sequence of the batch.
        prefill_per_token: Seconds for each prompt token.
        max_batch: Requests in the batch of a replica at most.
        kv_tokens: Tokens that the KV cache of a replica holds.
        gpus_per_replica: GPUs billed for each replica.
        drain_deadline: Seconds after which a removed replica stops whatever it runs.
        min_replicas: Fewest replicas.
        max_replicas: Most replicas.
    """

    cold_start: ColdStart
    ttft: float = 2.0
    itl: float = 0.06
    decode_base: float = 0.015
    decode_per_sequence: float = 0.00015
    prefill_per_token: float = 0.000135
    max_batch: float = 128.0
    kv_tokens: float = 144_000.0
    gpus_per_replica: int = 1
    drain_deadline: float = 300.0
    min_replicas: int = 1
    max_replicas: int = 1000

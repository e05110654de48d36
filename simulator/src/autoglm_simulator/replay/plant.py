"""What a replay runs on: replicas that start, serve, drain and cost, whatever the fidelity of the model.

A policy sees an `Observation` for each of its periods, as old as its metrics are, and answers with the replicas it
wants. Everything here is plain arithmetic on floats: the bench compiles these modules as they stand.
"""

from dataclasses import dataclass
from typing import Protocol


@dataclass
class Observation:
    """What can be measured of a fleet over one period. Rates are per second; latencies are in seconds.

    Attributes:
        now: Seconds since the start of the trace, at the end of the period.
        seconds: Length of the period.
        arrivals: Requests per second.
        input_tokens: Prompt tokens per request, mean.
        output_tokens: Output tokens per request, mean.
        running: Requests in the batches at the end of the period, all ready replicas.
        waiting: Requests in the queues at the end of the period.
        kv: Share of the KV cache in use at the end of the period, mean over the ready replicas.
        tokens_in_use: Tokens in the KV caches at the end of the period.
        batch: Requests in the batch of one replica, mean over the period.
        prefill_rate: Prompt tokens per second that one replica computed, mean over the period.
        ttft: Mean over the requests of the period.
        itl: Mean over the period, weighted by requests.
        slo_p90: 90th percentile of latency over objective, the larger of the two, as a mean over the period.
        requests: Requests whose latency was judged in the period.
        late: Of these, the ones over an objective.
        ready: Replicas that serve.
        starting: Replicas ordered and not yet ready.
        ordered: Replicas asked for.
    """

    now: float
    seconds: float
    arrivals: float
    input_tokens: float
    output_tokens: float
    running: float
    waiting: float
    kv: float
    tokens_in_use: float
    batch: float
    prefill_rate: float
    ttft: float
    itl: float
    slo_p90: float
    requests: float
    late: float
    ready: int
    starting: int
    ordered: int


@dataclass
class Totals:
    """What a plant has counted since its counting began.

    Attributes:
        requests: Requests that arrived.
        late: Requests over an objective.
        lost: Requests that a replica dropped when it was removed.
        gpu_seconds: GPU time billed: starting, serving and draining.
        ttft: Requests by TTFT in steps of `TTFT_STEP` seconds; the last step holds the rest.
        itl: Requests by ITL in steps of `ITL_STEP` seconds; the last step holds the rest.
    """

    requests: float
    late: float
    lost: float
    gpu_seconds: float
    ttft: list[float]
    itl: list[float]


TTFT_STEP = 0.02
TTFT_STEPS = 6000
ITL_STEP = 0.001
ITL_STEPS = 4000


class Plant(Protocol):
    """A fleet under its own traffic."""

    def advance(self, until: int) -> Observation:
        """Run to `until` seconds and return what was measured since the last call."""

    def scale(self, replicas: int) -> None:
        """Ask for `replicas` from now on."""

    def count(self) -> None:
        """Forget the totals: what comes from now on counts."""

    def totals(self) -> Totals:
        """Return what was counted."""


class Policy(Protocol):
    """A way to choose the number of replicas.

    Attributes:
        period: Seconds between two decisions.
        lag: Seconds by which what it sees is late.
    """

    period: int
    lag: int

    def decide(self, seen: Observation) -> int:
        """Return the replicas wanted."""

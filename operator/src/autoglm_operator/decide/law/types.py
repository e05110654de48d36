"""What the law is told and what it answers."""

from dataclasses import dataclass, field
from typing import Final


class Cause:
    """What decides, as the reason of a decision."""

    LOAD: Final = "Load"
    LEAD: Final = "ColdStartLead"
    PERIOD: Final = "Period"
    BACKLOG: Final = "QueueBacklog"
    HOLD: Final = "Hold"
    DOUBT: Final = "Uncertain"


@dataclass
class Sample:
    """What was measured of one deployment over one tick. Rates are per second; latencies are in seconds.

    Attributes:
        now: Seconds of the wall clock: what was learned of periods must fit after a restart.
        seconds: Length of the tick.
        arrivals: Requests that arrived per second, rejected ones included.
        input_tokens: Prompt tokens per request that had to be computed; 0 if none arrived.
        output_tokens: Output tokens per request; 0 if none arrived.
        waiting: Requests in the queues.
        batch: Requests in the batch of one replica, mean over the tick.
        prefill_rate: Prompt tokens per second that one replica computed.
        itl: Inter-token latency, mean over the tick; 0 if nothing was decoded.
        requests: Requests judged against the objective in the tick.
        late: Of these, the ones that missed it.
        ready: Replicas that serve.
        ordered: Replicas asked for.
        doubt: What is not known well enough to remove replicas; empty if nothing.
    """

    now: float
    seconds: float
    arrivals: float
    input_tokens: float
    output_tokens: float
    waiting: float
    batch: float
    prefill_rate: float
    itl: float
    requests: float
    late: float
    ready: int
    ordered: int
    doubt: str = ""


@dataclass(frozen=True)
class Target:
    """What the law serves.

    Attributes:
        ttft: Objective for the time to first token, in seconds.
        itl: Objective for the inter-token latency, in seconds.
        lead: Seconds from an order to a replica that serves, as learned or assumed.
        min_replicas: Fewest replicas.
        max_replicas: Most replicas.
        reactive: Whether to go without any forecast.
    """

    ttft: float
    itl: float
    lead: float
    min_replicas: int
    max_replicas: int
    reactive: bool = False


@dataclass
class Candidate:
    """What one cause asks for.

    Attributes:
        cause: One of `Cause`.
        replicas: As a fraction: 6.4 replicas are 6 that are full and one with little to do.
    """

    cause: str
    replicas: float


@dataclass
class Decision:
    """The answer.

    Attributes:
        replicas: Wanted, within the bounds.
        reason: One of `Cause`: the one that decided.
        sentence: The same in words and numbers.
        because: Of the sentence, what it was made for.
        demand: Requests per second now, as believed.
        capacity: Requests per second of one replica in a burst, at the objective.
        expected: Requests per second when a replica ordered now would serve.
        upper: The same with its reserve.
        candidates: What each cause asked for, the largest first.
    """

    replicas: int
    reason: str
    sentence: str
    because: str = ""
    demand: float = 0.0
    capacity: float = 0.0
    expected: float = 0.0
    upper: float = 0.0
    candidates: list[Candidate] = field(default_factory=list)

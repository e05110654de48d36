"""Drives the simulated engine as a load generator does a real one: pure, on its virtual clock."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count, islice

from autoglm_simulator.limits import Limits
from autoglm_simulator.model import Engine
from autoglm_simulator.profiles import Speed
from autoglm_simulator.requests import Progress, Request


@dataclass(frozen=True, slots=True)
class Call:
    """What a client asks for: tokens of the prompt and of the answer, and when it is sent, in seconds."""

    prompt_tokens: int
    output_tokens: int
    sent: float = 0.0


@dataclass(slots=True)
class Measured:
    """What the clients saw, in seconds.

    Attributes:
        ttft: time to first token of each request.
        gaps: inter-token latencies, as (seconds, how many times).
        end: when the last request ended.
        ended: requests that ended.
    """

    ttft: list[float] = field(default_factory=list)
    gaps: list[tuple[float, int]] = field(default_factory=list)
    end: float = 0.0
    ended: int = 0

    def ttft_at(self, share: float) -> float:
        """Return the quantile of the time to first token."""
        return _weighted(((value, 1) for value in self.ttft), share)

    def itl_at(self, share: float) -> float:
        """Return the quantile of the inter-token latency, over all tokens."""
        return _weighted(self.gaps, share)


def _weighted(values: Iterable[tuple[float, int]], share: float) -> float:
    ordered = sorted(values)
    left = share * sum(times for _, times in ordered)
    for value, times in ordered:
        left -= times
        if left <= 0:
            return value
    return ordered[-1][0]


@dataclass(frozen=True, slots=True)
class Server:
    """An engine behind its API server.

    Attributes:
        outside: seconds of a request that the engine does not see: network, parsing, tokens to text.
    """

    limits: Limits
    speed: Speed
    outside: float = 0.0


def open_loop(server: Server, calls: Iterable[Call]) -> Measured:
    """Send each call at its time."""
    return _drive(server, sorted(calls, key=lambda call: call.sent), users=None)


def closed_loop(server: Server, calls: Iterable[Call], users: int) -> Measured:
    """Let `users` send the calls in their order, each the next one when its last one has ended."""
    return _drive(server, list(calls), users=users)


def _drive(server: Server, calls: list[Call], users: int | None) -> Measured:
    engine, measured, order = Engine(server.limits, server.speed), Measured(), count()
    coming: list[tuple[float, int, Call, float]] = []
    queue = iter(calls)
    for call in islice(queue, users):
        heappush(coming, (call.sent + server.outside, next(order), call, call.sent))
    sent: dict[Request, float] = {}
    while True:
        due = engine.next_time
        if coming and (due is None or coming[0][0] <= due):
            arrival, _, call, at = heappop(coming)
            _take(engine.step(arrival), sent, measured)
            request = Request(call.prompt_tokens, call.output_tokens, arrival)
            sent[request] = at
            engine.add(request)
            continue
        if due is None:
            return measured
        for ended in _take(engine.step(due), sent, measured):
            following = next(queue, None) if users is not None else None
            if following is not None:
                heappush(coming, (ended + server.outside, next(order), following, ended))


def _take(steps: list[Progress], sent: dict[Request, float], measured: Measured) -> list[float]:
    """Note what the steps did; return when requests ended in them."""
    ends = []
    for step in steps:
        if step.decoded:
            measured.gaps.append((step.inter_token_seconds, step.decoded * step.iterations))
        measured.gaps.extend((seconds, 1) for _, seconds in step.resumed)
        measured.ttft.extend(step.end - sent[request] for request in step.first_tokens)
        ends.extend(step.end for _ in step.finished)
    measured.ended += len(ends)
    measured.end = max([measured.end, *ends])
    return ends

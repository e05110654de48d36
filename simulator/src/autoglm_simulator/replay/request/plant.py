"""A fleet of engines under single requests: router, cold starts, drain and bill.

Each ready replica is an `Engine`: chunked prefill in the same iterations as decoding, KV blocks with preemption, a
prefix cache. An iteration takes `decode_base + decode_per_sequence x decoding + prefill_per_token x prompt tokens`.
Runs of equal iterations are taken in one stride, so that an hour takes seconds.

The router gives a request to the replica with the fewest requests in flight. It looks at the replicas every
`view_seconds`; in between it knows what it sent and not what has ended. While no replica is ready, requests wait at
the router. Replicas start, serve and go at whole seconds, as policies decide.
"""

import math
import random
from collections import deque
from collections.abc import Sequence
from operator import attrgetter
from typing import Final

from autoglm_simulator.limits import Limits, blocks_for
from autoglm_simulator.model import Engine
from autoglm_simulator.profiles import BLOCK_TOKENS, Speed
from autoglm_simulator.replay.plant import Observation, Totals
from autoglm_simulator.replay.request.calls import Call
from autoglm_simulator.replay.request.meter import Meter, Period
from autoglm_simulator.replay.request.serving import Serving
from autoglm_simulator.replay.settings import Fleet
from autoglm_simulator.requests import Request


class Replica:
    """One replica that serves or drains.

    Attributes:
        engine: What it runs.
        believed: Requests in flight, as the router believes.
        deadline: When it stops whatever it runs; infinite while it serves.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.believed = 0
        self.deadline = math.inf

    @property
    def in_flight(self) -> int:
        """Requests that it runs or that wait in its queue."""
        return self.engine.running + self.engine.waiting


_BELIEVED: Final = attrgetter("believed")
_IN_FLIGHT: Final = attrgetter("in_flight")


class RequestPlant:
    """A `Plant` in which each request is followed to its end.

    Args:
        fleet: Speed, limits, objectives and bounds.
        serving: Router, prefix cache and faults.
        calls: The requests, in order of time.
        initial: Replicas that are ready at the start.
        seed: Of start times, failed starts and the router's choice among equals.

    Attributes:
        rejected: Requests that need more KV cache than a replica has; they count as late.
        preemptions: Times that a request lost its KV blocks and had to compute them again.
    """

    def __init__(self, fleet: Fleet, serving: Serving, calls: Sequence[Call], initial: int, seed: int) -> None:
        self._fleet = fleet
        self._serving = serving
        self._calls = calls
        self._next = 0
        self._limits = Limits(
            int(fleet.max_batch), serving.step_tokens, int(fleet.kv_tokens) // BLOCK_TOKENS, serving.prefix_caching
        )
        # A fluid's iteration costs the same with and without decoding, so both fidelities have the same TTFT alone.
        self._speed = Speed(
            fleet.decode_base, fleet.decode_per_sequence, 0.0, fleet.decode_base, fleet.prefill_per_token
        )
        self._random = random.Random(seed)
        self._now = 0
        self._ordered = initial
        self._ready = [self._replica() for _ in range(initial)]
        self._starting: list[float] = []
        self._draining: list[Replica] = []
        self._held: deque[Call] = deque()
        self._meter = Meter(fleet)
        self._output_tokens = 0.0
        self._gpu_seconds = 0.0
        self.rejected = 0
        self.preemptions = 0

    @property
    def in_flight(self) -> int:
        """Requests that have arrived and not ended."""
        return len(self._held) + len(self._meter.asked)

    @property
    def replicas(self) -> list[Replica]:
        """The replicas that serve."""
        return self._ready

    @property
    def draining(self) -> int:
        """Replicas that finish what they run and then go."""
        return len(self._draining)

    def count(self) -> None:
        """Forget the totals: what comes from now on counts."""
        self._meter.count(float(self._now))
        self._gpu_seconds = 0.0

    def totals(self) -> Totals:
        """Return what was counted."""
        engines = [replica.engine for replica in (*self._ready, *self._draining)]
        return self._meter.totals(self._now, [call.time for call in self._held], engines, self._gpu_seconds)

    # -- replicas ----------------------------------------------------------------------------------------------------

    def scale(self, replicas: int) -> None:
        """Ask for `replicas` from now on: the newest that start are given up first, then the least busy drain."""
        wanted = max(self._fleet.min_replicas, min(self._fleet.max_replicas, replicas))
        change = wanted - self._ordered
        self._ordered = wanted
        if change > 0:
            self._add(change)
        elif change < 0:
            self._remove(-change)

    def _add(self, count: int) -> None:
        while count and self._draining and self._serving.undrain:
            replica = self._draining.pop()
            replica.deadline = math.inf
            self._ready.append(replica)
            count -= 1
        self._starting.extend(self._now + self._fleet.cold_start.draw(self._random) for _ in range(count))

    def _remove(self, count: int) -> None:
        given_up = min(count, len(self._starting))
        del self._starting[len(self._starting) - given_up :]
        for replica in sorted(self._ready, key=_IN_FLIGHT)[: count - given_up]:
            self._ready.remove(replica)
            replica.deadline = self._now + self._fleet.drain_deadline
            self._draining.append(replica)

    def _replica(self) -> Replica:
        return Replica(Engine(self._limits, self._speed))

    def _start(self, second: int) -> None:
        """Let the replicas serve that are up, and begin again what failed."""
        due = [when for when in self._starting if when <= second]
        if not due:
            return
        self._starting = [when for when in self._starting if when > second]
        for when in due:
            if self._random.random() < self._serving.failed_starts:
                self._starting.append(when + self._fleet.cold_start.draw(self._random))
            else:
                self._ready.append(self._replica())

    def _end_drains(self, now: int) -> None:
        kept: list[Replica] = []
        for replica in self._draining:
            if now >= replica.deadline:
                for request in list(replica.engine.requests()):
                    self._meter.lose(request)
            elif replica.in_flight:
                kept.append(replica)
        self._draining = kept

    # -- time --------------------------------------------------------------------------------------------------------

    def advance(self, until: int) -> Observation:
        """Run to `until` seconds and return what was measured since the last call."""
        meter = self._meter
        period = meter.period = Period()
        start = self._now
        for second in range(start, until):
            self._now = second
            self._start(second)
            if second % self._serving.view_seconds == 0:
                self._look()
            self._route(second)
            self._gpu_seconds += self._fleet.gpus_per_replica * (
                len(self._ready) + len(self._starting) + len(self._draining)
            )
            before = period.prefilled
            for replica in self._ready:
                self._run(replica.engine, second + 1)
            if self._ready:
                period.batch_sum += sum(replica.engine.running for replica in self._ready) / len(self._ready)
                period.prefill_sum += (period.prefilled - before) / len(self._ready)
            for replica in self._draining:
                self._run(replica.engine, second + 1)
            if self._draining:
                self._end_drains(second + 1)
        self._now = until
        return self._observe(period, until - start)

    def _look(self) -> None:
        # Among equals the first is taken: in a new order each time, or the first replicas would always get more.
        self._random.shuffle(self._ready)
        for replica in self._ready:
            replica.believed = replica.in_flight

    def _route(self, second: int) -> None:
        while self._held and self._ready:
            self._send(self._held.popleft(), float(second))
        while self._next < len(self._calls) and self._calls[self._next].time < second + 1:
            call = self._calls[self._next]
            self._next += 1
            self._meter.arrive(call.time)
            if blocks_for(call.input_tokens + call.output_tokens - 1) > self._limits.kv_blocks:
                self.rejected += 1
                self._meter.reject(call.time)
            elif self._ready:
                self._send(call, call.time)
            else:
                self._held.append(call)

    def _send(self, call: Call, now: float) -> None:
        replica = min(self._ready, key=_BELIEVED)
        replica.believed += 1
        prefix = call.prefix() if self._serving.prefix_caching else ()
        request = Request(call.input_tokens, call.output_tokens, now, prefix=prefix)
        self._meter.asked[request] = call.time
        replica.engine.add(request)

    def _run(self, engine: Engine, until: float) -> None:
        before = engine.preemptions
        for done in engine.step(until):
            self._meter.progress(done)
        self.preemptions += engine.preemptions - before

    def _observe(self, period: Period, seconds: int) -> Observation:
        ready = self._ready
        caches = [replica.engine.kv for replica in ready]
        if period.finished:
            # A period in which nothing ends says nothing of lengths; what was known stays.
            self._output_tokens = period.outputs / period.finished
        length = float(max(1, seconds))
        return Observation(
            now=float(self._now),
            seconds=length,
            arrivals=period.arrived / length,
            input_tokens=period.computed_inputs / max(1, period.scheduled),
            output_tokens=self._output_tokens,
            running=float(sum(replica.engine.running for replica in ready)),
            waiting=float(sum(replica.engine.waiting for replica in ready) + len(self._held)),
            kv=sum(cache.usage for cache in caches) / max(1, len(caches)),
            tokens_in_use=float(sum(cache.used for cache in caches) * BLOCK_TOKENS),
            batch=period.batch_sum / length,
            prefill_rate=period.prefill_sum / length,
            ttft=period.ttft_sum / max(1, period.ttfts),
            itl=period.gap_sum / max(1, period.gaps),
            slo_p90=self._meter.slo_p90(float(self._now)),
            requests=float(period.judged),
            late=float(period.late),
            ready=len(ready),
            starting=len(self._starting),
            ordered=self._ordered,
        )

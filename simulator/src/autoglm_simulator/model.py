"""The model of an LLM engine: continuous batching with chunked prefill, KV blocks, preemption and a prefix cache.

It follows vLLM's scheduler. Each iteration first gives every decoding sequence one token, then spends what is left of
the token budget on prefill, in order of arrival. A sequence that finds no free block preempts the sequence admitted
last, which loses its blocks and computes them again later (preemption by recompute). A waiting request is admitted when
the whole prompt fits (vLLM's `--scheduler-reserve-full-isl`).

Pure: no I/O, no randomness and no clock of its own; time is an argument, in seconds. An iteration that is under way
holds the blocks it needs, and its tokens exist when it ends. Where nothing but decoding can happen, all iterations up
to the caller's horizon are taken in one stride, so that whole traces can be replayed.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from autoglm_simulator.decoding import DecodeSet
from autoglm_simulator.kvcache import KvCache
from autoglm_simulator.limits import Limits, blocks_for
from autoglm_simulator.profiles import BLOCK_TOKENS, Speed
from autoglm_simulator.requests import Phase, Progress, Request


@dataclass(slots=True)
class _Flight:
    """The run of iterations under way."""

    start: float
    end: float = 0.0
    iterations: int = 1
    decoded: int = 0
    prefills: list[Request] = field(default_factory=list)
    prefill_tokens: int = 0
    prefill_attended: float = 0.0
    scheduled: list[Request] = field(default_factory=list)


class Engine:
    """One engine on a virtual clock.

    Attributes:
        kv: Its KV cache.
        slowdown: Factor on the duration of the iterations that start from now on.
        preemptions: Times that a request lost its blocks.
    """

    def __init__(self, limits: Limits, speed: Speed) -> None:
        self.limits = limits
        self.kv = KvCache(limits.kv_blocks)
        self.slowdown = 1.0
        self.preemptions = 0
        self._preempted = False  # in the iteration being launched
        self._speed = speed
        self._clock = 0.0  # end of the latest iteration; the next one starts no earlier
        self._waiting: deque[Request] = deque()
        self._running: dict[Request, None] = {}  # in order of admission, which is the order of arrival
        self._prefilling: Request | None = None  # at most one: a prompt is cut only where the budget ends
        self._flight: _Flight | None = None
        self._stuck = False  # something waits and nothing can run
        self._cancelled: dict[Request, None] = {}
        self._decoding = DecodeSet()

    @property
    def running(self) -> int:
        """Requests in the batch."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._waiting)

    @property
    def next_time(self) -> float | None:
        """When `step` has something to do next; None while idle, or until blocks that are withheld come back."""
        if self._flight:
            return self._flight.end
        return max(self._clock, self._waiting[0].arrival) if self._waiting and not self._stuck else None

    def requests(self) -> Iterator[Request]:
        """Iterate over the requests that have not ended, oldest first."""
        yield from self._running
        yield from self._waiting

    def generated(self, request: Request) -> int:
        """Return how many tokens of `request` are done."""
        return self._decoding.generated(request) if request.phase is Phase.DECODE else request.generated

    def computed(self, request: Request) -> int:
        """Return how many tokens of `request` have their KV blocks, those under way included."""
        return self._decoding.computed(request) if request.phase is Phase.DECODE else request.computed

    def add(self, request: Request) -> None:
        """Put `request` at the end of the queue.

        Raises:
            ValueError: It could never run: it is empty or needs more blocks than there are.
        """
        if request.prompt_tokens < 1 or request.output_tokens < 1:
            raise ValueError(
                f"a request has {request.prompt_tokens} prompt and {request.output_tokens} output tokens, "
                "expected at least 1 of each."
            )
        needed = blocks_for(request.prompt_tokens + request.output_tokens - 1)
        if needed > self.kv.capacity:
            raise ValueError(
                f"a request of {request.prompt_tokens} prompt and {request.output_tokens} output tokens needs {needed} "
                f"KV blocks, but there are {self.kv.capacity}: it could never finish."
            )
        self._waiting.append(request)

    def cancel(self, request: Request) -> None:
        """End `request` as aborted: at once from the queue, else when the iteration under way ends."""
        if request.phase is Phase.WAITING:
            self._waiting.remove(request)
            self._abort(request, max(self._clock, request.arrival))
        elif request.phase is not Phase.DONE:
            self._cancelled[request] = None

    def hang(self, now: float, seconds: float) -> None:
        """Make no progress for `seconds`: what is under way ends later, and nothing starts before."""
        if self._flight:
            self._flight.end += seconds
        else:
            self._clock = max(self._clock, now) + seconds

    def step(self, now: float) -> list[Progress]:
        """Run everything that ends at `now` or earlier, start what can start, and report it in order of time."""
        done: list[Progress] = []
        while True:
            if self._flight is None:
                self._flight = self._launch(now)
            if self._flight is None or self._flight.end > now:
                return done
            done.append(self._land(self._flight))

    # -- launching ---------------------------------------------------------------------------------------------------

    def _launch(self, horizon: float) -> _Flight | None:
        start = self._clock
        if not self._running:
            if not self._waiting:
                return None
            start = max(start, self._waiting[0].arrival)
        if start > horizon:
            return None
        flight = _Flight(start)
        self._secure_decodes()
        decoding = self._decoding
        growth = decoding.growth()
        self.kv.take(growth)
        flight.decoded = decoding.size
        self._continue_prefill(flight)
        self._admit(flight)
        if not flight.decoded and not flight.prefills:
            self._clock = horizon  # nothing can run before blocks come back, and that is after now
            self._stuck = True
            return None
        self._stuck = False
        if flight.prefills:
            duration = self._speed.iteration(
                flight.decoded, decoding.context, flight.prefill_tokens, flight.prefill_attended
            )
        else:
            flight.iterations = self._stride(start, horizon, self.kv.available + growth)
            self.kv.take(decoding.growth(flight.iterations) - growth)
            duration = self._speed.decode_run(flight.iterations, flight.decoded, decoding.context)
        flight.end = start + duration * self.slowdown
        decoding.launch(flight.iterations)
        return flight

    def _secure_decodes(self) -> None:
        """Preempt from the youngest on until each decoding sequence finds the block it needs."""
        self._preempted = False
        while self._running and self._decoding.growth() > self.kv.available:
            self._preempt(next(reversed(self._running)))

    def _budget(self, flight: _Flight) -> int:
        return self.limits.max_num_batched_tokens - flight.decoded - flight.prefill_tokens

    def _continue_prefill(self, flight: _Flight) -> None:
        request = self._prefilling
        if request is None:
            return
        chunk = min(request.target - request.computed, self._budget(flight))
        if blocks_for(request.computed + chunk) - blocks_for(request.computed) > self.kv.available:
            self._preempt(request)
        else:
            self._compute(request, chunk, flight)

    def _admit(self, flight: _Flight) -> None:
        if self._preempted and self._running:
            return  # as vLLM does: what was just preempted would only come back
        while self._waiting and self._budget(flight) > 0 and len(self._running) < self.limits.max_num_seqs:
            request = self._waiting[0]
            if request.arrival > flight.start:
                return
            cached = self._cached_prefix(request)
            fresh = blocks_for(request.target) - len(cached)
            if fresh > self.kv.available - self.kv.idle_among(cached):
                return
            self._waiting.popleft()
            self._running[request] = None
            self.kv.acquire(cached)
            request.cached_blocks = cached
            request.computed = len(cached) * BLOCK_TOKENS
            request.phase = Phase.PREFILL
            if request.scheduled_at is None:
                request.scheduled_at = flight.start
                request.cached_tokens = request.computed
                flight.scheduled.append(request)
            self._compute(request, min(request.target - request.computed, self._budget(flight)), flight)

    def _cached_prefix(self, request: Request) -> list[int]:
        if not self.limits.prefix_caching:
            return []
        # One token at least is computed, or there would be nothing to sample from.
        hits = self.kv.hits(request.prefix, (request.target - 1) // BLOCK_TOKENS)
        return list(request.prefix[:hits])

    def _compute(self, request: Request, chunk: int, flight: _Flight) -> None:
        self.kv.take(blocks_for(request.computed + chunk) - blocks_for(request.computed))
        flight.prefill_attended += chunk * (request.computed + chunk / 2)
        request.computed += chunk
        self._prefilling = request if request.computed < request.target else None
        flight.prefills.append(request)
        flight.prefill_tokens += chunk

    def _preempt(self, request: Request) -> None:
        if request.phase is Phase.DECODE:
            request.last_token_at = self._clock
        self._leave(request)
        request.preemptions += 1
        self.preemptions += 1
        self._preempted = True
        request.phase = Phase.WAITING
        self._waiting.appendleft(request)

    def _stride(self, start: float, horizon: float, blocks: int) -> int:
        if self._preempted:
            return 1  # the next iteration may admit again
        if self._waiting and self._waiting[0].arrival > start:
            horizon = min(horizon, self._waiting[0].arrival)
        return self._decoding.stride(self._speed, (horizon - start) / self.slowdown, blocks)

    # -- landing -----------------------------------------------------------------------------------------------------

    def _land(self, flight: _Flight) -> Progress:
        self._flight = None
        now = self._clock = flight.end
        first_tokens: list[Request] = []
        resumed: list[tuple[Request, float]] = []
        finished = [self._finish(request, now) for request in self._decoding.land(flight.iterations)]
        for request in flight.prefills:
            self._publish(request)
            if request is self._prefilling:
                continue
            if request.last_token_at is None:
                request.first_token_at = now
                first_tokens.append(request)
            else:
                resumed.append((request, now - request.last_token_at))
            request.last_token_at = now
            request.generated += 1
            if request.generated == request.output_tokens:
                finished.append(self._finish(request, now))
            else:
                self._decoding.join(request)
        finished += [self._abort(request, now) for request in self._cancelled if request.phase is not Phase.DONE]
        self._cancelled.clear()
        return Progress(
            start=flight.start,
            end=now,
            iterations=flight.iterations,
            decoded=flight.decoded,
            prefill_tokens=flight.prefill_tokens,
            scheduled=tuple(flight.scheduled),
            first_tokens=tuple(first_tokens),
            resumed=tuple(resumed),
            finished=tuple(finished),
        )

    def _publish(self, request: Request) -> None:
        """Cache the prompt blocks that are now complete."""
        if not self.limits.prefix_caching:
            return
        full = min(request.computed // BLOCK_TOKENS, len(request.prefix))
        complete = request.prefix[len(request.cached_blocks) : full]
        # What was computed twice at the same time stays private, with the rest of its prefix.
        request.cached_blocks.extend(complete[: self.kv.publish(complete)])

    def _leave(self, request: Request) -> None:
        """Take `request` out of the batch, with its blocks."""
        if request.phase is Phase.DECODE:
            self._decoding.leave(request)
        if request is self._prefilling:
            self._prefilling = None
        self.kv.release(request.cached_blocks, blocks_for(request.computed) - len(request.cached_blocks))
        request.cached_blocks = []
        request.computed = 0
        del self._running[request]

    def _finish(self, request: Request, now: float) -> Request:
        if request.phase is not Phase.WAITING:
            self._leave(request)
        request.phase = Phase.DONE
        request.last_token_at = request.finished_at = now
        return request

    def _abort(self, request: Request, now: float) -> Request:
        request.finish_reason = "abort"
        return self._finish(request, now)

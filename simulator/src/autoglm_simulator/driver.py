"""The pure model on the real clock, inside an asyncio event loop.

A timer fires when the iteration under way ends. When the host is late, the model catches up as many iterations as have
passed, so that a busy machine delays tokens but does not change what the model computes or its metrics say.
"""

import asyncio
import contextlib

from autoglm_simulator.faults import NO_FAULTS, Faults
from autoglm_simulator.limits import blocks_for
from autoglm_simulator.metrics import EngineMetrics
from autoglm_simulator.model import Engine
from autoglm_simulator.requests import Phase, Request


class Stream:
    """The tokens of one request as they come.

    Attributes:
        request: The request.
        each_token: Whether the reader wants to know of each token, or only of the end.
    """

    def __init__(self, request: Request, *, each_token: bool) -> None:
        self.request = request
        self.each_token = each_token
        self.done = 0
        self.finish_reason: str | None = None
        self._waiter: asyncio.Future[None] | None = None

    async def more_than(self, seen: int) -> int:
        """Return the tokens that are done, as soon as they are more than `seen` or the request has ended."""
        while self.finish_reason is None and (self.done <= seen or not self.each_token):
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self.done

    def update(self, done: int, finish_reason: str | None) -> None:
        """Tell the reader that `done` tokens exist, and why the request has ended if it has."""
        self.done, self.finish_reason = done, finish_reason
        if self._waiter and not self._waiter.done() and (self.each_token or finish_reason):
            self._waiter.set_result(None)


class Driver:
    """Runs one engine in real time."""

    def __init__(self, engine: Engine, metrics: EngineMetrics, *, max_model_len: int) -> None:
        self._engine = engine
        self._metrics = metrics
        self._max_model_len = max_model_len
        self._streams: dict[Request, Stream] = {}
        self._idle = asyncio.Event()
        self._idle.set()
        self._timer: asyncio.TimerHandle | None = None
        self.faults = NO_FAULTS

    @property
    def in_flight(self) -> int:
        """Requests that have not ended."""
        return len(self._streams)

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return self._engine.waiting

    @staticmethod
    def now() -> float:
        """Return the engine's time."""
        return asyncio.get_running_loop().time()

    def submit(self, request: Request, *, each_token: bool) -> Stream:
        """Start `request`.

        Raises:
            ValueError: It could never run.
        """
        self.catch_up()
        self._engine.add(request)
        self._idle.clear()
        stream = self._streams[request] = Stream(request, each_token=each_token)
        self.catch_up()
        return stream

    def leave(self, stream: Stream) -> None:
        """Take leave of `stream`; a request that has not ended is aborted and its blocks become free."""
        request = stream.request
        if self._streams.pop(request, None) is None:
            return
        self._engine.cancel(request)
        if request.phase is Phase.DONE:  # it was in the queue: no iteration will report it
            self._metrics.record_end(request)
        self.catch_up()

    def apply(self, faults: Faults, hang_seconds: float) -> None:
        """Put `faults` in force, and hang for `hang_seconds`."""
        self.catch_up()
        self.faults = faults
        self._engine.slowdown = faults.slowdown
        kept = blocks_for(self._max_model_len)
        self._engine.kv.withhold(self._engine.kv.capacity - kept if faults.kv_exhaustion else 0)
        self._engine.hang(self.now(), hang_seconds)
        self.catch_up()

    async def drain(self, timeout_seconds: float) -> None:
        """Wait until every request has ended, at most `timeout_seconds`; then abort the rest."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), timeout_seconds)
        for request, stream in self._streams.items():
            stream.update(self._engine.generated(request), "abort")

    def stop(self) -> None:
        """Stop the timer."""
        if self._timer:
            self._timer.cancel()

    def catch_up(self) -> None:
        """Bring the model to the present, tell the readers, and set the timer."""
        for progress in self._engine.step(self.now()):
            self._metrics.record(progress)
            for request in progress.finished:
                if stream := self._streams.pop(request, None):
                    stream.update(request.generated, request.finish_reason)
        for request, stream in self._streams.items():
            if stream.each_token and (done := self._engine.generated(request)) != stream.done:
                stream.update(done, None)
        if not self._streams:
            self._idle.set()
        self.stop()
        when = self._engine.next_time
        self._timer = None if when is None else asyncio.get_running_loop().call_at(when, self.catch_up)

"""Drives a load in open loop: requests are sent at their times, whatever becomes of the earlier ones."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import pairwise

from autoglm_bench.client import Answer, ChatClient, Target
from autoglm_bench.profiles import Arrival, Phase, arrivals
from autoglm_bench.prompts import prompt
from autoglm_bench.result import Cause, Result


@dataclass(frozen=True, slots=True)
class Load:
    """What to do to a target.

    Attributes:
        target: the engine, and what each request asks of it.
        phases: when requests are sent.
        prompt_tokens: about how long each prompt is.
        seed: makes arrivals and prompts repeatable.
    """

    target: Target
    phases: Sequence[Phase]
    prompt_tokens: int
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a load is.

    Attributes:
        seconds: since the start of the load.
        sent: requests sent so far.
        in_flight: of these, those without an end yet.
        failed: of these, those that failed.
        late: of these, those sent late.
        recent: results of the last `seconds_between` seconds.
    """

    seconds: float
    sent: int
    in_flight: int
    failed: int
    late: int
    recent: tuple[Result, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a load.

    Attributes:
        results: in the order of arrival.
        partial: whether it was stopped before its end.
        started: seconds since the epoch, so that it can be laid beside what others recorded.
    """

    results: list[Result]
    partial: bool
    started: float


OnProgress = Callable[[Progress], None]


class _Run:
    """One load under way."""

    def __init__(self, load: Load, client: ChatClient) -> None:
        self._load = load
        self._client = client
        self._start = time.monotonic()
        self._tasks: set[asyncio.Task[None]] = set()
        self._reported = 0
        self.results: list[Result] = []

    async def drive(self) -> None:
        for number, arrival in enumerate(arrivals(self._load.phases, self._load.seed)):
            # Also when behind: without a turn of the loop here, a generator that is late would read no answers.
            await asyncio.sleep(max(0.0, self._start + arrival.at - time.monotonic()))
            task = asyncio.create_task(self._one(number, arrival))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def stop(self) -> None:
        """End the requests in flight; each leaves a result with cause `INTERRUPTED`."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _one(self, number: int, arrival: Arrival) -> None:
        sent = time.monotonic()
        try:
            answer = await self._client.ask(prompt(self._load.prompt_tokens, self._load.seed, number))
        except asyncio.CancelledError:
            answer = Answer(sent, time.monotonic(), cause=Cause.INTERRUPTED, detail="the load was stopped")
            self.results.append(self._result(number, arrival, answer))
            raise
        self.results.append(self._result(number, arrival, answer))

    def _result(self, number: int, arrival: Arrival, answer: Answer) -> Result:
        times = answer.tokens_at
        return Result(
            number=number,
            phase=arrival.phase,
            due=arrival.at,
            sent=answer.sent - self._start,
            ttft=times[0] - answer.sent if times else None,
            itls=tuple(later - earlier for earlier, later in pairwise(times)),
            duration=answer.finished - answer.sent,
            prompt_tokens=answer.prompt_tokens,
            output_tokens=answer.output_tokens,
            cause=answer.cause,
            detail=answer.detail,
        )

    async def report(self, on_progress: OnProgress, seconds_between: float) -> None:
        while True:
            await asyncio.sleep(seconds_between)
            on_progress(self._progress())

    def _progress(self) -> Progress:
        recent = tuple(self.results[self._reported :])
        self._reported = len(self.results)
        return Progress(
            seconds=time.monotonic() - self._start,
            sent=len(self.results) + len(self._tasks),
            in_flight=len(self._tasks),
            failed=sum(result.cause is not None for result in self.results),
            late=sum(result.late for result in self.results),
            recent=recent,
        )


async def generate(load: Load, on_progress: OnProgress | None = None, seconds_between: float = 1.0) -> Outcome:
    """Run a load to its end and return every result; cancelled, it returns what there is, marked partial.

    Args:
        load: what to do.
        on_progress: called at intervals, from the event loop.
        seconds_between: the interval.
    """
    partial = False
    started = time.time()
    async with AsyncExitStack() as stack:
        run = _Run(load, await stack.enter_async_context(ChatClient(load.target)))
        reporter = asyncio.create_task(run.report(on_progress, seconds_between)) if on_progress else None
        try:
            await run.drive()
        except asyncio.CancelledError:
            partial = True
            await run.stop()
        finally:
            if reporter:
                reporter.cancel()
    return Outcome(sorted(run.results, key=lambda result: result.number), partial, started)


def run_load(
    phases: Sequence[Phase],
    target: Target,
    prompt_tokens: int,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> list[Result]:
    """Run a load to its end, from code that is not asynchronous; see `generate`."""
    return asyncio.run(generate(Load(target, phases, prompt_tokens, seed), on_progress)).results

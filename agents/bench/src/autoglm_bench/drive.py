"""Sends a plan: in open loop at its times, whatever becomes of the earlier requests; or in a closed loop."""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final

from autoglm_bench.figures.checks import held, too_late
from autoglm_bench.figures.objectives import Objective, limits
from autoglm_bench.figures.records import Asked, Records
from autoglm_bench.figures.summary import Stretch, summarise
from autoglm_bench.load import search
from autoglm_bench.load.plan import ClosedLoop, Plan, Search
from autoglm_bench.load.search import Trial
from autoglm_bench.load.workload import Session
from autoglm_bench.result import Answer, Cause
from autoglm_bench.wire.chat import ChatClient
from autoglm_bench.wire.tracing import Tracing

#: A trial of a search is over this long after its last request: what has not ended by then has broken the objective.
_LEAST_DRAIN: Final = 10.0
_DRAIN_OF_LIMIT: Final = 5.0
#: What is shown meanwhile is of the last so many seconds, or of the last interval if that is longer.
_WINDOW: Final = 5.0
#: A user of a closed loop tries again after so many seconds: an engine that refuses would else be flooded.
_AFTER_FAILURE: Final = 1.0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a load is.

    Attributes:
        seconds: since the start of the load.
        share: of the load that is done, 0 to 1; of all trials together for a search.
        phase: name of the phase under way.
        bracket: of a search: where the limit is known to be; empty otherwise.
        sent: requests sent so far.
        in_flight: of these, those without an end yet.
        failed: of these, those that failed.
        late: of these, those sent late.
        ttfts: of the requests that ended lately and succeeded, in seconds.
        itls: mean of each of them, in seconds; of those with two pieces or more.
        tokens: of the same requests.
        interval: how long "lately" is, in seconds.
    """

    seconds: float
    share: float
    phase: str
    bracket: str
    sent: int
    in_flight: int
    failed: int
    late: int
    ttfts: Sequence[float]
    itls: Sequence[float]
    tokens: int
    interval: float


OnProgress = Callable[[Progress], None]


class Driver:
    """One load under way.

    Args:
        plan: what to send.
        client: to whom.
        model: what to ask for.
        objectives: what a search judges its trials by.
        tracing: makes spans, if they are wanted.

    Attributes:
        records: every request that ended.
        stretches: the phases begun so far.
        trials: of a search.
        under_way_seconds: integral of the number of requests under way over time.
        elapsed: seconds from the start to now, or to the end.
    """

    def __init__(
        self, plan: Plan, client: ChatClient, model: str, objectives: Sequence[Objective], tracing: Tracing | None
    ) -> None:
        self._plan, self._client, self._model = plan, client, model
        self._objectives, self._tracing = objectives, tracing
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._under_way = 0
        self._changed = self._start = self._loop.time()
        self._marks = deque([(0, 0.0)])
        self._failed = self._late = self._sessions = 0
        self._error: BaseException | None = None
        self._stopped_for = (Cause.INTERRUPTED, "the load was stopped")
        self.records = Records((), expects_actions=plan.workload.expects_actions)
        self.stretches: list[Stretch] = []
        self.trials: list[Trial] = []
        self.under_way_seconds = 0.0

    @property
    def elapsed(self) -> float:
        """Seconds since the start of the load."""
        return self._loop.time() - self._start

    async def drive(self) -> None:
        """Send all of it and wait for the answers; cancelled, it ends the requests in flight."""
        self._changed = self._start = self._loop.time()
        try:
            if self._plan.search:
                await self._search(self._plan.search)
            elif self._plan.closed:
                await self._closed(self._plan.closed)
            else:
                await self._open(self._plan, 0.0)
            await self._drained(None)
        finally:
            await self._stop()
        if self._error:
            raise self._error

    async def _open(self, plan: Plan, offset: float) -> None:
        starts = plan.arrivals()
        names = self._begin_phases(plan, offset)
        # Trials of a search go on counting: a prompt sent twice would find itself in the engine's prefix cache.
        first, self._sessions = self._sessions, self._sessions + len(starts)
        for number, arrival in enumerate(starts, first):
            session = plan.workload.session(number, arrival.shape)
            # Made before the wait: what a prompt costs to make must not make it late.
            body = plan.workload.body(self._model, session, 0, ())
            await self._until(offset + arrival.at)
            self._spawn(self._session(session, body, names[arrival.phase], offset + arrival.at))

    def _begin_phases(self, plan: Plan, offset: float) -> dict[str, int]:
        """Add the phases of a plan; those of one name are one to the reader: a load may return to its base rate."""
        planned = [(phase.name, phase.seconds) for phase in plan.phases] or [("trace", plan.seconds)]
        names: dict[str, int] = {}
        for name, seconds in planned:
            if name not in names:
                names[name] = self.records.add_phase(name)
                self.stretches.append(Stretch(name, offset, seconds))
            else:
                index = next(at for at, stretch in enumerate(self.stretches) if stretch.name == name)
                known = self.stretches[index]
                self.stretches[index] = Stretch(name, known.start, known.seconds + seconds)
            offset += seconds
        return names

    async def _closed(self, closed: ClosedLoop) -> None:
        name = f"{closed.concurrency} at once"
        phase = self.records.add_phase(name)
        self.stretches.append(Stretch(name, 0.0, closed.seconds))
        numbers = iter(range(1 << 62))

        async def user() -> None:
            while self.elapsed < closed.seconds:
                session = self._plan.workload.session(next(numbers))
                body = self._plan.workload.body(self._model, session, 0, ())
                if not await self._session(session, body, phase, self.elapsed):
                    await asyncio.sleep(_AFTER_FAILURE)

        for _ in range(closed.concurrency):
            self._spawn(user())

    async def _search(self, wanted: Search) -> None:
        while (rate := search.next_rate(wanted, self.trials)) is not None:
            offset = self.elapsed
            await self._open(self._plan.trial(len(self.trials) + 1, rate), offset)
            largest = max(limits(self._objectives).values(), default=0.0)
            await self._drained(max(_LEAST_DRAIN, _DRAIN_OF_LIMIT * largest))
            (summary,) = summarise(self.records, self.stretches[-1:], self._objectives)
            if too_late(summary):
                reason = f"{summary.late} of {summary.requests} requests were sent late: the generator is the limit"
                self.trials.append(Trial(rate, held=False, reason=reason))
            else:
                self.trials.append(Trial(rate, *held(summary, self._objectives)))

    async def _session(self, session: Session, body: bytes, phase: int, due: float) -> bool:
        """Send the requests of a session; the first that fails ends it. Return whether all succeeded."""
        answers: list[str] = []
        workload = self._plan.workload
        for number, step in enumerate(session.steps):
            if number:
                due = self.elapsed + step.think
                body = workload.body(self._model, session, number, answers)
                await self._until(due)
            asked = Asked(session.number, number, phase, due, step.reusable_tokens, session.id)
            answer = await self._request(asked, body)
            if answer.cause is not None:
                return False
            answers.append(answer.text)
        return True

    async def _request(self, asked: Asked, body: bytes) -> Answer:
        span, traceparent = self._tracing.begin(asked.session, asked.step) if self._tracing else (None, "")
        answer = Answer(self._loop.time())
        self._count(1)
        try:
            keep = self._plan.workload.keeps_text
            answer = await self._client.ask(body, traceparent=traceparent, keep_text=keep)
        except asyncio.CancelledError:
            cause, detail = self._stopped_for
            answer.finished, answer.cause, answer.detail = self._loop.time(), cause, detail
            raise
        finally:
            self._count(-1)
            self.records.add(asked, answer, self._start)
            self._failed += answer.cause is not None
            self._late += self.records.late(len(self.records) - 1)
            if self._tracing and span:
                self._tracing.end(span, answer)
        return answer

    def _count(self, change: int) -> None:
        now = self._loop.time()
        self.under_way_seconds += self._under_way * (now - self._changed)
        self._under_way += change
        self._changed = now

    async def _until(self, due: float) -> None:
        # Also when behind: without a turn of the loop here, a generator that is late would read no answers.
        await asyncio.sleep(max(0.0, self._start + due - self._loop.time()))

    def _spawn(self, work: Coroutine[Any, Any, object]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            self._error = self._error or task.exception()

    async def _drained(self, seconds: float | None) -> None:
        """Wait until all requests ended, at most so long; those left are given up."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        if self._tasks:
            self._stopped_for = (Cause.TIMEOUT, f"not finished {seconds:g} s after the last request was sent")
            await self._stop()
            self._stopped_for = (Cause.INTERRUPTED, "the load was stopped")

    async def _stop(self) -> None:
        """End the requests in flight; each leaves a record."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def report(self, on_progress: OnProgress, seconds_between: float) -> None:
        """Tell the progress at intervals until cancelled."""
        while True:
            await asyncio.sleep(seconds_between)
            on_progress(self.progress())

    def progress(self) -> Progress:
        """Return how far the load is, and what ended lately."""
        elapsed, records, marks = self.elapsed, self.records, self._marks
        marks.append((len(records), elapsed))
        while elapsed - marks[1][1] >= _WINDOW and len(marks) > 2:  # noqa: PLR2004  now and one before
            marks.popleft()
        first, then = marks[0]
        new = [row for row in range(first, len(records)) if records.succeeded(row)]
        return Progress(
            seconds=elapsed,
            share=self._share(elapsed),
            phase=next((one.name for one in reversed(self.stretches) if one.start <= elapsed), ""),
            bracket=search.bracket(self.trials) if self._plan.search else "",
            sent=len(records) + self._under_way,
            in_flight=self._under_way,
            failed=self._failed,
            late=self._late,
            ttfts=[records.ttft[row] for row in new],
            itls=[records.itl[row] for row in new if not math.isnan(records.itl[row])],
            tokens=sum(records.output_tokens[row] for row in new),
            interval=elapsed - then,
        )

    def _share(self, elapsed: float) -> float:
        seconds = self._plan.seconds
        if self._plan.search is None:
            return min(1.0, elapsed / seconds) if seconds else 0.0
        under_way = self.stretches[len(self.trials) :]
        within = min(1.0, max(0.0, elapsed - under_way[0].start) / seconds) if under_way else 0.0
        return search.share(self._plan.search, self.trials, within)

"""One run from the first look at the target to its document."""

import asyncio
import os
import platform
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any, Final

import httpx

from autoglm_bench import __version__
from autoglm_bench.drive import Driver, OnProgress
from autoglm_bench.figures import score, split
from autoglm_bench.figures.checks import littles_law
from autoglm_bench.figures.exposition import sums
from autoglm_bench.figures.gpu import GpuSample, GpuUse, sample, together, use
from autoglm_bench.figures.objectives import Objective
from autoglm_bench.figures.summary import Stretch, Summary, summarise, total
from autoglm_bench.load import search
from autoglm_bench.load.plan import Plan, sequence_hash, spec_hash
from autoglm_bench.report.document import Findings, Origin, document, verdict
from autoglm_bench.wire import reading
from autoglm_bench.wire.chat import ChatClient, Target
from autoglm_bench.wire.reading import Judge, ReadingError
from autoglm_bench.wire.tracing import Tracing

_GPU_SECONDS: Final = 1.0
#: Above this share of a core an event loop is at its end, and what it times waits for it.
_BUSY: Final = 0.9


@dataclass(frozen=True, slots=True)
class Job:
    """What to do, to whom, and what to look at meanwhile.

    Attributes:
        target: the engine.
        plan: what to send.
        objectives: limits of the latencies.
        expected: expected answers by id; empty for none.
        judge: grades the answers; `None` for exact match.
        metrics_urls: of each engine's metrics.
        agent_urls: of each GPU agent's `/state` or `/metrics`.
        otlp_endpoint: where spans go; empty for none.
    """

    target: Target
    plan: Plan
    objectives: Sequence[Objective] = ()
    expected: Mapping[str, str] | None = None
    judge: Judge | None = None
    metrics_urls: Sequence[str] = ()
    agent_urls: Sequence[str] = ()
    otlp_endpoint: str = ""


@dataclass(slots=True)
class Stopped:
    """Why a run was stopped from outside.

    Attributes:
        reason: in words; empty as long as it was not.
        number: of the signal.
    """

    reason: str = ""
    number: int = 0


class _Watch:
    """Reads engine and agent beside the load. What cannot be read is a note, never an end."""

    def __init__(self, job: Job, http: httpx.AsyncClient) -> None:
        self._job, self._http = job, http
        self._before: Mapping[str, float] | None = None
        self._gpu: list[GpuSample] = []
        self._gpu_errors: list[str] = []
        self.notes: list[str] = []

    async def begin(self) -> None:
        if self._job.metrics_urls:
            self._before = await self._metrics()

    async def sample(self) -> None:
        """Read the agent at intervals until cancelled."""
        while True:
            await self.once()
            await asyncio.sleep(_GPU_SECONDS)

    async def once(self) -> None:
        try:
            texts = await asyncio.gather(*(reading.fetch(self._http, url) for url in self._job.agent_urls))
            now = asyncio.get_running_loop().time()
            self._gpu.append(together([sample(text, now) for text in texts]))
        except (ReadingError, ValueError) as error:
            self._gpu_errors.append(str(error))

    async def _metrics(self) -> Mapping[str, float] | None:
        try:
            texts = await asyncio.gather(*(reading.fetch(self._http, url) for url in self._job.metrics_urls))
            # Counters of several engines add up, also where one has none yet.
            return sums("\n".join(texts), split.NAMES)
        except ReadingError as error:
            self.notes.append(f"no latency split: --metrics-url {error}")
            return None

    async def split(self, whole: Summary) -> split.Split | None:
        if self._before is None:
            return None
        after = await self._metrics()
        if after is None:
            return None
        duration = whole.distributions["duration"]
        return split.split(self._before, after, duration.mean if duration else None, whole.succeeded)

    def gpu(self, tokens: int) -> GpuUse | None:
        if self._gpu_errors:
            self.notes.append(
                f"--agent-url: {len(self._gpu_errors)} of {len(self._gpu_errors) + len(self._gpu)} readings failed, "
                f"the last one: {self._gpu_errors[-1]}"
            )
        return use(self._gpu, tokens)


async def run(job: Job, stopped: Stopped, on_progress: OnProgress | None, seconds_between: float) -> dict[str, Any]:
    """Run a job and return its document; cancelled, the document holds what there is and says that it is partial.

    Args:
        job: what to do.
        stopped: says why when this is cancelled.
        on_progress: called at intervals, from the event loop.
        seconds_between: the interval.

    Raises:
        TracingError: spans were asked for and cannot be made.
    """
    tracing = Tracing(job.otlp_endpoint, job.target.url, job.target.model) if job.otlp_endpoint else None
    origin = await _origin(job)
    partial = ""
    cpu = time.process_time()
    async with AsyncExitStack() as stack:
        watch = _Watch(job, await stack.enter_async_context(reading.client()))
        await watch.begin()
        chat = await stack.enter_async_context(ChatClient(job.target))
        driver = Driver(job.plan, chat, job.target.model, job.objectives, tracing)
        beside = [asyncio.create_task(watch.sample())] if job.agent_urls else []
        if on_progress:
            beside.append(asyncio.create_task(driver.report(on_progress, seconds_between)))
        try:
            await driver.drive()
        except asyncio.CancelledError:
            partial = stopped.reason or "the load was stopped"
        seconds = driver.elapsed
        cpu = time.process_time() - cpu
        for task in beside:
            task.cancel()
        if job.agent_urls:
            await watch.once()
        found = await _findings(job, driver, watch, seconds, partial)
    notes = [*found.notes, *watch.notes]
    if tracing and (lost := await asyncio.to_thread(tracing.close)):
        notes.append(lost)
    generator = _generator(cpu, seconds)
    if generator["coreShare"] > _BUSY:
        notes.append(f"this program needed {generator['coreShare']:.0%} of one core: the figures tell of it as well")
    return document(origin, replace(found, notes=notes)) | {"generator": generator}


async def _findings(job: Job, driver: Driver, watch: _Watch, seconds: float, partial: str) -> Findings:
    records = driver.records
    # A run that was stopped lasted as long as it did, not as long as planned.
    stretches = [
        Stretch(one.name, one.start, min(one.seconds, seconds - one.start) if partial else one.seconds)
        for one in driver.stretches
        if one.start < seconds
    ]
    end = max((one.start + one.seconds for one in stretches), default=seconds)
    whole = total(records, end, job.objectives)
    trials = driver.trials
    sentence = verdict(whole, job.objectives, partial)
    if job.plan.search:
        sentence = (f"partial ({partial}): " if partial else "") + search.verdict(job.plan.search, trials)
    parted = await watch.split(whole)
    return Findings(
        records=records,
        total=whole,
        phases=summarise(records, stretches, job.objectives),
        objectives=job.objectives,
        partial=partial,
        littles_law=littles_law(driver.under_way_seconds, seconds, records.duration),
        split=parted,
        gpu=watch.gpu(whole.output_tokens),
        score=score.score(await _parts(job, driver, whole, parted)),
        verdict=sentence,
        trials=trials,
        limit=search.bounds(trials)[0],
        notes=_notes(records.no_usage, whole),
    )


def _notes(no_usage: int, whole: Summary) -> list[str]:
    text = (
        f"{no_usage} of {whole.succeeded} answers came without usage numbers: their tokens are the pieces that were "
        "streamed, and prompt tokens are not known"
    )
    return [text] if no_usage else []


async def _parts(job: Job, driver: Driver, whole: Summary, parted: split.Split | None) -> dict[str, score.Part]:
    texts = driver.records.texts
    if not job.expected:
        semantic = score.Part(None, "no expected answers were given")
    elif job.judge:
        grades = await job.judge.grade(texts, job.expected)
        semantic = score.judged(grades, len(job.expected), job.judge.model)
    else:
        semantic = score.exact_match(texts, job.expected)
    cached = whole.cached_tokens if whole.cached_tokens is not None else parted.cached_tokens if parted else None
    records = driver.records
    reusable = sum(tokens for row, tokens in enumerate(records.reusable_tokens) if records.succeeded(row))
    return {
        "semantic": semantic,
        "execution": score.execution(whole.requests, whole.succeeded, records.actions),
        "latency": score.latency(whole.requests, whole.inside),
        "context": score.context(cached, reusable),
    }


async def _origin(job: Job) -> Origin:
    engine = await reading.engine_version(job.target)
    versions = {"autoglm-bench": __version__, "python": platform.python_version()}
    return Origin(
        started_at=time.time(),
        url=job.target.url,
        model=job.target.model,
        versions=versions | ({"engine": engine} if engine else {}),
        environment={"platform": platform.platform(), "machine": platform.machine(), "cpus": _cpus()},
        plan=job.plan.document(),
        spec_hash=spec_hash(job.plan),
        sequence_hash=sequence_hash(job.plan),
    )


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _generator(cpu: float, seconds: float) -> dict[str, float]:
    """Return what this program itself needed: near one core, or late, the figures tell of it."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 1 if sys.platform == "darwin" else 1024
    return {"cpuSeconds": cpu, "coreShare": cpu / seconds if seconds > 0 else 0.0, "peakMemoryBytes": peak * unit}

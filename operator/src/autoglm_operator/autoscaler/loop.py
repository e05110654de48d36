"""The loop: once per interval each deployment is scraped, looked at and decided on, spread over the interval."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from autoglm_operator.api.signals import DESIRED_REPLICAS, ITL_P99, TTFT_P99
from autoglm_operator.autoscaler.actuator import Actuator
from autoglm_operator.autoscaler.cluster import Cluster
from autoglm_operator.autoscaler.decision_span import Course, Scrape, decision_span
from autoglm_operator.autoscaler.drains import Drains, serving_rows
from autoglm_operator.autoscaler.engine_metrics import ScrapeError
from autoglm_operator.autoscaler.following import Following
from autoglm_operator.autoscaler.judge import Judge
from autoglm_operator.autoscaler.memory import Memory
from autoglm_operator.autoscaler.metrics import Metrics
from autoglm_operator.autoscaler.metrics_api.published import Entry, Published
from autoglm_operator.autoscaler.pods import EnginePod, Key, Target
from autoglm_operator.autoscaler.quota import Quotas
from autoglm_operator.autoscaler.scrape import Scraper
from autoglm_operator.autoscaler.serving import serving
from autoglm_operator.autoscaler.snapshot import Snapshot, take
from autoglm_operator.autoscaler.store import History, Store
from autoglm_operator.autoscaler.writer import Latencies, Writer
from autoglm_operator.decide.scaling.bounds import bounds_of
from autoglm_operator.decide.scaling.rule import Decision
from autoglm_operator.exposition import exemplar
from autoglm_operator.tracing import traceparent

logger = logging.getLogger(__name__)

#: Part of the interval over which deployments are spread: the more, the lower the peaks of a process that a thousand of
#: them keep busy; the rest is what a tick may be late by.
_SPREAD: Final = 0.95
_AGENT_SECONDS: Final = 10.0


class Loop:
    """Ticks for ever.

    Args:
        cluster: deployments and pods as they are.
        scraper: fetches samples.
        published: receives what GETs read.
        writer: receives decisions.
        metrics: of this process.
        judge: decides.
        drains: has replicas finish their requests before they are removed.
        actuator: writes replicas.
        quotas: what namespaces have room for.
        memory: keeps decisions and what was learned.
        interval: seconds between two scrapes.
    """

    def __init__(
        self,
        cluster: Cluster,
        scraper: Scraper,
        published: Published,
        writer: Writer,
        metrics: Metrics,
        *,
        judge: Judge,
        drains: Drains,
        actuator: Actuator,
        quotas: Quotas,
        memory: Memory,
        interval: float,
    ) -> None:
        self._cluster = cluster
        self._scraper = scraper
        self._published = published
        self._writer = writer
        self._metrics = metrics
        self._judge = judge
        self._drains = drains
        self._actuator = actuator
        self._quotas = quotas
        self._memory = memory
        self._interval = interval
        self._store = Store()
        self._running: set[Key] = set()
        self._desired: dict[Key, int] = {}
        self._traced: dict[Key, str | None] = {}
        self._courses: dict[Key, Course] = {}
        self._saturated: dict[Key, float] = {}
        self._following = Following(metrics, interval=interval, started=time.time())
        self.last_tick = time.monotonic()
        self.ticks = 0
        cluster.on_pod_gone(self._store.forget)
        cluster.on_target_gone(self.forget)

    async def run(self) -> None:
        """Tick until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                start = time.monotonic()
                await self._tick(tasks)
                self.ticks += 1
                await asyncio.sleep(max(0.0, start + self._interval - time.monotonic()))

    async def _tick(self, tasks: asyncio.TaskGroup) -> None:
        """Start a visit to each deployment, spread over the interval; one that is still visited is left alone."""
        start = self.last_tick = time.monotonic()
        self._metrics.last_tick.set_to_current_time()
        keys = sorted(self._cluster.targets)
        for index, key in enumerate(keys):
            due = start + self._interval * _SPREAD * index / len(keys)
            if (pause := due - time.monotonic()) > 0:
                await asyncio.sleep(pause)
            if key not in self._running:
                self._running.add(key)
                tasks.create_task(self._visit(key))

    async def _visit(self, key: Key) -> None:
        try:
            await self.visit(key)
        except Exception:  # one deployment that cannot be looked at must not stop the others
            logger.exception("tick failed", extra={"namespace": key[0], "deployment": key[1]})
        finally:
            self._running.discard(key)

    async def visit(self, key: Key) -> None:
        """Scrape, look at and decide on one deployment."""
        start, wall = time.monotonic(), time.time_ns()
        pods = self._cluster.pods_of(key)
        ready = [pod for pod in pods if pod.ready]
        scrapes = await asyncio.gather(*(self._scrape(pod, self._store.history(pod.uid)) for pod in ready))
        target = self._cluster.targets.get(key)
        if target is None:
            return
        if target.autoscaling is not None:
            await self._memory.recall(target)
        now = time.monotonic()
        # Once more: pods that ended or became ready during the scrape.
        rows = [(pod, self._store.history(pod.uid)) for pod in self._cluster.pods_of(key)]
        serving_target, serving_pods = serving_rows(target, rows)
        snapshot = take(serving_pods, now, self._interval, self._saturated.get(key))
        if snapshot.signals.saturated_rate is not None:
            self._saturated[key] = snapshot.signals.saturated_rate
        decision, bounds = None, None
        if target.autoscaling is not None:
            room = self._quotas.room(key, target.footprint, len(rows), now)
            bounds = bounds_of(target.autoscaling, wall / 1e9, room)
            decision = self._judge.judge(serving_target, serving_pods, snapshot, bounds, now)
        decision = await self._drains.settle(target, rows, decision, now)
        self._publish(target, snapshot, decision)
        self._following.count(target, rows)
        self._following.show(target, snapshot, decision, self._judge.capacity(key) or self._saturated.get(key))
        bottleneck = self._following.look(target, serving_pods, snapshot, now)
        seconds, traced = time.monotonic() - start, None
        if decision is not None:
            decision, traced = self._tell(target, decision, wall, scrapes)
            await self._actuator.act(target, decision)
        if decision is not None and bounds is not None:
            decision = self._memory.note(target, decision, snapshot.signals, bounds)
        self._metrics.observe_tick(seconds, traced)
        said = serving(rows, target.adapters, target.serving, bottleneck)
        latencies = Latencies(snapshot.values.get(TTFT_P99.name), snapshot.values.get(ITL_P99.name))
        await self._writer.write(target, decision, latencies, said)

    async def _scrape(self, pod: EnginePod, history: History) -> Scrape:
        if history.ready_since is None:
            history.ready_since = time.monotonic()
        scrape, _ = await asyncio.gather(self._scrape_engine(pod, history), self._scrape_agent(pod, history))
        return scrape

    async def _scrape_engine(self, pod: EnginePod, history: History) -> Scrape:
        start, problem = time.time_ns(), ""
        try:
            history.add(await self._scraper.engine(pod))
        except ScrapeError as error:
            history.error = problem = str(error)
        return Scrape(pod.name, start, time.time_ns(), problem)

    async def _scrape_agent(self, pod: EnginePod, history: History) -> None:
        """Ask the agent less often: GPU memory moves slowly, is good for half a minute, and decides nothing."""
        now = time.monotonic()
        if history.agent_asked is not None and now - history.agent_asked < _AGENT_SECONDS:
            return
        history.agent_asked = now
        with contextlib.suppress(ScrapeError):
            history.add_agent(await self._scraper.agent(pod))

    def _publish(self, target: Target, snapshot: Snapshot, decision: Decision | None) -> None:
        key = target.key
        values, problems = dict(snapshot.values), dict(snapshot.problems)
        if decision is not None:
            values[DESIRED_REPLICAS.name] = float(decision.to)
        elif target.autoscaling is None:
            problems[DESIRED_REPLICAS.name] = "spec.autoscaling is not set"
        else:
            problems[DESIRED_REPLICAS.name] = next(iter(problems.values()))
        self._published.put(key, Entry(snapshot.taken, values, problems, target.labels))
        self._metrics.publish(key, values)

    def _tell(
        self, target: Target, decision: Decision, wall: int, scrapes: Sequence[Scrape]
    ) -> tuple[Decision, dict[str, str] | None]:
        """Log, count and trace a change of mind; return the decision with the reference of its span, and an exemplar.

        The exemplar is `None` unless the mind was changed now and that is traced.
        """
        key = target.key
        before = self._desired.get(key, target.replicas)
        self._desired[key] = decision.to
        course = self._courses.setdefault(key, Course())
        course.note(decision, time.time_ns())
        if decision.to == before:
            return replace(decision, traceparent=self._traced.get(key)), None
        self._metrics.decisions.labels(decision.reason, "up" if decision.to > before else "down").inc()
        fields = {
            "namespace": key[0],
            "deployment": key[1],
            "from": before,
            "to": decision.to,
            "reason": decision.reason.value,
            "decision": decision.message,
        }
        with decision_span(target, before, course, wall, scrapes) as span:
            logger.info("decision", extra=fields)
            seen = exemplar()
        course.clear()
        self._traced[key] = traceparent(span)
        return replace(decision, traceparent=self._traced[key]), seen

    def forget(self, key: Key) -> None:
        """Drop a deployment that is gone."""
        self._published.forget(key)
        self._writer.forget(key)
        self._actuator.forget(key)
        self._quotas.forget(key)
        self._memory.forget(key)
        self._following.forget(key)
        self._judge.forget(key)
        self._drains.forget(key)
        self._metrics.forget(key)
        self._desired.pop(key, None)
        self._traced.pop(key, None)
        self._courses.pop(key, None)
        self._saturated.pop(key, None)

"""The loop: once per interval each deployment is scraped, looked at and decided on, spread over the interval."""

import asyncio
import contextlib
import logging
import time
from typing import Final

from opentelemetry import trace

from autoglm_operator.api.signals import DESIRED_REPLICAS, ITL_P99, TTFT_P99
from autoglm_operator.autoscaler.cluster import Cluster
from autoglm_operator.autoscaler.engine_metrics import ScrapeError
from autoglm_operator.autoscaler.metrics import Metrics
from autoglm_operator.autoscaler.pods import EnginePod, Key, Target
from autoglm_operator.autoscaler.published import Entry, Published
from autoglm_operator.autoscaler.scrape import Scraper
from autoglm_operator.autoscaler.serving import serving
from autoglm_operator.autoscaler.snapshot import Snapshot, take
from autoglm_operator.autoscaler.store import History, Store
from autoglm_operator.autoscaler.writer import Latencies, Writer
from autoglm_operator.decide.scaling import Decision, decide

logger = logging.getLogger(__name__)
tracer = trace.get_tracer(__name__)

#: Part of the interval over which deployments are spread; the rest is for the answers.
_SPREAD: Final = 0.8
_AGENT_SECONDS: Final = 10.0


class Loop:
    """Ticks for ever.

    Args:
        cluster: deployments and pods as they are.
        scraper: fetches samples.
        published: receives what GETs read.
        writer: receives decisions.
        metrics: of this process.
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
        interval: float,
    ) -> None:
        self._cluster = cluster
        self._scraper = scraper
        self._published = published
        self._writer = writer
        self._metrics = metrics
        self._interval = interval
        self._store = Store()
        self._running: set[Key] = set()
        self._values: dict[Key, dict[str, float]] = {}
        self._desired: dict[Key, int] = {}
        self._saturated: dict[Key, float] = {}
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
        await asyncio.gather(*(self._scrape(pod, self._store.history(pod.uid)) for pod in pods if pod.ready))
        target = self._cluster.targets.get(key)
        if target is None:
            return
        now = time.monotonic()
        # Once more: pods that ended or became ready during the scrape.
        rows = [(pod, self._store.history(pod.uid)) for pod in self._cluster.pods_of(key)]
        snapshot = take(rows, now, self._interval, self._saturated.get(key))
        if snapshot.signals.saturated_rate is not None:
            self._saturated[key] = snapshot.signals.saturated_rate
        decision = self._decide(target, snapshot)
        self._publish(target, snapshot, decision)
        self._metrics.tick_seconds.observe(time.monotonic() - start)
        if decision is not None:
            self._tell(target, decision, wall)
        said = serving(rows, target.adapters, target.serving)
        latencies = Latencies(snapshot.values.get(TTFT_P99.name), snapshot.values.get(ITL_P99.name))
        await self._writer.write(target, decision, latencies, said)

    async def _scrape(self, pod: EnginePod, history: History) -> None:
        if history.ready_since is None:
            history.ready_since = time.monotonic()
        await asyncio.gather(self._scrape_engine(pod, history), self._scrape_agent(pod, history))

    async def _scrape_engine(self, pod: EnginePod, history: History) -> None:
        try:
            history.add(await self._scraper.engine(pod))
        except ScrapeError as error:
            history.error = str(error)

    async def _scrape_agent(self, pod: EnginePod, history: History) -> None:
        """Ask the agent less often: GPU memory moves slowly, is good for half a minute, and decides nothing."""
        now = time.monotonic()
        if history.agent_asked is not None and now - history.agent_asked < _AGENT_SECONDS:
            return
        history.agent_asked = now
        with contextlib.suppress(ScrapeError):
            history.gpu = await self._scraper.agent(pod)

    def _decide(self, target: Target, snapshot: Snapshot) -> Decision | None:
        """Return the decision; `None` if autoscaling is off, or ready pods are there and all of them are silent."""
        signals = snapshot.signals
        if target.autoscaling is None or (signals.silent and not signals.ready):
            return None
        return decide(target.autoscaling, target.batch, target.replicas, signals)

    def _publish(self, target: Target, snapshot: Snapshot, decision: Decision | None) -> None:
        key = (target.namespace, target.name)
        values, problems = dict(snapshot.values), dict(snapshot.problems)
        if decision is not None:
            values[DESIRED_REPLICAS.name] = float(decision.to)
        elif target.autoscaling is None:
            problems[DESIRED_REPLICAS.name] = "spec.autoscaling is not set"
        else:
            problems[DESIRED_REPLICAS.name] = next(iter(problems.values()))
        self._published.put(key, Entry(snapshot.taken, values, problems, target.labels))
        self._metrics.publish(key, self._values.get(key, {}), values)
        self._values[key] = values

    def _tell(self, target: Target, decision: Decision, wall: int) -> None:
        """Log, count and trace a change of mind."""
        key = (target.namespace, target.name)
        before = self._desired.get(key, target.replicas)
        self._desired[key] = decision.to
        if decision.to == before:
            return
        self._metrics.decisions.labels(decision.reason, "up" if decision.to > before else "down").inc()
        fields: dict[str, str | int] = {
            "from": before,
            "to": decision.to,
            "reason": decision.reason.value,
            "decision": decision.message,
        }
        logger.info("decision", extra={"namespace": key[0], "deployment": key[1], **fields})
        attributes = {"k8s.namespace.name": key[0], "autoglm.deployment": key[1]}
        with tracer.start_as_current_span("scale", start_time=wall, attributes=attributes) as span:
            span.add_event("decision", {**fields, "causes": [need.because for need in decision.causes]})

    def forget(self, key: Key) -> None:
        """Drop a deployment that is gone."""
        self._published.forget(key)
        self._writer.forget(key)
        self._metrics.publish(key, self._values.pop(key, {}), {})
        self._desired.pop(key, None)
        self._saturated.pop(key, None)

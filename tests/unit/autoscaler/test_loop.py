import asyncio
from types import SimpleNamespace

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from autoglm_operator.api.signals import DESIRED_REPLICAS, QUEUE_DEPTH
from autoglm_operator.api.v1alpha1 import Autoscaling
from autoglm_operator.autoscaler.engine_metrics import EngineSample, ScrapeError
from autoglm_operator.autoscaler.loop import Loop
from autoglm_operator.autoscaler.metrics import CATALOGUE, Metrics
from autoglm_operator.autoscaler.pods import EnginePod, Target
from autoglm_operator.autoscaler.published import Published, Unavailable, Unknown

KEY = ("prod", "phone")


class World:
    """One deployment whose pods say what the test lets them say."""

    def __init__(self, interval=3.0):
        self.targets = {KEY: Target(*KEY, "u", 1, Autoscaling(max_replicas=8), 16)}
        self.pods = [EnginePod("prod", "a", "uid-a", "phone", "10.0.0.1", True, False)]
        self.waiting = 0
        self.error = None
        self.scraped = []
        self.written = []
        self.metrics = Metrics()
        self.published = Published(interval)
        writer = SimpleNamespace(write=self._write, forget=lambda key: None)
        self.loop = Loop(self, self, self.published, writer, self.metrics, interval=interval)

    def on_pod_gone(self, call):
        self.pod_gone = call

    def on_target_gone(self, call):
        self.target_gone = call

    def pods_of(self, key):
        return self.pods if key == KEY else []

    async def engine(self, pod):
        self.scraped.append((asyncio.get_running_loop().time(), pod.uid))
        if self.error:
            raise self.error
        return EngineSample(asyncio.get_running_loop().time(), 16, self.waiting, 0.1, None, None)

    async def agent(self, pod):
        raise ScrapeError("refused", "no agent")

    async def _write(self, target, decision, latencies, serving):
        if decision is not None:
            self.written.append(decision)

    def value(self, metric):
        return self.published.one(*KEY, metric.name).value

    def series(self, name="autoglm_autoscaler_signal"):
        families = [family for family in self.metrics.registry.collect() if family.name == name]
        return {
            tuple(sample.labels.values()): sample.value
            for sample in families[0].samples
            if "_created" not in sample.name
        }


@pytest.fixture
def world():
    return World()


@pytest.fixture(scope="module")
def spans():
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


async def test_the_first_scrape_that_sees_a_backlog_orders_replicas(world, spans, caplog):
    caplog.set_level("INFO")
    spans.clear()
    await world.loop.visit(KEY)
    assert (world.value(DESIRED_REPLICAS), spans.get_finished_spans()) == (1, ())
    world.waiting = 60
    await world.loop.visit(KEY)
    assert (world.value(DESIRED_REPLICAS), world.value(QUEUE_DEPTH)) == (5, 60)
    assert world.written[-1].to == 5
    await world.loop.visit(KEY)
    (span,) = spans.get_finished_spans()
    assert span.events[0].attributes["decision"].startswith("1 → 5 replicas: 60 requests wait")
    assert [record.reason for record in caplog.records] == ["QueueBacklog"]
    assert world.series("autoglm_autoscaler_decisions")["QueueBacklog", "up"] == 1


async def test_an_engine_that_stops_answering_becomes_an_error(world):
    world.waiting = 60
    await world.loop.visit(KEY)
    world.error = ScrapeError("timeout", "no answer within 2 s")
    history = world.loop._store.history("uid-a")
    history.samples.append(EngineSample(history.samples.pop().taken - 9.5, 16, 60, 0.1, None, None))
    history.ready_since -= 20
    await world.loop.visit(KEY)
    for metric in (QUEUE_DEPTH, DESIRED_REPLICAS):
        with pytest.raises(Unavailable, match="no answer within 2 s"):
            world.value(metric)
    assert world.series() == {}


async def test_without_autoscaling_signals_are_served_and_nothing_is_decided(world):
    world.targets[KEY] = Target(*KEY, "u", 1, None)
    await world.loop.visit(KEY)
    assert world.value(QUEUE_DEPTH) == 0
    with pytest.raises(Unavailable, match=r"spec\.autoscaling is not set"):
        world.value(DESIRED_REPLICAS)
    assert world.written == []


async def test_before_the_first_pod_is_ready_the_number_stays(world):
    world.pods = [EnginePod("prod", "a", "uid-a", "phone", "", False, False)]
    await world.loop.visit(KEY)
    assert (world.value(DESIRED_REPLICAS), world.scraped) == (1, [])
    with pytest.raises(Unavailable, match="1 starting"):
        world.value(QUEUE_DEPTH)


async def test_what_is_gone_is_forgotten(world):
    await world.loop.visit(KEY)
    assert ("prod", "phone", QUEUE_DEPTH.name) in world.series()
    del world.targets[KEY]
    world.target_gone(KEY)
    world.pod_gone("uid-a")
    assert world.series() == {}
    assert len(world.loop._store) == 0
    with pytest.raises(Unknown):
        world.value(QUEUE_DEPTH)
    await world.loop.visit(KEY)
    with pytest.raises(Unknown):
        world.value(QUEUE_DEPTH)


async def test_visits_are_spread_and_a_failing_one_stops_nobody(caplog):
    world = World(interval=0.2)
    world.targets = {("prod", f"d{index}"): Target("prod", f"d{index}", "u", 1, None) for index in range(4)}
    world.pods_of = lambda key: [EnginePod("prod", key[1], key[1], key[1], "10.0.0.1", True, False)]
    world.error = RuntimeError("bug")
    task = asyncio.create_task(world.loop.run())
    await asyncio.sleep(0.5)
    task.cancel()
    first = world.scraped[:4]
    assert [name for _, name in first] == ["d0", "d1", "d2", "d3"]
    assert 0.08 < first[3][0] - first[0][0] < 0.2
    assert len(world.scraped) >= 8
    assert "bug" in caplog.text


def test_the_catalogue_is_what_is_exposed(world):
    exposed = {family.name for family in world.metrics.registry.collect()}
    assert {metric.name.removesuffix("_total") for metric in CATALOGUE} <= exposed
    assert len({metric.name for metric in CATALOGUE}) == len(CATALOGUE)

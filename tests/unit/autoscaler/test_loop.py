import asyncio
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from autoglm_operator.api.signals import DESIRED_REPLICAS, QUEUE_DEPTH, RUNNING_REQUESTS
from autoglm_operator.api.status import Actuation
from autoglm_operator.api.v1alpha1 import Autoscaling, Tolerance
from autoglm_operator.autoscaler.actuator import Actuator
from autoglm_operator.autoscaler.agent_state import AgentSample
from autoglm_operator.autoscaler.drains import Drains
from autoglm_operator.autoscaler.engine_metrics import EngineSample, ScrapeError
from autoglm_operator.autoscaler.judge import Judge
from autoglm_operator.autoscaler.loop import Loop
from autoglm_operator.autoscaler.memory import Memory
from autoglm_operator.autoscaler.metrics import Metrics
from autoglm_operator.autoscaler.metrics_api.published import Published, Unavailable, Unknown
from autoglm_operator.autoscaler.pods import EnginePod, Target
from autoglm_operator.autoscaler.quota import Quotas
from autoglm_operator.decide.scaling.elastic import ELASTIC_PERIODS
from autoglm_operator.kube.errors import ApiError

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
        parts = {"judge": Judge(interval), "drains": Drains(self, lambda: False, interval=interval)}
        parts |= {"actuator": Actuator(self, lambda: True, self.metrics)}
        self.kept = {}
        self.quotas = Quotas(None, [])
        self.memory = Memory(self, lambda: False, parts["judge"])
        parts |= {"quotas": self.quotas, "memory": self.memory}
        self.loop = Loop(self, self, self.published, writer, self.metrics, **parts, interval=interval)

    def on_pod_gone(self, call):
        self.pod_gone = call

    def on_target_gone(self, call):
        self.target_gone = call

    def pods_of(self, key):
        return self.pods if key == KEY else []

    async def get(self, _, kind, namespace, name):
        if kind in self.kept:
            return self.kept[kind]
        raise ApiError(404, {}, f"GET {namespace}/{name}")

    async def engine(self, pod):
        self.scraped.append((asyncio.get_running_loop().time(), pod.uid))
        if self.error:
            raise self.error
        return EngineSample(asyncio.get_running_loop().time(), 16, self.waiting, 0.1, None, None)

    async def agent(self, pod):
        raise ScrapeError("refused", "no agent")

    async def _write(self, target, decision, latencies, serving, *_):
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
    assert span.events[-1].attributes["sentence"].startswith("1 → 5 replicas: 60 requests wait")
    assert [record.reason for record in caplog.records] == ["QueueBacklog"]
    assert world.series("autoglm_autoscaler_decisions")["QueueBacklog", "up"] == 1
    exposed = world.metrics.exposition.render("application/openmetrics-text;version=1.0.0")[1].decode()
    (traced,) = [line for line in exposed.splitlines() if " # {" in line]
    assert traced.startswith("autoglm_autoscaler_tick_duration_seconds_bucket")
    assert f'trace_id="{span.context.trace_id:032x}"' in traced


async def test_a_decision_leads_to_its_span_for_as_long_as_it_holds(world, spans):
    spans.clear()
    await world.loop.visit(KEY)
    assert world.written[-1].traceparent is None
    world.waiting = 60
    await world.loop.visit(KEY)
    await world.loop.visit(KEY)
    (span,) = spans.get_finished_spans()
    context = span.context
    reference = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
    assert [decision.traceparent for decision in world.written[-2:]] == [reference, reference]
    assert dict(span.attributes) == {
        "k8s.namespace.name": "prod",
        "autoglm.deployment.name": "phone",
        "autoglm.decision.from": 1,
        "autoglm.decision.to": 5,
        "autoglm.decision.reason": "QueueBacklog",
        "autoglm.decision.candidates": ("QueueBacklog=5",),
    }
    assert [event.attributes["reason"] for event in span.events] == ["Steady", "QueueBacklog"]
    assert span.events[0].timestamp < span.events[1].timestamp
    assert span.events[1].attributes["candidates"] == ("QueueBacklog=5",)


async def test_scrapes_that_failed_or_were_slow_are_below_the_decision(world, spans):
    spans.clear()
    world.pods.append(replace(world.pods[0], name="b", uid="uid-b"))
    world.pods.append(replace(world.pods[0], name="c", uid="uid-c"))
    answer = world.engine

    async def engine(pod):
        if pod.name == "b":
            raise ScrapeError("timeout", "no answer within 2 s")
        if pod.name == "c":
            await asyncio.sleep(0.6)
        return await answer(pod)

    world.engine = engine
    world.waiting = 60
    await world.loop.visit(KEY)
    *scrapes, decision = spans.get_finished_spans()
    assert {(span.attributes["k8s.pod.name"], span.status.description) for span in scrapes} == {
        ("b", "no answer within 2 s"),
        ("c", None),
    }
    assert all(span.parent.span_id == decision.context.span_id for span in scrapes)
    slow = next(span for span in scrapes if span.attributes["k8s.pod.name"] == "c")
    assert slow.end_time - slow.start_time > 0.5e9


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


async def asks(world, tolerance, times):
    """Visit while the agent asks for a smaller batch than the 16 that run, at each answer."""
    world.targets[KEY] = Target(*KEY, "u", 1, Autoscaling(max_replicas=8), 16, tolerance=tolerance)

    async def agent(_):
        return AgentSample(asyncio.get_running_loop().time(), (), requested_max_num_seqs=8)

    world.agent = agent
    for _ in range(times):
        world.loop._store.history("uid-a").agent_asked = None
        await world.loop.visit(KEY)
    return world.written[-1]


async def test_a_smaller_batch_that_an_agent_asks_for_orders_replicas_once_it_lasted(world):
    assert (await asks(world, Tolerance.ELASTIC, ELASTIC_PERIODS - 1)).to == 1
    decision = await asks(world, Tolerance.ELASTIC, 1)
    assert decision.to == 2
    assert "agents of 1 of 1 replicas ask for at most 8 requests at once" in decision.message
    assert world.value(QUEUE_DEPTH) == 0, "what is served is what the engine says"


async def test_under_strict_an_agent_asks_in_vain(world):
    assert (await asks(world, Tolerance.STRICT, ELASTIC_PERIODS)).to == 1


async def test_a_request_of_an_agent_that_fell_silent_counts_no_more(world):
    await asks(world, Tolerance.ELASTIC, ELASTIC_PERIODS)
    history = world.loop._store.history("uid-a")
    history.gpu = replace(history.gpu, taken=history.gpu.taken - 60.0)
    history.agent_asked = asyncio.get_running_loop().time()
    await world.loop.visit(KEY)
    assert world.written[-1].to == 1


async def test_events_are_counted_and_gone_with_the_deployment(world):
    world.pods[0] = replace(world.pods[0], created=time.time() + 60)
    await world.loop.visit(KEY)
    assert world.series("autoglm_autoscaler_slo_requests")["prod", "phone", "availability"] == 0
    assert ("prod", "phone") in world.series("autoglm_autoscaler_demand_requests_per_second")
    world.target_gone(KEY)
    assert world.series("autoglm_autoscaler_slo_requests") == {}
    assert world.series("autoglm_autoscaler_demand_requests_per_second") == {}


async def test_a_quota_bounds_what_is_ordered_and_the_decision_says_so(world):
    world.waiting = 60
    meta = {"namespace": "prod", "name": "team", "resourceVersion": "1"}
    world.quotas.reflector.store({"metadata": meta, "status": {"hard": {"pods": "3"}, "used": {"pods": "1"}}})
    for _ in range(2):
        await world.loop.visit(KEY)
    assert world.written[-1].to == 3
    assert "ResourceQuota team of namespace prod allows 3 replicas of 1 pod" in world.written[-1].message
    assert [limit.reason for limit in world.written[-1].limits] == ["QuotaReached"]


async def test_each_decision_is_remembered_with_its_bounds(world):
    world.waiting = 60
    for _ in range(3):
        await world.loop.visit(KEY)
    records = world.memory._kept[KEY].ring.records
    assert (records[-1].to, records[-1].inputs.bounds) == (5, "minReplicas is 1 and maxReplicas 8")
    world.target_gone(KEY)
    assert world.memory._kept == {}


async def test_what_cannot_be_kept_is_a_limit(world):
    world.kept["ConfigMap"] = {"metadata": {"name": "phone-autoscaling"}}
    await world.loop.visit(KEY)
    assert [limit.reason for limit in world.written[-1].limits] == ["MemoryNotKept"]


async def test_a_replica_on_its_way_out_counts_for_nothing_but_keeps_the_number_up(world):
    ours = Actuation(path="HPA", message="m")
    world.targets[KEY] = Target(*KEY, "u", 2, Autoscaling(max_replicas=8), 16, actuation=ours)
    leaving = replace(world.pods[0], name="b", uid="uid-b", serving=False, draining_since=time.time())
    world.pods.append(leaving)
    await world.loop.visit(KEY)
    assert len(world.scraped) == 2
    assert (world.value(RUNNING_REQUESTS), world.value(DESIRED_REPLICAS)) == (16, 2)
    assert "1 of 2 replicas finishes 16 requests before it goes" in world.written[-1].message
    world.pods[1] = replace(leaving, drained=True)
    await world.loop.visit(KEY)
    assert world.value(DESIRED_REPLICAS) == 1

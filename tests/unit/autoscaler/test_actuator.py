"""Which replicas are written, and when: pure rules first, then the writer on a stand-in for the client."""

import asyncio
from dataclasses import replace
from itertools import pairwise

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from autoglm_operator.api.status import Actuation
from autoglm_operator.api.v1alpha1 import Autoscaling, ScheduledBounds
from autoglm_operator.autoscaler import actuator as module
from autoglm_operator.autoscaler.actuator import Actuator, order
from autoglm_operator.autoscaler.judge import Judge
from autoglm_operator.autoscaler.metrics import Metrics
from autoglm_operator.autoscaler.pods import Target
from autoglm_operator.autoscaler.snapshot import take
from autoglm_operator.autoscaler.store import History
from autoglm_operator.decide.scaling.bounds import bounds_of
from autoglm_operator.decide.scaling.needs import ScalingReason
from autoglm_operator.decide.scaling.rule import Decision
from autoglm_operator.kube.errors import ApiError, ConnectionLost

KEY = ("prod", "phone")


def target(path="HPA", replicas=3, **autoscaling):
    bounds = Autoscaling(**{"min_replicas": 2, "max_replicas": 8} | autoscaling)
    actuation = Actuation(path=path, message="m") if path else None
    return Target("prod", "phone", "u", replicas, bounds, actuation=actuation)


@pytest.mark.parametrize(
    ("path", "wanted", "written"),
    [
        ("HPA", 5, 5),
        ("HPA", 3, None),
        ("HPA", 1, None),
        ("HPA", 12, 8),
        ("Direct", 5, 5),
        ("Direct", 3, None),
        ("Direct", 2, 2),
        ("Direct", 0, 2),
        ("Direct", 12, 8),
        ("KEDA", 5, None),
        ("Foreign", 5, None),
        ("None", 5, None),
        ("", 5, None),
    ],
)
def test_what_each_path_writes(path, wanted, written):
    assert order(target(path), wanted) == written


@pytest.mark.parametrize("path", ["HPA", "Direct"])
def test_zero_replicas_and_autoscaling_that_is_off_stay(path):
    assert order(target(path, replicas=0), 5) is None
    assert order(replace(target(path), autoscaling=None), 5) is None


def test_a_schedule_may_raise_the_most():
    night = ScheduledBounds(schedule="0 1 * * *", duration="1h", max_replicas=20)
    assert order(target(schedules=(night,)), 15) == 15
    assert order(target(schedules=(night,)), 25) == 20


class Api:
    """Records writes of `/scale`, and refuses those that it is told to."""

    def __init__(self):
        self.written = []
        self.errors = []
        self.gate = None

    async def scale(self, obj, manager, *, before, to):
        self.written.append((obj["metadata"]["uid"], manager, before, to))
        if self.gate is not None:
            await self.gate.wait()
        if self.errors:
            raise self.errors.pop(0)


@pytest.fixture
def api():
    return Api()


@pytest.fixture
def metrics():
    return Metrics()


@pytest.fixture
def actuator(api, metrics, clock):
    return Actuator(api, lambda: True, metrics, clock)


def decision(to, traceparent=None):
    return Decision(to, ScalingReason.QUEUE, f"3 → {to} replicas: requests wait", traceparent=traceparent)


def counted(metrics):
    (family,) = [item for item in metrics.registry.collect() if item.name == "autoglm_autoscaler_scale_writes"]
    return {tuple(sample.labels.values()): sample.value for sample in family.samples if sample.value}


async def test_a_step_of_demand_is_written_at_once_and_counted(actuator, api, metrics, clock, caplog):
    caplog.set_level("INFO")
    await actuator.act(target(), decision(5))
    assert api.written == [("u", "autoglm-autoscaler", 3, 5)]
    assert counted(metrics) == {("HPA", "ok"): 1}
    (record,) = caplog.records
    assert (record.message, getattr(record, "from"), record.to, record.path) == ("replicas written", 3, 5, "HPA")


async def test_only_the_leader_writes(api, metrics, clock):
    await Actuator(api, lambda: False, metrics, clock).act(target(), decision(5))
    assert api.written == []


async def test_directly_replicas_go_as_decided(actuator, api):
    await actuator.act(target("Direct", replicas=6), decision(2))
    assert api.written == [("u", "autoglm-autoscaler", 6, 2)]


async def test_what_is_gone_is_forgotten(actuator, api, clock):
    api.errors = [ConnectionLost("cut")]
    await actuator.act(target("Direct"), decision(5))
    actuator.forget(KEY)
    await actuator.act(target("Direct"), decision(5))
    assert len(api.written) == 2


def conflict():
    return ApiError(422, {"message": "testing value /spec/replicas failed"}, "PATCH")


async def test_whoever_was_first_wins_and_the_next_tick_decides_anew(actuator, api, metrics, clock, caplog):
    api.errors = [conflict()]
    await actuator.act(target(), decision(5))
    await actuator.act(target(replicas=4), decision(5))
    assert [(before, to) for *_, before, to in api.written] == [(3, 5), (4, 5)]
    assert counted(metrics) == {("HPA", "conflict"): 1, ("HPA", "ok"): 1}
    assert caplog.records == [], "nothing is wrong"


async def test_a_conflict_long_ago_does_not_count(actuator, api):
    api.errors = [conflict() for _ in range(10)]
    for _ in range(10):
        await actuator.act(target(), decision(5))
        await actuator.act(target(replicas=5), decision(5))
    assert len(api.written) == 10


async def test_conflicts_without_an_end_are_a_failure(actuator, api, clock):
    api.errors = [conflict() for _ in range(10)]
    for _ in range(10):
        await actuator.act(target(), decision(5))
        clock.now += 1.0
    assert len(api.written) == module._CONFLICTS + 1


async def test_after_failures_pauses_grow_and_the_trouble_is_told_once(actuator, api, metrics, clock, caplog):
    refused = ApiError(403, {"message": "may not patch autoglmdeployments/scale"}, "PATCH")
    api.errors = [refused] * 99
    tries = []
    for _ in range(200):
        seen = len(api.written)
        await actuator.act(target(), decision(5))
        tries += [clock.now] if len(api.written) > seen else []
        clock.now += 1.0
    assert [later - sooner for sooner, later in pairwise(tries)] == [
        5.0,
        10.0,
        20.0,
        40.0,
        60.0,
        60.0,
    ]
    assert [record.message for record in caplog.records] == ["replicas not written"]
    assert counted(metrics) == {("HPA", "failed"): len(tries)}
    api.errors = []
    clock.now += 60.0
    await actuator.act(target(), decision(5))
    await actuator.act(target(), decision(6))
    assert api.written[-1][-1] == 6, "after a success nothing is left of the pauses"


async def test_a_write_that_hangs_does_not_hold_up_the_tick(actuator, api, metrics, monkeypatch, caplog):
    monkeypatch.setattr(module, "_WRITE_SECONDS", 0.01)
    api.gate = asyncio.Event()
    await actuator.act(target(), decision(5))
    assert counted(metrics) == {("HPA", "failed"): 1}
    assert caplog.records[0].error == "no answer within 0 s"


async def test_one_write_at_a_time(actuator, api):
    api.gate = asyncio.Event()
    first = asyncio.create_task(actuator.act(target(), decision(5)))
    await asyncio.sleep(0)
    await actuator.act(target(), decision(6))
    api.gate.set()
    await first
    assert [to for *_, to in api.written] == [5]


@pytest.fixture
def spans(monkeypatch):
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(module, "tracer", provider.get_tracer("test"))
    return exporter


async def test_a_write_is_a_span_below_its_decision(actuator, api, clock, spans):
    parent = "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"
    api.errors = [ConnectionLost("cut")]
    await actuator.act(target(), decision(5, parent))
    clock.now += 60.0
    await actuator.act(target(), decision(5, parent))
    await actuator.act(target(), decision(6))
    failed, done = spans.get_finished_spans()
    assert f"{done.parent.span_id:016x}" == "cd" * 8
    assert f"{done.context.trace_id:032x}" == "ab" * 16
    assert dict(done.attributes) == {
        "k8s.namespace.name": "prod",
        "autoglm.deployment.name": "phone",
        "autoglm.actuation.path": "HPA",
        "autoglm.replicas.from": 3,
        "autoglm.replicas.to": 5,
    }
    assert failed.status.description == "cut"


async def test_a_restart_in_the_middle_of_a_spike_keeps_the_replicas(actuator, api, clock, pod, sample):
    """Six replicas, whose queues are empty for a moment when this process begins: it cannot know what they are for."""
    ordered = target("Direct", replicas=6, scale_down_hold="2m")
    rows = [(replace(pod(f"phone-7d4f-{number}"), ip="10.0.0.1"), History(ready_since=0.0)) for number in range(6)]
    judge, began = Judge(2.5, clock), clock.now
    while not api.written:
        clock.now += 2.5
        for _, history in rows:
            history.add(sample(clock.now, running=1))
        bounds = bounds_of(ordered.autoscaling, clock.now, None)
        await actuator.act(ordered, judge.judge(ordered, rows, take(rows, clock.now, 2.5), bounds, clock.now))
        assert clock.now - began < 600.0, "in the end they go"
    assert clock.now - began >= 120.0
    assert api.written[0][-1] < 6

"""What is counted and shown of a deployment while its pods come and go."""

from dataclasses import replace

import pytest

from autoglm_operator.api.status import Bottleneck, Serving
from autoglm_operator.api.v1alpha1 import Autoscaling
from autoglm_operator.autoscaler.agent_state import Activity, AgentSample
from autoglm_operator.autoscaler.following import Following
from autoglm_operator.autoscaler.metrics import Metrics
from autoglm_operator.autoscaler.pods import EnginePod, Target
from autoglm_operator.autoscaler.snapshot import take
from autoglm_operator.decide.bottleneck import Setup
from autoglm_operator.decide.scaling.bounds import bounds_of
from autoglm_operator.decide.scaling.rule import Case, Forecast, decide

KEY = ("prod", "phone")
STARTED = 5000.0
TARGET = Target(*KEY, "u", 2, Autoscaling(max_replicas=8), 16, setup=Setup(max_replicas=8, batch=16, ttft=2.0, itl=0.1))


@pytest.fixture
def metrics():
    return Metrics()


@pytest.fixture
def following(metrics):
    return Following(metrics, interval=3.0, started=STARTED)


def pod(name, created, ready=True):
    return EnginePod("prod", name, f"uid-{name}", "phone", "10.0.0.1", ready, unschedulable=False, created=created)


NEW, OLD = pod("new", STARTED + 60), pod("old", STARTED - 60)


def shown(series):
    (family,) = series.collect()
    return {tuple(sample.labels.values())[2:]: sample.value for sample in family.samples}


def test_a_pod_of_before_this_process_counts_from_its_first_sample_on(following, metrics, history, sample):
    known = history(replace(sample(0.0), ended=1000.0))
    following.count(TARGET, [(OLD, known)])
    assert shown(metrics.slo_requests) == {}
    known.add(replace(sample(3.0), ended=1004.0, failed=1.0))
    following.count(TARGET, [(OLD, known)])
    assert shown(metrics.slo_requests)["availability",] == 4
    assert shown(metrics.slo_good)["availability",] == 3


def test_a_pod_that_is_new_counts_as_a_whole(following, metrics, history, sample):
    following.count(TARGET, [(NEW, history(replace(sample(0.0), ended=6.0, generation_tokens=90.0)))])
    assert shown(metrics.slo_requests)["availability",] == 6
    assert shown(metrics.tokens)["output",] == 90


def test_a_sample_counts_once(following, metrics, history, sample):
    known = history(replace(sample(0.0), ended=6.0))
    for _ in range(3):
        following.count(TARGET, [(NEW, known)])
    assert shown(metrics.slo_requests)["availability",] == 6


def test_what_a_pod_counted_stays_when_it_goes(following, metrics, history, sample):
    following.count(TARGET, [(NEW, history(replace(sample(0.0), ended=6.0)))])
    following.count(TARGET, [(pod("other", STARTED + 90), history(replace(sample(3.0), ended=2.0)))])
    assert shown(metrics.slo_requests)["availability",] == 8


def busy(history, sample, *, until=60, **fields):
    known = history()
    for second in range(0, until + 1, 3):
        known.add(replace(sample(float(second), running=16, waiting=9, kv=0.3), **fields))
    return known


def test_demand_capacity_and_needs(following, metrics, history, sample):
    known = history(sample(90.0, running=16, waiting=30), sample(100.0, running=16, waiting=60, ttft=(20,)))
    snapshot = take([(NEW, known)], 100.0, 3.0)
    bounds = bounds_of(TARGET.autoscaling, 0.0, None)
    decision = decide(Case(TARGET.autoscaling, bounds, TARGET.batch, TARGET.replicas, snapshot.signals))
    following.show(TARGET, snapshot, decision, snapshot.signals.saturated_rate)
    # 20 first tokens and 30 more that wait, in 10 s.
    assert shown(metrics.demand) == {(): 5.0}
    assert shown(metrics.capacity) == {(): 2.0}
    assert shown(metrics.need) == {("queue",): 5.0}
    assert shown(metrics.forecast) == {}
    told = replace(
        decision,
        forecast=Forecast(5.0, 2.0, 6.0, 9.0, 240.0),
        candidates=(("QueueBacklog", 5.0), ("Hold", 4.2), ("QueueBacklog", 3.5), ("ColdStartLead", 3.1), ("Load", 2.6)),
    )
    following.show(TARGET, snapshot, told, 2.0)
    assert shown(metrics.need) == {
        ("queue",): 5.0,
        ("hold",): 4.2,
        ("backlog",): 3.5,
        ("forecast",): 3.1,
        ("load",): 2.6,
    }
    assert shown(metrics.forecast) == {("expected",): 6.0, ("upper",): 9.0}
    following.show(TARGET, take([], 100.0, 3.0), None, None)
    assert (shown(metrics.forecast), shown(metrics.demand)) == ({}, {})
    assert (shown(metrics.capacity), shown(metrics.need)) == ({}, {})


def look(following, known, now, target=TARGET, ready=NEW):
    return following.look(target, [(ready, known)], take([(ready, known)], now, 3.0), now)


def test_the_present_cause_is_one_and_the_others_are_zero(following, metrics, history, sample, caplog):
    caplog.set_level("INFO")
    known = busy(history, sample)
    known.add_agent(AgentSample(59.0, (0.5,), activity=Activity(0.9, 0.1, 0.4)))
    found = look(following, known, 60.0)
    assert (found.cause, found.knob) == ("queue", "spec.engine.batching.maxNumSeqs: 25")
    causes = shown(metrics.bottleneck)
    assert [cause for (cause,), value in causes.items() if value] == ["queue"]
    assert len(causes) == 7
    assert shown(metrics.evidence) == {
        ("sm",): 0.9,
        ("tensor",): 0.1,
        ("dram",): 0.4,
        ("kv_cache",): pytest.approx(0.3),
        ("batch",): 1.0,
        ("gpu_memory",): 0.5,
    }
    (told,) = caplog.records
    assert (told.reason, told.deployment) == ("queue", "phone")
    assert "9 requests wait for each replica while 16 run in 16 places" in told.bottleneck


def test_without_enough_samples_what_is_written_stays(following, history, sample):
    written = Bottleneck(cause="queue", evidence="told by the process before")
    target = replace(TARGET, serving=Serving(bottleneck=written))
    assert look(following, history(sample(60.0)), 60.0, target) == written
    assert look(following, history(sample(60.0)), 60.0) is None


def test_without_a_ready_replica_nothing_limits(following, metrics, history, sample):
    known = busy(history, sample)
    look(following, known, 60.0)
    assert look(following, known, 60.0, ready=pod("new", STARTED, ready=False)) is None
    assert (shown(metrics.bottleneck), shown(metrics.evidence)) == ({}, {})


def test_at_rest_the_same_is_said_for_ever(following, history, sample):
    known, said = history(), set()
    for tick in range(400):
        known.add(sample(tick * 3.0))
        said.add(str(look(following, known, tick * 3.0)))
    assert len(said - {"None"}) == 1


def test_under_load_the_numbers_are_told_anew_every_ten_minutes(following, history, sample):
    known, said = history(), []
    for tick in range(400):
        known.add(sample(tick * 3.0, running=16, waiting=9 + tick // 40, kv=0.3))
        if (found := look(following, known, tick * 3.0)) and found not in said:
            said.append(found)
    assert [found.cause for found in said] == ["queue"] * 2

"""How law and reactive rule go together, and what is remembered of a deployment."""

import json
from array import array
from dataclasses import replace

import pytest

from autoglm_operator.api.status import Serving
from autoglm_operator.api.v1alpha1 import Autoscaling
from autoglm_operator.autoscaler.engine_metrics import EngineSample
from autoglm_operator.autoscaler.judge import Judge
from autoglm_operator.autoscaler.learned import DEFAULT_LEAD
from autoglm_operator.autoscaler.pods import EnginePod, Target
from autoglm_operator.autoscaler.snapshot import take
from autoglm_operator.autoscaler.store import History
from autoglm_operator.decide.bottleneck import Setup
from autoglm_operator.decide.law.capacity import SURE, Speed
from autoglm_operator.decide.scaling.bounds import bounds_of
from autoglm_operator.decide.scaling.needs import ScalingReason
from autoglm_operator.decide.scaling.quantiles import Histogram

KEY = ("prod", "phone")
TICK = 5.0
BOUNDS = (0.02, 0.03, 0.04, 0.05, 0.06, 0.1, 0.2)
PRIOR = Speed(0.015, 0.00015, 0.000135, 128.0, 144_000.0)
SPEC = Autoscaling.model_validate(
    {"maxReplicas": 20, "objective": {"ttftP99": "2s", "itlP99": "60ms"}, "scaleDownHold": "60s"}
)
TARGET = Target(*KEY, "u", 2, SPEC, 128, setup=Setup(ttft=2.0, itl=0.06), spec_prior=PRIOR, lead=60.0)


class World:
    """Replicas of the speed of `PRIOR` that share what arrives: prompts of 1,000 tokens, answers of 250."""

    def __init__(self, target=TARGET, replicas=2):
        self.target = replace(target, replicas=replicas)
        self.judge = Judge(TICK, clock=lambda: 1.8e9)
        self.now = 0.0
        self.pods = {}
        self.starting = 0
        self.unschedulable = 0
        self.counters = True
        self.slower = 1.0
        self.decision = None

    def ready(self):
        return self.target.replicas - self.starting - self.unschedulable

    def tick(self, rate=0.0, times=1, *, waiting=0):
        for _ in range(times):
            self.now += TICK
            rows = [self._row(f"p{index}", rate, waiting) for index in range(self.ready())]
            rows += [self._not_ready(f"s{index}", unschedulable=False) for index in range(self.starting)]
            rows += [self._not_ready(f"u{index}", unschedulable=True) for index in range(self.unschedulable)]
            snapshot = take(rows, self.now, TICK)
            bounds = bounds_of(self.target.autoscaling, 0.0, None)
            self.decision = self.judge.judge(self.target, rows, snapshot, bounds, self.now)
        return self.decision

    def follow(self, rate=0.0, times=1, **more):
        """Tick, and do at once what is decided."""
        for _ in range(times):
            self.target = replace(self.target, replicas=self.tick(rate, **more).to)
        return self.decision

    def _row(self, uid, rate, waiting):
        history, begun = self.pods.setdefault(uid, (History(ready_since=self.now), 0.0))
        begun += round(rate * TICK / self.ready())
        self.pods[uid] = history, begun
        itl = self.slower * PRIOR.decode_base / max(0.1, 1 - rate / self.ready() * (0.135 + 250 * 0.00015))
        gaps = begun * 250
        good = [gaps if itl <= bound else 0 for bound in BOUNDS]
        told = EngineSample(
            self.now,
            rate / self.ready() * 250 * itl,
            waiting,
            0.1,
            Histogram((1.0, 2.0), array("d", (begun, begun, begun))),
            Histogram(BOUNDS, array("d", (*good, gaps))),
        )
        if self.counters:
            told = replace(
                told, prompt_tokens=begun * 1000, generation_tokens=gaps, itl_seconds=gaps * itl, ended=begun
            )
        else:
            told = replace(told, ttft=None, itl=None)
        history.add(told)
        return EnginePod(*KEY[:1], uid, uid, "phone", "10.0.0.1", ready=True, unschedulable=False), history

    @staticmethod
    def _not_ready(uid, *, unschedulable):
        pod = EnginePod(*KEY[:1], uid, uid, "phone", "10.0.0.1", ready=False, unschedulable=unschedulable)
        return pod, History()


def test_a_believed_capacity_orders_by_demand_and_says_so():
    world = World()
    world.tick(2.0)
    decision = world.tick(60.0, 2)
    assert decision.reason in {ScalingReason.LOAD, ScalingReason.LEAD}
    assert decision.candidates[0][1] > 10
    assert decision.to == 4, "at most twice the ready ones, until it is learned"
    assert decision.message.startswith("2 → 4 replicas: ")
    assert "one replica carries" in decision.message
    assert {cause for cause, _ in decision.candidates} >= {"Load"}
    assert [replicas for _, replicas in decision.candidates] == sorted(
        (replicas for _, replicas in decision.candidates), reverse=True
    )
    assert decision.forecast.demand > 2
    assert decision.forecast.upper >= decision.forecast.expected
    assert decision.forecast.lead == 1.1 * 60 + 15


def test_an_unknown_replica_is_learned_before_the_law_counts():
    world = World(replace(TARGET, spec_prior=None))
    for _ in range(SURE):
        decision = world.tick(7.0)
        assert (decision.to, decision.forecast) == (2, None), "nothing measured asks for more"
        assert world.judge.capacity(KEY) is None
    decision = world.tick(9.0, 20)
    assert decision.to > 2
    assert decision.forecast.capacity == world.judge.capacity(KEY)


def test_what_is_measured_orders_while_nothing_is_known():
    world = World(replace(TARGET, spec_prior=None))
    decision = world.tick(waiting=200)
    assert (decision.reason, decision.to) == (ScalingReason.QUEUE, 4)
    assert decision.candidates[0] == ("QueueBacklog", 4.0)


def test_replicas_without_a_node_do_not_count_as_coming():
    world = World(replicas=4)
    world.unschedulable = 2
    world.tick(2.0, SURE + 10)
    decision = world.tick(30.0, 2)
    assert (decision.to, decision.reason) == (4, ScalingReason.UNSCHEDULABLE)
    assert "no node takes 2 of the 4 already ordered" in decision.message


def test_pods_that_start_are_not_ordered_again():
    world = World()
    world.tick(20.0, SURE)
    first = world.tick(40.0, 60).to
    assert first > 2
    world.target = replace(world.target, replicas=first)
    world.starting = first - 2
    assert {world.tick(40.0).to for _ in range(10)} == {first}


@pytest.mark.parametrize(("prior", "rate"), [(PRIOR, 24.0), (None, 32.0)], ids=["law", "reactive"])
def test_replicas_go_after_the_hold_of_the_spec(prior, rate):
    world = World(replace(TARGET, spec_prior=prior), replicas=8)
    assert world.tick(rate, 20).to == 8
    assert "needs are known for only" not in world.decision.message
    kept = [world.follow(0.0).to for _ in range(100)]
    gone = next(place for place, to in enumerate(kept) if to < 8)
    assert (gone + 1) * TICK >= 60
    assert kept[-1] == 1


def test_nothing_goes_before_the_hold_was_watched():
    world = World(replicas=8)
    assert world.tick(1.0, 12).to == 8
    assert world.decision.reason is ScalingReason.UNCERTAIN
    assert world.decision.message.endswith("none is removed while needs are known for only 55 s of the hold of 60 s")
    assert world.tick(1.0, 2).to < 8


def test_after_a_gap_the_hold_is_watched_anew():
    world = World(replicas=8)
    world.tick(24.0, 40)
    world.now += 300.0
    kept = [world.tick(1.0).to for _ in range(14)]
    assert kept[:12] == [8] * 12
    assert kept[-1] < 8


def test_what_is_to_go_is_not_asked_for_again_while_whoever_acts_waits():
    world = World(replicas=8)
    world.tick(16.0, SURE)
    wanted = [world.tick(1.0).to for _ in range(120)]
    assert wanted[-1] == 4, "half of what is there, whatever the step"
    assert wanted == sorted(wanted, reverse=True)


def test_a_pod_that_never_becomes_ready_keeps_the_others_for_a_while_only():
    world = World(replicas=6)
    world.starting = 1
    assert world.tick(0.0, 100).to == 6
    assert world.decision.reason is ScalingReason.UNCERTAIN
    assert world.tick(0.0, 60).to < 6


def test_once_demand_was_known_its_absence_is_doubt():
    world = World(replicas=6)
    world.tick(2.0, SURE)
    assert world.tick(2.0, 3).to < 6
    world = World(replicas=6)
    world.tick(20.0, SURE)
    world.counters = False
    decision = world.tick(0.5)
    assert (decision.to, decision.reason) == (6, ScalingReason.UNCERTAIN)
    assert decision.message.endswith("none is removed while what arrives cannot be told")


def test_latencies_that_no_number_of_replicas_mends_order_none_once_that_is_learned():
    world = World(replace(TARGET, spec_prior=None))
    world.slower = 6.0
    assert world.tick(0.4, SURE - 1).reason is ScalingReason.LATENCY
    assert world.decision.to > 2
    world.tick(0.4, 2)
    ordered = {world.tick(0.4).to for _ in range(100)}
    assert max(ordered) <= 2
    (limit,) = world.decision.limits
    assert limit.reason == "ObjectiveUnreachable"
    assert "objective.itlP99 of 60ms is met by no number of replicas: a token takes" in limit.message


def kept(world):
    return json.loads(json.dumps(world.judge.dump(KEY), allow_nan=False))


@pytest.mark.parametrize("prior", [PRIOR, None], ids=["believed", "unknown"])
def test_a_restart_goes_on_where_it_was(prior):
    target = replace(TARGET, spec_prior=prior)
    before, after = World(target, replicas=3), World(target, replicas=3)
    before.tick(9.0, 200)
    after.judge.restore(KEY, kept(before))
    after.tick(9.0)
    for _ in range(5):
        one, other = before.tick(9.0), after.tick(9.0)
        assert (one.to, one.reason) == (other.to, other.reason)
        assert dict(other.candidates)["Load"] == pytest.approx(dict(one.candidates)["Load"], rel=0.03)
        assert after.judge.capacity(KEY) == pytest.approx(before.judge.capacity(KEY), rel=0.03)


def test_what_is_restored_late_counts_unless_more_was_seen_since():
    old, world = World(), World()
    old.tick(9.0, 100)
    world.tick(2.0, 2)
    world.judge.restore(KEY, kept(old))
    assert world.judge.dump(KEY)["level"] == 2.0
    world.tick(9.0)
    assert world.judge.dump(KEY)["level"] == pytest.approx(9.0, rel=0.1)
    world.judge.restore(KEY, kept(World()) or {})
    world.tick(9.0)
    assert world.judge.dump(KEY)["level"] == pytest.approx(9.0, rel=0.1)


def test_what_was_stored_is_not_lost_before_it_is_used():
    old, world = World(), World()
    old.tick(9.0, 10)
    world.judge.restore(KEY, kept(old))
    assert world.judge.dump(KEY) == kept(old)
    world.judge.forget(KEY)
    assert world.judge.dump(KEY) is None


@pytest.mark.parametrize(
    "wrong",
    [{}, {"level": "high"}, {"decode_base": 0.0}, {"prior": [0.015, -1.0, 0.1]}, {"period": 9999}, {"evidence": [1.0]}],
)
def test_what_was_stored_and_is_not_whole_is_left_out(wrong):
    old, world = World(), World()
    old.tick(9.0, 100)
    world.judge.restore(KEY, kept(old) | wrong if wrong else {})
    world.tick(2.0, 3)
    assert world.judge.dump(KEY)["level"] == 2.0
    assert world.judge.capacity(KEY) is None


def test_another_gpu_is_learned_anew_and_requests_stay():
    world = World()
    world.tick(4.0, 3 * SURE)
    assert world.judge.capacity(KEY) is not None
    slower = replace(PRIOR, decode_base=0.04)
    world.target = replace(world.target, spec_prior=slower)
    world.tick(4.0)
    learned = world.judge.dump(KEY)
    assert world.judge.capacity(KEY) is None
    assert learned["prior"][0] == 0.04
    assert (learned["input_tokens"], learned["output_tokens"]) == (1000.0, 250.0)
    other = World(replace(TARGET, spec_prior=slower))
    other.judge.restore(KEY, learned | {"prior": [0.015, 0.00015, 0.000135], "samples": 500})
    other.tick(4.0, 2)
    assert other.judge.capacity(KEY) is None, "that was learned of another GPU"
    assert other.judge.dump(KEY)["level"] == 4.0


def test_a_larger_cache_that_the_engines_tell_counts_at_once():
    small = replace(TARGET, spec_prior=replace(PRIOR, kv_tokens=5000.0))
    world = World(small)
    world.tick(4.0, 2 * SURE)
    before = world.judge.capacity(KEY)
    world.target = replace(world.target, spec_prior=PRIOR, serving=Serving(kv_cache_tokens=144_000))
    world.tick(4.0)
    assert world.judge.capacity(KEY) > 1.5 * before


def test_the_lead_is_the_learned_one():
    world = World(replace(TARGET, lead=None))
    world.tick(4.0, 3)
    assert world.decision.forecast.lead == 1.1 * DEFAULT_LEAD + 15

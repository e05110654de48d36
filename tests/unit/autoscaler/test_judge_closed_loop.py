"""A fluid plant whose replicas count what engines count, so that the feed can be held against what the plant does."""

import math
from array import array
from dataclasses import dataclass, field, replace

import pytest

from autoglm_operator.api.v1alpha1 import Autoscaling
from autoglm_operator.autoscaler.engine_metrics import EngineSample
from autoglm_operator.autoscaler.judge import Judge
from autoglm_operator.autoscaler.pods import EnginePod, Target
from autoglm_operator.autoscaler.snapshot import take
from autoglm_operator.autoscaler.store import History
from autoglm_operator.decide.bottleneck import Setup
from autoglm_operator.decide.law.capacity import MEAN_SHARE, Speed
from autoglm_operator.decide.scaling.bounds import bounds_of
from autoglm_operator.decide.scaling.quantiles import Histogram
from autoglm_simulator.replay.fluid import FluidPlant, safe_rate
from autoglm_simulator.replay.plant import Observation
from autoglm_simulator.replay.settings import ColdStart, Fleet
from autoglm_simulator.replay.traffic import Traffic

KEY = ("prod", "phone")
TICK = 5
#: Objectives of the plants here, as bounds of the engines' buckets.
TTFT = 2.0
ITL = 0.06
#: What may be believed of the plant's replicas before one was seen.
REFERENCE = Speed(0.012, 0.00015, 0.00009, 128.0, 144_000.0)
BOUNDS = (0.01, 0.02, 0.03, 0.04, 0.05, ITL, 0.1, 0.2)


@dataclass
class Engine:
    """What one engine has counted."""

    uid: str
    ready_since: float
    history: History = field(default_factory=History)
    begun: int = 0
    late: int = 0
    prompt: float = 0.0
    gaps: int = 0
    gap_seconds: float = 0.0
    output: float = 0.0
    itls: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    parts: float = 0.0
    late_parts: float = 0.0

    def scrape(self, seen: Observation, queue: float, now: float) -> None:
        """Count what the plant did since the last scrape, as the share of one replica, and answer."""
        self.parts += max(0.0, seen.arrivals * seen.seconds - (seen.waiting - queue)) / seen.ready
        self.late_parts += seen.late / seen.ready
        begun, late = int(self.parts), min(int(self.parts), int(self.late_parts))
        self.parts, self.late_parts = self.parts - begun, self.late_parts - late
        gaps = round(seen.batch * seen.seconds / seen.itl) if seen.itl else 0
        self.begun += begun
        self.late += late
        self.prompt += seen.prefill_rate * seen.seconds
        self.gaps += gaps
        self.gap_seconds += gaps * seen.itl
        self.output += begun * seen.output_tokens
        for place, bound in enumerate((*BOUNDS, math.inf)):
            self.itls[place] += gaps if seen.itl <= bound else 0
        self.history.add(
            EngineSample(
                taken=now,
                running=seen.running / seen.ready,
                waiting=seen.waiting / seen.ready,
                kv_cache=seen.kv,
                ttft=Histogram((TTFT / 2, TTFT), array("d", [self.begun - self.late] * 2 + [self.begun])),
                itl=Histogram(BOUNDS, array("d", self.itls)),
                prompt_tokens=self.prompt,
                generation_tokens=self.output,
                itl_seconds=self.gap_seconds,
                ended=self.begun,
            )
        )


class Cluster:
    """A plant, its engines, and the pods that they run in.

    Args:
        rates: requests per second, by second.
        tokens: of prompt and answer.
        cold_start: seconds.
        replicas: ready at the start.
    """

    def __init__(self, rates, tokens=(1000.0, 250.0), cold_start=60.0, replicas=2, **fleet):
        count = len(rates)
        # Prompts get longer and shorter by half, in no step with the rate: what a token costs and what a sequence costs
        # could not be told apart otherwise.
        prompts = [tokens[0] * (1 + math.sin(second / 90) / 2) for second in range(count)]
        traffic = Traffic(list(rates), list(rates), prompts, [tokens[1]] * count)
        self.fleet = Fleet(ColdStart((cold_start,), 0.0), ttft=TTFT, itl=ITL, **fleet)
        self.plant = FluidPlant(self.fleet, traffic, replicas, seed=1)
        self.engines: list[Engine] = []
        self.made = 0
        self.queue = 0.0
        self.now = 0

    def advance(self):
        """Run for one tick and return the rows that an autoscaler would have."""
        self.now += TICK
        seen = self.plant.advance(self.now)
        del self.engines[seen.ready :]
        while len(self.engines) < seen.ready:
            self.made += 1
            self.engines.append(Engine(f"uid-{self.made}", float(self.now)))
            self.engines[-1].history.ready_since = float(self.now)
        for engine in self.engines:
            engine.scrape(seen, self.queue, float(self.now))
        self.queue = seen.waiting
        self.seen = seen
        rows = [(self._pod(engine.uid, ready=True), engine.history) for engine in self.engines]
        return rows + [(self._pod(f"new-{index}", ready=False), History()) for index in range(seen.starting)]

    @staticmethod
    def _pod(uid, *, ready):
        return EnginePod("prod", uid, uid, "phone", "10.0.0.1", ready, unschedulable=False)


class Loop:
    """The autoscaler's tick around a cluster: snapshot, decision, and whoever acts on it."""

    def __init__(self, cluster, most=20, prior=None, hold="3m", lead=60.0, batch=128):
        self.cluster = cluster
        self.autoscaling = Autoscaling.model_validate(
            {
                "maxReplicas": most,
                "objective": {"ttftP99": f"{TTFT:g}s", "itlP99": f"{ITL * 1000:g}ms"},
                "scaleDownHold": hold,
            }
        )
        setup = Setup(max_replicas=most, ttft=TTFT, itl=ITL, batch=batch)
        self.target = Target(*KEY, "u", 1, self.autoscaling, batch, setup=setup, spec_prior=prior, lead=lead)
        self.judge = Judge(float(TICK), clock=lambda: 1.8e9)
        self.bounds = bounds_of(self.autoscaling, 0.0, None)
        self.decisions = []

    def tick(self):
        rows = self.cluster.advance()
        target = replace(self.target, replicas=self.cluster.seen.ordered)
        now = float(self.cluster.now)
        decision = self.judge.judge(target, rows, take(rows, now, float(TICK)), self.bounds, now)
        self.cluster.plant.scale(decision.to)
        self.decisions.append(decision)
        return decision

    def run(self, ticks):
        for _ in range(ticks):
            self.tick()
        return self.decisions[-ticks:]

    @property
    def capacity(self):
        return self.judge.capacity(KEY)


def waves(seconds, least, most, period=1800.0):
    return [least + (most - least) * (1 - math.cos(2 * math.pi * second / period)) / 2 for second in range(seconds)]


@pytest.mark.parametrize("prior", [None, REFERENCE], ids=["unknown", "believed"])
@pytest.mark.parametrize(
    ("tokens", "fleet"),
    [
        ((1000.0, 250.0), {}),
        ((300.0, 600.0), {"decode_base": 0.02, "decode_per_sequence": 0.0004}),
        ((2000.0, 100.0), {"prefill_per_token": 0.0002}),
    ],
    ids=["even", "long answers", "long prompts"],
)
def test_what_is_learned_of_a_replica_is_what_it_does(prior, tokens, fleet):
    cluster = Cluster(waves(3600, 2, 12), tokens, **fleet)
    loop = Loop(cluster, prior=prior)
    loop.run(3600 // TICK)
    answer = loop.decisions[-1].forecast
    learned = loop.judge.dump(KEY)
    carries = safe_rate(cluster.fleet, learned["input_tokens"], learned["output_tokens"], share=MEAN_SHARE)
    assert learned["output_tokens"] == pytest.approx(tokens[1], rel=0.05)
    assert loop.capacity == answer.capacity == pytest.approx(carries, rel=0.15)
    totals = cluster.plant.totals()
    assert totals.late / totals.requests < 0.1
    assert max(decision.to for decision in loop.decisions) <= 2 * 12 / carries + 2


@pytest.mark.parametrize("prior", [None, REFERENCE], ids=["unknown", "believed"])
@pytest.mark.parametrize("rate", [0.02, 0.3, 1.0])
def test_little_traffic_has_one_replica(rate, prior):
    loop = Loop(Cluster([rate] * 3600, replicas=4), prior=prior)
    decisions = loop.run(3600 // TICK)
    assert decisions[-1].to == 1
    assert all(decision.to <= 4 for decision in decisions)


def test_a_spike_is_ordered_at_its_second_tick_and_goes_when_it_is_over():
    """The traffic and the engine of the demo."""
    demo = {"decode_base": 0.02, "decode_per_sequence": 0.003, "prefill_per_token": 0.0005, "max_batch": 16.0}
    cluster = Cluster([1.0] * 20 + [8.0] * 60 + [1.0] * 400, (128.0, 48.0), cold_start=8.0, replicas=1, **demo)
    loop = Loop(cluster, most=4, hold="30s", lead=8.0, batch=16)
    decisions = loop.run(480 // TICK)
    ordered = [decision.to for decision in decisions]
    assert ordered[: 20 // TICK] == [1] * (20 // TICK)
    assert max(ordered[: 40 // TICK]) > 1
    assert ordered[-1] == 1


def test_nothing_goes_before_the_hold_was_watched():
    loop = Loop(Cluster([0.0] * 600, replicas=6), hold="3m")
    decisions = loop.run(600 // TICK)
    first = next(index for index, decision in enumerate(decisions) if decision.to < 6)
    assert 180 <= first * TICK <= 215


def test_mode_reactive_orders_nothing_ahead():
    def reasons(mode):
        loop = Loop(Cluster(waves(900, 2, 8, period=600.0)), prior=REFERENCE)
        told = loop.autoscaling.model_dump(by_alias=True) | {"prediction": {"mode": mode}}
        loop.target = replace(loop.target, autoscaling=Autoscaling.model_validate(told))
        decisions = loop.run(900 // TICK)
        return {cause for decision in decisions for cause, _ in decision.candidates}

    assert {"ColdStartLead", "Load"} <= reasons("Auto")
    assert "ColdStartLead" not in reasons("Reactive")
    assert reasons("Advisory") == reasons("Auto")


def test_an_objective_that_no_replica_meets_is_said_and_multiplies_nothing():
    cluster = Cluster(waves(3600, 2, 8), decode_base=0.08)
    loop = Loop(cluster)
    decisions = loop.run(3600 // TICK)
    (limit,) = decisions[-1].limits
    assert limit.reason == "ObjectiveUnreachable"
    assert "objective.itlP99 of 60ms is met by no number of replicas: a token takes 8" in limit.message
    assert max(decision.to for decision in decisions[len(decisions) // 2 :]) <= 4

"""Whatever pods say or leave out, the judge stays within the bounds, removes nothing in doubt, and can be stored."""

import json
import math
from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoglm_operator.api.v1alpha1 import Autoscaling
from autoglm_operator.autoscaler.engine_metrics import EngineSample
from autoglm_operator.autoscaler.judge import Judge
from autoglm_operator.autoscaler.pods import EnginePod, Target
from autoglm_operator.autoscaler.snapshot import STALE_TICKS, take
from autoglm_operator.autoscaler.store import History
from autoglm_operator.decide.bottleneck import Setup
from autoglm_operator.decide.law.capacity import Speed
from autoglm_operator.decide.scaling.bounds import bounds_of
from autoglm_operator.decide.scaling.quantiles import Histogram

TICK = 5.0
NAMES = ("a", "b", "c", "d")
#: A moment of one pod: what it counted since the last one, or what is wrong with it.
WRONG = st.sampled_from(["", "", "", "", "", "silent", "future", "restarted", "gone", "not ready"])
MOMENTS = st.tuples(WRONG, st.integers(0, 200), st.integers(0, 300), st.integers(0, 60))
TICKS = st.lists(
    st.tuples(st.lists(MOMENTS, min_size=4, max_size=4), st.sampled_from([1.0, TICK, TICK, TICK, 40.0, 4000.0])),
    min_size=1,
    max_size=30,
)
SPECS = st.builds(
    lambda least, more, hold, mode: Autoscaling.model_validate(
        {
            "minReplicas": least,
            "maxReplicas": least + more,
            "scaleDownHold": hold,
            "prediction": {"mode": mode},
            "objective": {"ttftP99": "2s", "itlP99": "60ms"},
        }
    ),
    st.integers(1, 4),
    st.integers(0, 20),
    st.sampled_from(["1ms", "30s", "3m", "1h"]),
    st.sampled_from(["Auto", "Reactive", "Advisory"]),
)
PRIORS = st.none() | st.builds(
    Speed, st.floats(1e-3, 0.2), st.floats(1e-5, 1e-2), st.floats(1e-6, 1e-2), st.just(64.0), st.floats(1e3, 1e6)
)


class Engine:
    """One engine, with all that can be wrong with it."""

    def __init__(self):
        self.history = History(ready_since=0.0)
        self.begun = self.prompt = self.gaps = 0.0

    def row(self, name, moment, now):
        wrong, begun, tokens, waiting = moment
        if wrong == "restarted":
            self.begun = self.prompt = self.gaps = 0.0
        self.begun += begun
        self.prompt += begun * tokens
        self.gaps += begun * tokens // 4
        if wrong not in {"silent", "gone", "not ready"}:
            self.history.samples.append(
                EngineSample(
                    now + (1000.0 if wrong == "future" else 0.0),
                    begun % 50,
                    waiting,
                    0.3,
                    Histogram((1.0, 2.0), array("d", (self.begun, self.begun, self.begun))),
                    Histogram((0.03, 0.06), array("d", (self.gaps, self.gaps, self.gaps))),
                    prompt_tokens=self.prompt,
                    generation_tokens=self.gaps,
                    itl_seconds=self.gaps * 0.02,
                    ended=self.begun,
                )
            )
        while self.history.samples and self.history.samples[0].taken < now - 60:
            self.history.samples.popleft()
        pod = EnginePod("prod", name, name, "phone", "10.0.0.1", wrong != "not ready", unschedulable=False)
        return None if wrong == "gone" else (pod, self.history)


@settings(deadline=None, max_examples=40)
@given(spec=SPECS, prior=PRIORS, ticks=TICKS, ordered=st.integers(0, 30))
def test_any_pods(spec, prior, ticks, ordered):
    setup = Setup(ttft=2.0, itl=0.06)
    judge, engines, now = Judge(TICK, clock=lambda: 1.8e9), {name: Engine() for name in NAMES}, 0.0
    bounds = bounds_of(spec, 0.0, None)
    for moments, seconds in ticks:
        now += seconds
        rows = [engines[name].row(name, moment, now) for name, moment in zip(NAMES, moments, strict=True)]
        rows = [row for row in rows if row]
        target = Target("prod", "phone", "u", ordered, spec, 64, setup=setup, spec_prior=prior)
        snapshot = take(rows, now, TICK)
        decision = judge.judge(target, rows, snapshot, bounds, now)
        if decision is None:
            assert snapshot.signals.silent
            continue
        assert bounds.least <= decision.to <= bounds.most
        assert str(decision.to) in decision.message
        bounded = max(bounds.least, min(bounds.most, ordered))
        doubtful = snapshot.signals.silent or snapshot.signals.evidence < 30 or not snapshot.signals.ready
        if doubtful:
            assert decision.to >= bounded, "nothing goes in doubt"
        assert all(math.isfinite(replicas) and replicas >= 0 for _, replicas in decision.candidates)
        ordered = decision.to
    kept = judge.dump(("prod", "phone"))
    json.dumps(kept, allow_nan=False)
    if kept is not None:
        again = Judge(TICK)
        again.restore(("prod", "phone"), kept)
        assert again.dump(("prod", "phone")) == kept


@settings(deadline=None, max_examples=30)
@given(prior=PRIORS, bad=st.sampled_from(["silent", "future"]), place=st.integers(0, 3))
def test_a_pod_that_falls_silent_does_not_lower_demand_and_removes_nothing(prior, bad, place):
    spec = Autoscaling.model_validate({"maxReplicas": 8, "scaleDownHold": "1ms"})
    target = Target("prod", "phone", "u", 4, spec, 64, setup=Setup(ttft=2.0, itl=0.1), spec_prior=prior)
    judge, engines, now = Judge(TICK, clock=lambda: 1.8e9), {name: Engine() for name in NAMES}, 0.0

    def tick(wrong=""):
        moments = [(wrong if index == place else "", 10, 200, 0) for index in range(4)]
        rows = [engines[name].row(name, moment, now) for name, moment in zip(NAMES, moments, strict=True)]
        return judge.judge(target, rows, take(rows, now, TICK), bounds_of(spec, 0.0, None), now)

    for _ in range(20):
        now += TICK
        tick()
    level = judge.dump(("prod", "phone"))["level"]
    for late in range(1, 8):
        now += TICK
        # For three ticks a sample is good enough.
        assert tick(bad).to >= (4 if late > STALE_TICKS else 1)
    assert judge.dump(("prod", "phone"))["level"] == pytest.approx(level)

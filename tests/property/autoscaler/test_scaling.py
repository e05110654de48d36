"""What holds for the scaling law whatever the pods say."""

from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from autoglm_operator.api.v1alpha1 import Autoscaling
from autoglm_operator.decide.scaling.bounds import bounds_of
from autoglm_operator.decide.scaling.needs import ScalingReason, Signals, Tail
from autoglm_operator.decide.scaling.rule import ASSUMED_BATCH, Advice, Case
from autoglm_operator.decide.scaling.rule import decide as decide_case

counts = st.floats(0, 2000).map(round)
shares = st.floats(0, 1)
tails = st.none() | st.builds(Tail, st.floats(0, 50), st.integers(0, 500))
few = st.integers(0, 3)
batches = st.none() | st.integers(1, 256)
orders = st.integers(0, 60)


def decide(spec, batch, ordered, seen, advice=None):
    return decide_case(Case(spec, bounds_of(spec, 0.0, None), batch or ASSUMED_BATCH, ordered, seen, advice))


@st.composite
def specs(draw):
    least = draw(st.integers(1, 10))
    given_signals = {}
    for key, most in (("queueDepth", 50), ("latencyP99", 100), ("memoryPressure", 100)):
        if draw(st.booleans()):
            given_signals[key] = {"target": draw(st.none() | st.integers(1, most))}
    return Autoscaling.model_validate(
        {"minReplicas": least, "maxReplicas": least + draw(st.integers(0, 40)), "signals": given_signals}
    )


@st.composite
def signals(draw, **fixed):
    running, waiting = draw(counts), draw(counts)
    made = Signals(
        ready=draw(st.integers(1, 50)),
        silent=draw(few),
        starting=draw(few),
        unschedulable=draw(few),
        waiting=waiting,
        running=running,
        peak=running + waiting + draw(counts),
        kv_cache=draw(shares),
        ttft=draw(tails),
        itl=draw(tails),
        rate=draw(st.floats(0, 100)),
        saturated_rate=draw(st.none() | st.floats(0.1, 20)),
        evidence=draw(st.floats(0, 60)),
    )
    return replace(made, **fixed)


@given(specs(), batches, orders, signals())
def test_within_the_bounds(spec, batch, ordered, seen):
    found = decide(spec, batch, ordered, seen)
    assert spec.min_replicas <= found.to <= spec.max_replicas
    assert str(found.to) in found.message


@given(specs(), batches, orders, signals(), counts)
def test_more_waiting_requests_never_lower_the_answer(spec, batch, ordered, seen, more):
    longer = replace(seen, waiting=seen.waiting + more, peak=seen.peak + more)
    assert decide(spec, batch, ordered, longer).to >= decide(spec, batch, ordered, seen).to


@given(specs(), batches, orders, signals())
def test_idempotent(spec, batch, ordered, seen):
    once = decide(spec, batch, ordered, seen).to
    assert decide(spec, batch, once, seen).to == once


doubts = st.one_of(
    signals(silent=1), signals(starting=1), st.floats(0, 29.9).flatmap(lambda age: signals(evidence=age))
)


@given(specs(), batches, orders, doubts)
def test_doubt_never_lowers_within_the_bounds(spec, batch, ordered, seen):
    bounded = min(max(ordered, spec.min_replicas), spec.max_replicas)
    assert decide(spec, batch, ordered, seen).to >= bounded


@st.composite
def advised(draw):
    """A spec and what a law may say about it."""
    spec = draw(specs())
    to = draw(st.integers(spec.min_replicas, spec.max_replicas))
    need = draw(st.integers(to, 100)) if to == spec.max_replicas else to
    rates = draw(st.floats(0, 1000)), draw(st.floats(0.01, 100))
    return spec, Advice(to, need, ScalingReason.LOAD, "because", *rates, draw(st.booleans()))


@given(advised(), batches, orders, signals())
def test_advice_is_followed_within_the_bounds(given, batch, ordered, seen):
    spec, advice = given
    found = decide(spec, batch, ordered, seen, advice)
    bounded = min(max(ordered, spec.min_replicas), spec.max_replicas)
    assert spec.min_replicas <= found.to <= spec.max_replicas
    assert found.to >= min(advice.to, bounded), "nothing goes that the law keeps"
    assert seen.unschedulable or found.to >= advice.to


@given(advised(), batches, orders, doubts)
def test_doubt_never_lowers_whatever_the_law_says(given, batch, ordered, seen):
    spec, advice = given
    bounded = min(max(ordered, spec.min_replicas), spec.max_replicas)
    assert decide(spec, batch, ordered, seen, advice).to >= bounded


@given(specs(), batches, st.integers(1, 60), signals(ready=0))
def test_nothing_changes_without_a_ready_replica(spec, batch, ordered, seen):
    assert decide(spec, batch, ordered, seen).to == min(max(ordered, spec.min_replicas), spec.max_replicas)


@given(specs(), batches, orders, signals())
def test_ordered_replicas_are_never_ordered_twice(spec, batch, ordered, seen):
    first = decide(spec, batch, ordered, seen).to
    starting = replace(seen, starting=seen.starting + max(0, first - ordered))
    assert decide(spec, batch, first, starting).to <= first


@st.composite
def plants(draw):
    """A constant load and what any number of replicas would show under it."""
    in_flight, batch = draw(st.integers(0, 600)), draw(st.integers(1, 64))
    cache, base = draw(st.floats(0, 20)), draw(st.floats(0, 2.5))

    def show(replicas):
        running = min(in_flight, replicas * batch)
        tail = Tail(base * (1 + in_flight / (replicas * batch)), 100) if in_flight else None
        return Signals(
            ready=replicas,
            waiting=in_flight - running,
            running=running,
            peak=in_flight,
            kv_cache=min(1.0, cache / replicas),
            ttft=tail,
            evidence=60.0,
        )

    return show, batch


@given(specs(), plants(), st.integers(1, 60))
def test_a_constant_load_comes_to_rest(spec, plant, ordered):
    show, batch = plant
    seen = [ordered]
    for _ in range(60):
        seen.append(decide(spec, batch, seen[-1], show(seen[-1])).to)
    assert len(set(seen[-20:])) == 1, seen
    # A target of one waiting request may order more than the load needs; once given back, none is ordered again.
    steps = [b - a for a, b in pairwise(seen[1:]) if a != b]
    assert steps == sorted(steps, key=lambda step: step < 0), seen

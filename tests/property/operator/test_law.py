"""Whatever is measured, the law's answer is within the bounds, is explained, and removes nothing in doubt."""

import json
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from autoglm_operator.decide.law.capacity import Capacity, Speed
from autoglm_operator.decide.law.law import State, decide
from autoglm_operator.decide.law.parameters import Parameters
from autoglm_operator.decide.law.store import dump, load
from autoglm_operator.decide.law.types import Sample, Target

SPEED = Speed(0.015, 0.00015, 0.000135, 128.0, 144_000.0)
NUMBER = st.floats(0, 1e6) | st.sampled_from([float("nan"), float("inf"), -1.0, 0.0])

SAMPLES = st.builds(
    Sample,
    now=st.just(0.0),
    seconds=st.floats(0.5, 30),
    arrivals=NUMBER,
    input_tokens=NUMBER,
    output_tokens=NUMBER,
    waiting=NUMBER,
    batch=NUMBER,
    prefill_rate=NUMBER,
    itl=NUMBER,
    requests=NUMBER,
    late=NUMBER,
    ready=st.integers(0, 100),
    ordered=st.integers(0, 100),
    doubt=st.sampled_from(["", "1 pod without fresh metrics"]),
)


@settings(deadline=None, max_examples=60)
@given(
    samples=st.lists(SAMPLES, min_size=1, max_size=40),
    least=st.integers(0, 10),
    more=st.integers(0, 50),
    lead=st.floats(1, 1000),
    reactive=st.booleans(),
)
def test_any_samples(samples, least, more, lead, reactive):
    target = Target(2.0, 0.06, lead, least, least + more, reactive=reactive)
    state = State(Capacity(Speed(0.015, 0.00015, 0.000135, 128.0, 144_000.0), SPEED))
    now = 0.0
    for sample in samples:
        now += 5.0
        sample.now = now
        decision = decide(Parameters(), target, state, sample)
        assert least <= decision.replicas <= least + more
        assert decision.sentence
        if sample.doubt:
            assert decision.replicas >= min(sample.ordered, least + more)
    kept = json.loads(json.dumps(dump(state), allow_nan=False))
    assert dump(load(Capacity(replace(SPEED), SPEED), kept)) == kept

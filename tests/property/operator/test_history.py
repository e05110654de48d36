"""Whatever is decided, the ring stays small, in order, and the same through JSON."""

import json
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from autoglm_operator.decide.scaling.bounds import Bounds
from autoglm_operator.decide.scaling.history import MOST, Inputs, Ring, parse
from autoglm_operator.decide.scaling.needs import ScalingReason, Signals, Tail
from autoglm_operator.decide.scaling.rule import Decision, Forecast

BOUNDS = Bounds(1, 8, "minReplicas is 1 and maxReplicas 8")
anything = st.floats(allow_nan=True, allow_infinity=True)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
forecasts = st.none() | st.builds(Forecast, anything, anything, anything, anything, anything)
decisions = st.builds(
    Decision,
    st.integers(0, 6),
    st.sampled_from(ScalingReason),
    texts,
    forecast=forecasts,
    candidates=st.lists(st.tuples(st.sampled_from(["Load", "Hold"]), anything), max_size=3).map(tuple),
)
signals = st.builds(
    Signals,
    ready=st.integers(0, 5),
    waiting=anything,
    running=anything,
    ttft=st.none() | st.builds(Tail, anything, st.integers(0, 5)),
)


def noted(made, ring=None, start=0.0):
    ring = ring or Ring()
    for place, (decision, seen) in enumerate(made):
        ring.note(decision, lambda row=(decision, seen): Inputs.of(3, row[1], BOUNDS, row[0]), start + place)
    return ring


some = st.lists(st.tuples(decisions, signals), max_size=30)


@given(some, st.integers(1, 8))
def test_never_more_than_a_hundred_and_every_tick_counted(made, times):
    ring = noted(made * times)
    assert len(ring.records) <= MOST
    if len(made) * times <= MOST:
        assert sum(1 + record.repeated for record in ring.records) == len(made) * times
    if made:
        assert ring.records[-1].to == made[-1][0].to
    assert all(earlier.time <= later.time for earlier, later in pairwise(ring.records))


@given(some)
def test_the_same_through_json(made):
    ring = noted(made)
    text = json.dumps(ring.documents(), allow_nan=False)
    assert parse(json.loads(text)) == ring.records


@given(some, some, st.integers(0, 60))
def test_two_histories_become_one_in_order(theirs, ours, later):
    stored, own = noted(theirs), noted(ours, start=later)
    last = own.records[-1] if own.records else None
    own.take(stored.records)
    assert len(own.records) <= MOST
    assert all(earlier.time <= later.time for earlier, later in pairwise(own.records))
    if last is not None and (not stored.records or last.time > stored.records[-1].last):
        assert own.records[-1].answer == last.answer

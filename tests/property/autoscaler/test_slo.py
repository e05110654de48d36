"""Whatever engines expose, and however often they start again: counters never fall, and nothing good is made up."""

from array import array
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from autoglm_operator.autoscaler.engine_metrics import EngineSample
from autoglm_operator.autoscaler.slo import events, within
from autoglm_operator.decide.bottleneck import Setup
from autoglm_operator.decide.scaling.quantiles import Histogram, Increase

BOUNDS = (0.1, 0.5, 1.0)
counts = st.lists(st.integers(0, 1000), min_size=4, max_size=4)
limits = st.floats(0.001, 10.0)


def cumulative(each):
    return array("d", [sum(each[: index + 1]) for index in range(len(each))])


histograms = st.builds(lambda each: Histogram(BOUNDS, cumulative(each)), counts)
numbers = st.integers(0, 10**6).map(float)
samples = st.builds(
    lambda ttft, itl, prompt, cached, answers, ended, failed: EngineSample(
        0.0,
        0.0,
        0.0,
        0.0,
        ttft,
        itl,
        prompt_tokens=prompt,
        cached_tokens=cached,
        generation_tokens=answers,
        ended=ended,
        failed=failed,
    ),
    st.none() | histograms,
    st.none() | histograms,
    *[numbers] * 5,
)


@given(st.lists(samples, min_size=1, max_size=6), limits)
def test_nothing_is_ever_negative_and_good_is_part_of_all(told, limit):
    setup = Setup(ttft=limit, itl=limit)
    for old, new in pairwise([None, *told]):
        found = events(old, new, setup)
        for objective, judged in found.judged.items():
            assert 0 <= found.good[objective] <= judged + 1e-9
        assert all(amount >= 0 for amount in found.tokens.values())


@st.composite
def lives(draw):
    """One engine's samples: counters grow, and begin anew where it starts again."""
    told, total = [], 0.0
    for grown, again in draw(st.lists(st.tuples(counts, st.booleans()), min_size=1, max_size=8)):
        before = [0.0] * 4 if again or not told else list(told[-1][0])
        added = cumulative(grown)
        told.append(([a + b for a, b in zip(before, added, strict=True)], again))
        total += added[-1]
    return told, total


@given(lives())
def test_no_event_is_lost_or_counted_twice(life):
    """A restart shows by a counter that fell; here one always does, as the engine's age in tokens."""
    told, total = life
    tokens, made = 0.0, []
    for each, again in told:
        tokens = 1.0 if again else tokens + 2.0
        made.append(
            EngineSample(0.0, 0.0, 0.0, 0.0, Histogram(BOUNDS, array("d", each)), None, generation_tokens=tokens)
        )
    told_again = [again for _, again in told]
    found = [events(old, new, Setup(ttft=0.5)) for old, new in pairwise([None, *made])]
    judged = sum(each.judged.get("ttft", 0.0) for each in found)
    # A start that follows another at once has the same age, and cannot be told from no start at all.
    if not any(first and second for first, second in pairwise(told_again)):
        assert judged == total


@given(counts, limits, limits)
def test_a_looser_objective_has_no_fewer_good_events(each, one, other):
    observed = Increase(BOUNDS, tuple(cumulative(each)))
    assert within(observed, min(one, other)) <= within(observed, max(one, other)) + 1e-9

"""Whatever a target answers, it is a sample that can be, or an error that says why not."""

import json
import math
from array import array
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from autoglm_operator.autoscaler import agent_state, engine_metrics
from autoglm_operator.autoscaler.engine_metrics import NAMES, ScrapeError
from autoglm_operator.autoscaler.metrics_api import selectors
from autoglm_operator.decide.scaling.quantiles import Histogram, Increase, increase, quantile

numbers = st.floats().map(repr) | st.sampled_from(["NaN", "+Inf", "-1", "1e400", "0x1", "", "1 2"])
labels = st.sampled_from(["", '{le="+Inf"}', '{le="0.5",a="b"}', '{a="\\"le=\\"1"}', "{", '{le=""}'])
lines = st.builds("{}{} {}".format, st.sampled_from(sorted(NAMES)), labels, numbers)
bodies = st.binary() | st.lists(lines | st.text()).map("\n".join).map(lambda text: text.encode(errors="replace"))


@given(bodies)
def test_engines(body):
    try:
        found = engine_metrics.parse(body, 1.0)
    except ScrapeError:
        return
    figures = (found.running, found.waiting, found.prompt_tokens, found.generation_tokens, found.preemptions)
    assert all(figure >= 0 for figure in figures)
    assert 0 <= found.kv_cache <= 1


json_like = st.recursive(
    st.none() | st.floats() | st.text() | st.integers(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.binary() | json_like.map(lambda value: json.dumps(value).encode(errors="replace")))
def test_agents(body):
    try:
        found = agent_state.parse(body, 1.0)
    except ScrapeError:
        return
    assert found is None or all(0 <= share <= 1 for share in found.memory)


@given(st.text(alphabet="ab=!,() in"), st.dictionaries(st.sampled_from("ab"), st.sampled_from("ab")))
def test_selectors(text, held):
    try:
        matches = selectors.parse(text)
    except selectors.InvalidSelector:
        return
    assert matches(held) in {True, False}


observations = st.lists(st.integers(0, 50), min_size=4, max_size=4)


def cumulative(counts):
    return [sum(counts[: index + 1]) for index in range(len(counts))]


@given(st.lists(observations, min_size=2, max_size=8), st.floats(0, 1))
def test_quantiles_lie_within_the_bounds_whatever_restarts(histories, q):
    found = increase([Histogram((1.0, 2.0, 4.0), array("d", cumulative(counts))) for counts in histories])
    assert all(a <= b for a, b in pairwise(found.counts)), found
    value = quantile(q, found)
    assert value is None if found.observations == 0 else 0 <= value <= 4


@given(observations.filter(sum))
def test_quantiles_rise(counts):
    observed = Increase((1.0, 2.0, 4.0), tuple(map(float, cumulative(counts))))
    values = [quantile(step / 20, observed) for step in range(21)]
    assert all(a <= b or math.isclose(a, b) for a, b in pairwise(values))

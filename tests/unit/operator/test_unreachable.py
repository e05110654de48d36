"""Which objectives are out of reach of any number of replicas."""

import pytest

from autoglm_operator.decide.law.capacity import Speed
from autoglm_operator.decide.scaling.needs import Signals, Tail
from autoglm_operator.decide.scaling.unreachable import ITL, TTFT, unreachable

SPEED = Speed(0.05, 0.001, 0.001, 128.0, 144_000.0)


def found(ttft=2.0, itl=0.1, before=(), prompt=1000.0, tail=None):
    return unreachable(SPEED, prompt, (ttft, itl), Signals(ready=1, itl=tail), before)


def test_what_a_single_request_gets_is_reached():
    assert found() == {}
    assert found(ttft=1.0, itl=0.052) == {}


def test_what_it_does_not_get_is_said_with_the_best_figure():
    (name, limit), *_ = found(itl=0.04).items()
    assert (name, limit.reason) == (ITL, "ObjectiveUnreachable")
    assert limit.message == (
        "objective.itlP99 of 40ms is met by no number of replicas: a token takes 51ms where a request has a replica to "
        "itself; raise it, or use a faster GPU, quantization or more tensor parallelism"
    )
    assert "the usual prompt of 4,000 tokens takes 4000ms" in found(prompt=4000.0)[TTFT].message
    assert set(found(prompt=4000.0, itl=0.04)) == {ITL, TTFT}


@pytest.mark.parametrize(("p99", "names"), [(0.039, set()), (0.04, {ITL}), (0.2, {ITL})])
def test_what_is_met_is_in_reach_whatever_was_learned(p99, names):
    assert set(found(itl=0.04, tail=Tail(p99, 500))) == names


@pytest.mark.parametrize(("before", "names"), [((), set()), ((ITL,), {ITL})])
def test_it_is_in_reach_again_only_by_a_margin(before, names):
    assert set(found(itl=0.053, before=before)) == names
    assert found(itl=0.06, before=(ITL,)) == {}

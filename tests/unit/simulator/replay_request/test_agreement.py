"""`bench/autoscaling/agreement.py` on a short trace: it compares what it says and finds what is outside."""

import importlib.util
import math
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from autoglm_simulator.replay.traces import Trace, Window

ROOT = Path(__file__).parents[4]


@pytest.fixture(scope="module")
def agreement():
    spec = importlib.util.spec_from_file_location("agreement", ROOT / "bench/autoscaling/agreement.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def compared(agreement):
    rates = [12 * (1 + 0.3 * math.sin(minute / 15)) for minute in range(15)]
    trace = Trace("rate", tuple(Window(60.0 * i, 60.0, rate, 2.0, 1000.0, 250.0, 0.0) for i, rate in enumerate(rates)))
    found = agreement.compare(trace, None, 180, 900, 80.0, 1, ["oracle", "autoglm"])
    return {one.policy: one for one in found}


def test_the_same_requests_are_replayed_at_both(compared):
    for found in compared.values():
        assert found.fluid.requests == found.single.requests > 12 * 60 * 8
        assert found.fluid.gpu_hours > 0.3


def test_an_oracle_costs_the_same_at_both(compared):
    assert list(compared["oracle"].outside()) == []


def test_what_is_outside_is_said(compared):
    found = compared["oracle"]
    dear = replace(found, single=replace(found.single, gpu_hours=2 * found.fluid.gpu_hours))
    assert list(dear.outside()) == ["GPU-hours x 2.000, expected 0.98 to 1.02"]
    late = replace(
        found, fluid=replace(found.fluid, slo_attainment=0.99), single=replace(found.single, slo_attainment=0.97)
    )
    assert "attainment -2.00 points, expected -1.2 to +1.2" in late.outside()
    crowded = replace(
        found, fluid=replace(found.fluid, slo_attainment=0.90), single=replace(found.single, slo_attainment=0.93)
    )
    assert list(crowded.outside()) == []

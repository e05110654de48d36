"""Replays request by request: every policy runs, and the answer is that of the fluid within stated bounds."""

import math
import time

import pytest

from autoglm_simulator.replay.arrivals import make_traffic
from autoglm_simulator.replay.fluid import FluidPlant, safe_rate
from autoglm_simulator.replay.policies import PEERS, Conditions, make_policy
from autoglm_simulator.replay.request.calls import sampled_calls
from autoglm_simulator.replay.request.plant import RequestPlant
from autoglm_simulator.replay.request.serving import Serving
from autoglm_simulator.replay.run import replay
from autoglm_simulator.replay.settings import ColdStart, Fleet
from autoglm_simulator.replay.traces import Trace, Window

FLEET = Fleet(ColdStart((20.0, 60.0)))


def trace(mean, windows):
    """Return an hour-like swing around `mean` with bursts."""
    rates = [mean * (1 + 0.4 * math.sin(i / windows * 2 * math.pi)) for i in range(windows)]
    return Trace("rate", tuple(Window(60.0 * i, 60.0, rate, 3.0, 1000.0, 250.0, 0.0) for i, rate in enumerate(rates)))


def both(name, target, mean, windows, seed=1):
    """Return the results of the fluid and of single requests for one policy."""
    source = trace(mean, windows)
    traffic = make_traffic(source, None, 60 * windows, seed)
    per_replica = safe_rate(FLEET, 1000.0, 250.0)
    initial = math.ceil(mean / per_replica / 0.7)
    plants = (
        FluidPlant(FLEET, traffic, initial, seed),
        RequestPlant(FLEET, Serving(), sampled_calls(source, [], traffic, seed), initial, seed),
    )
    conditions = Conditions(FLEET, traffic, 1000.0, 250.0)
    return [
        replay(plant, make_policy(name, target, conditions), traffic.rate, per_replica, 0, 60 * windows)
        for plant in plants
    ]


@pytest.mark.parametrize("name", PEERS)
def test_every_peer_runs(name):
    fluid, single = both(name, None, 8.0, 5)
    assert single.requests == fluid.requests
    assert single.lost_requests == 0
    assert 0 < single.slo_attainment <= 1
    assert single.gpu_hours > 0
    assert single.ttft_p99 >= 0.15
    assert single.itl_p99 >= 0.015


@pytest.mark.parametrize(("name", "target", "gpu_hours"), [("oracle", "3", 0.02), ("llmd-slo", "0.7:0.55", 0.10)])
def test_the_two_fidelities_agree_on_an_hour_and_it_takes_less_than_a_minute(name, target, gpu_hours):
    began = time.process_time()
    fluid, single = both(name, target, 20.0, 60)
    assert time.process_time() - began < 60
    assert single.slo_attainment == pytest.approx(fluid.slo_attainment, abs=0.015)
    assert single.gpu_hours == pytest.approx(fluid.gpu_hours, rel=gpu_hours)
    assert single.requests == fluid.requests
    assert single.lost_requests == fluid.lost_requests == 0

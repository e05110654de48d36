"""Each peer's formula against its description, with numbers worked out by hand."""

import pytest

from autoglm_simulator.replay.peers.aibrix import Apa
from autoglm_simulator.replay.peers.dynamo import Dynamo
from autoglm_simulator.replay.peers.knative import Kpa
from autoglm_simulator.replay.peers.llmd import LlmdSlo, WvaV1, WvaV2
from autoglm_simulator.replay.peers.reference import Oracle
from autoglm_simulator.replay.peers.signals import HpaKv, HpaQueue, KedaInflight
from autoglm_simulator.replay.plant import Observation
from autoglm_simulator.replay.policies import PEERS, Conditions, PolicyError, make_policy, parse_target
from autoglm_simulator.replay.settings import ColdStart, Fleet
from autoglm_simulator.replay.traffic import Traffic

FLEET = Fleet(ColdStart((240.0,)))


def seen(now=0.0, **changed):
    values = {
        "now": now,
        "seconds": 15.0,
        "arrivals": 0.0,
        "input_tokens": 1000.0,
        "output_tokens": 250.0,
        "running": 0.0,
        "waiting": 0.0,
        "kv": 0.0,
        "tokens_in_use": 0.0,
        "batch": 0.0,
        "prefill_rate": 0.0,
        "ttft": 0.1,
        "itl": 0.02,
        "slo_p90": 0.3,
        "requests": 1.0,
        "late": 0.0,
        "ready": 4,
        "starting": 0,
        "ordered": 4,
    }
    return Observation(**(values | changed))


def test_keda_divides_requests_in_flight():
    assert KedaInflight(20.0).decide(seen(running=90.0, waiting=30.0)) == 6
    assert KedaInflight(20.0).decide(seen(running=70.0, waiting=15.0)) == 4  # within 10 %


def test_hpa_on_the_queue_divides_waiting_requests():
    assert HpaQueue(3.0).decide(seen(waiting=16.0)) == 6


def test_hpa_on_kv_follows_the_mean_of_the_ready_pods():
    assert HpaKv(0.15).decide(seen(kv=0.225)) == 6


def test_kpa_panics_at_twice_the_ready_pods_and_removes_nothing_then():
    policy = Kpa(10.0)
    assert policy.decide(seen(0, running=40.0)) == 4
    for now in (2, 4, 6):
        wanted = policy.decide(seen(now, running=200.0))
    assert wanted == 20  # the last six seconds
    for now in range(8, 66, 2):
        assert policy.decide(seen(now, running=0.0)) == 20
    for now in range(66, 130, 2):
        wanted = policy.decide(seen(now, running=0.0))
    assert wanted == 2  # at most halved


def test_apa_doubles_at_most_and_waits_300_s_before_it_halves_at_most():
    policy = Apa(0.1)
    assert policy.decide(seen(0, kv=0.5)) == 8
    assert policy.decide(seen(100, kv=0.01)) == 4
    assert policy.decide(seen(300, kv=0.01)) == 2
    assert Apa(0.1).decide(seen(kv=0.109)) == 4


def test_wva_v1_moves_by_one_and_skips_while_pods_start():
    assert WvaV1(0).decide(seen(kv=0.72)) == 5  # spare 0.08
    assert WvaV1(0).decide(seen(kv=0.4, waiting=10.0)) == 5  # spare 2.5 of the queue
    assert WvaV1(0).decide(seen(kv=0.72, starting=1)) == 4
    assert WvaV1(0).decide(seen(kv=0.5)) == 3  # 0.667 on three leaves 0.133
    assert WvaV1(0).decide(seen(kv=0.6)) == 4  # 0.8 on three leaves nothing


def test_wva_v2_counts_tokens():
    # One replica carries min(0.8 x 144,000; 30 x 1,125) = 33,750 tokens.
    up = WvaV2(FLEET, 30.0).decide(seen(tokens_in_use=140_000.0, waiting=10.0))
    assert up == 4 + 2  # 150,000 / 0.85 - 135,000 = 41,471 tokens
    policy = WvaV2(FLEET, 30.0)
    for now in range(0, 301, 30):
        down = policy.decide(seen(now, tokens_in_use=40_000.0))
    assert down == 2  # 135,000 - 40,000 / 0.7 = 77,857 tokens


@pytest.mark.parametrize(
    ("ratio", "ready", "ordered", "expected"),
    [
        (0.66, 4, 4, 5),  # 4 + ceil(4 x 0.2)
        (1.20, 4, 4, 9),
        (1.20, 2, 4, 5),  # half of them ready: half the ratio counts
        (0.50, 4, 4, 4),
        (0.30, 4, 4, 3),  # 4 - floor(4 x 0.25)
        (0.10, 4, 4, 1),
    ],
)
def test_llmd_slo_formula(ratio, ready, ordered, expected):
    assert LlmdSlo(0.55, 0.40).desired(ratio, ready, ordered) == expected


def test_llmd_slo_averages_45_s_and_caps_the_ratio():
    policy = LlmdSlo(0.55, 0.40)
    assert policy.decide(seen(0, slo_p90=100.0)) == 8  # 15 wanted, but doubled at most in 60 s
    assert policy.decide(seen(15, slo_p90=0.3, ordered=8, ready=8)) == 8  # the average is 1.15; the window holds 15
    assert LlmdSlo(0.55, 0.40).decide(seen(slo_p90=0.5)) == 4


def test_dynamo_forecasts_each_interval_and_never_goes_below_it():
    policy = Dynamo(FLEET, 2.0)
    for now in range(5, 181, 5):
        wanted = policy.decide(seen(now, seconds=5.0, arrivals=20.0, batch=20.0, itl=0.05, prefill_rate=2500.0))
    assert wanted == 10


def test_dynamo_adds_one_over_the_objective_and_watches_while_replicas_start():
    late = {"itl": 0.07, "batch": 60.0, "prefill_rate": 4000.0}
    assert Dynamo(FLEET, 2.0).decide(seen(**late)) == 5
    assert Dynamo(FLEET, 2.0).decide(seen(**late, starting=1)) == 4


def test_dynamo_removes_one_if_the_rest_stays_below_80_percent():
    assert Dynamo(FLEET, 2.0).decide(seen(batch=10.0, prefill_rate=1000.0)) == 3
    assert Dynamo(FLEET, 2.0).decide(seen(batch=60.0, prefill_rate=3500.0)) == 4


def test_dynamo_forecast_follows_a_trend():
    policy = Dynamo(FLEET, 2.0)
    for rate in range(10, 60, 2):
        forecast = policy.forecast(float(rate))
    assert 58 < forecast < 62


def test_oracle_orders_for_the_highest_rate_within_its_lead():
    rate = [10.0] * 1000 + [40.0] * 1000
    policy = Oracle(rate, 100, 5.0)
    assert [policy.decide(seen(now)) for now in (5.0, 850.0, 900.0, 1500.0)] == [2, 2, 8, 8]


def test_targets():
    peer = PEERS["llmd-slo"]
    assert parse_target("llmd-slo", peer, None) == (0.55, 0.40)
    assert parse_target("llmd-slo", peer, "0.7:0.6") == (0.7, 0.6)
    with pytest.raises(
        PolicyError, match=r"target of keda-inflight: got '1:2', expected a number above 0: requests in"
    ):
        parse_target("keda-inflight", PEERS["keda-inflight"], "1:2")
    with pytest.raises(PolicyError, match="target of dynamo: got 'many'"):
        parse_target("dynamo", PEERS["dynamo"], "many")


@pytest.mark.parametrize("name", PEERS)
def test_every_peer_can_be_made_without_a_target(name):
    conditions = Conditions(FLEET, Traffic([20.0] * 60, [20.0] * 60, [1000.0] * 60, [250.0] * 60), 1000.0, 250.0)
    policy = make_policy(name, None, conditions)
    assert policy.decide(seen(policy.period, running=80.0, kv=0.2)) >= 1


def test_an_unknown_peer_is_answered_with_the_known_ones():
    conditions = Conditions(FLEET, Traffic([], [], [], []), 1000.0, 250.0)
    with pytest.raises(PolicyError, match=r"policy 'magic' is not known; expected one of keda-inflight"):
        make_policy("magic", None, conditions)

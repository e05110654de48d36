"""The fleet request by request: cases computed by hand, and what must hold whatever happens."""

import random

import pytest

from autoglm_simulator.limits import Limits, blocks_for
from autoglm_simulator.model import Engine
from autoglm_simulator.profiles import Speed
from autoglm_simulator.replay.plant import ITL_STEP, TTFT_STEP
from autoglm_simulator.replay.request.calls import Call
from autoglm_simulator.replay.request.plant import RequestPlant
from autoglm_simulator.replay.request.serving import Serving
from autoglm_simulator.replay.run import percentile
from autoglm_simulator.replay.settings import ColdStart, Fleet
from autoglm_simulator.requests import Request

A, B, P = 0.015, 0.00015, 0.000135  # of the fleet's defaults: per iteration, per sequence, per prompt token


def fleet(**changed):
    return Fleet(ColdStart((100.0,), sigma=0.0), **changed)


def plant(calls, replicas=1, serving=None, seed=0, **changed):
    return RequestPlant(fleet(**changed), serving or Serving(), calls, replicas, seed)


def poisson(rate, seconds, seed=1, inputs=1000, outputs=250):
    rng = random.Random(seed)
    time, found = 0.0, []
    while (time := time + rng.expovariate(rate)) < seconds:
        found.append(Call(time, inputs, outputs))
    return found


def late_share(one):
    totals = one.totals()
    return totals.late / totals.requests


# -- by hand -----------------------------------------------------------------------------------------------------------


def test_one_request_alone():
    seen = plant([Call(0.25, 1000, 101)]).advance(60)
    assert seen.ttft == pytest.approx(A + 1000 * P)
    assert seen.itl == pytest.approx(A + B)
    assert (seen.requests, seen.late, seen.arrivals) == (1, 0, 1 / 60)
    assert (seen.input_tokens, seen.output_tokens) == (1000, 101)
    assert seen.prefill_rate == pytest.approx(1000 / 60)


def test_what_runs_is_seen_while_it_runs():
    one = plant([Call(0.0, 1600, 1000)])
    one.advance(1)
    seen = one.advance(3)
    # At 3 s: prefill until 0.231, then a token each 15.15 ms, one more iteration under way.
    tokens = 1600 + int((3 - A - 1600 * P) / (A + B)) + 1
    assert (seen.running, seen.waiting, seen.batch) == (1, 0, 1)
    assert seen.tokens_in_use == 16 * blocks_for(tokens)
    assert seen.kv == pytest.approx(seen.tokens_in_use / 144_000)


def test_two_prompts_share_an_iteration_and_a_third_waits_for_the_budget():
    seen = plant([Call(0.0, 1000, 1)] * 3, serving=Serving(step_tokens=2000)).advance(5)
    assert seen.ttft == pytest.approx((2 * (A + 2000 * P) + 2 * A + 3000 * P) / 3)


def test_a_prompt_over_the_budget_takes_more_iterations_and_slows_who_decodes():
    calls = [Call(0.0, 100, 400), Call(1.0, 1000, 1)]
    one = plant(calls, serving=Serving(step_tokens=501))
    one.advance(1)
    seen = one.advance(2)
    # The first one's token is in flight when the prompt arrives; then two iterations of 500 prompt tokens beside it.
    assert seen.ttft == pytest.approx(2 * (A + B) + 1000 * P, abs=A + B)
    alone = plant(calls[:1], serving=Serving(step_tokens=501))
    alone.advance(1)
    assert seen.itl > 1.1 * alone.advance(2).itl


def test_a_full_batch_makes_the_next_wait_until_one_ends():
    seen = plant([Call(0.0, 1000, 101), Call(0.0, 1000, 101)], max_batch=1.0).advance(60)
    alone = A + 1000 * P
    assert seen.ttft == pytest.approx((alone + 2 * alone + 100 * (A + B)) / 2)


def test_requests_wait_for_the_first_replica_and_their_wait_counts():
    one = plant([Call(0.5, 1000, 2)], replicas=0)
    one.scale(1)
    waits = one.advance(100)
    assert (waits.waiting, waits.starting, waits.ready) == (1, 1, 0)
    assert one.totals().late == 1
    serves = one.advance(110)
    assert serves.ttft == pytest.approx(99.5 + A + 1000 * P)
    assert (serves.ready, serves.requests, serves.late) == (1, 1, 1)
    assert one.totals().late == 1


def test_lateness_is_of_the_mean_itl_and_of_the_ttft():
    assert late_share_of(fleet_itl=A + B + 1e-9) == 0
    assert late_share_of(fleet_itl=A + B - 1e-9) == 1
    assert late_share_of(fleet_ttft=A + 1000 * P + 1e-9) == 0
    assert late_share_of(fleet_ttft=A + 1000 * P - 1e-9) == 1


def late_share_of(fleet_ttft=2.0, fleet_itl=0.06):
    one = plant([Call(0.0, 1000, 101)], ttft=fleet_ttft, itl=fleet_itl)
    one.advance(10)
    return late_share(one)


def test_a_single_token_has_no_itl():
    one = plant([Call(0.0, 1000, 1)], itl=1e-6)
    one.advance(10)
    assert late_share(one) == 0
    assert sum(one.totals().itl) == 0


def test_percentiles_come_from_single_requests():
    one = plant([Call(10.0 * i, 1000, 101) for i in range(20)])
    one.advance(200)
    totals = one.totals()
    assert percentile(totals.ttft, 0.99) * TTFT_STEP == pytest.approx(A + 1000 * P, abs=TTFT_STEP)
    assert percentile(totals.itl, 0.99) * ITL_STEP == pytest.approx(A + B, abs=ITL_STEP)


def test_the_p90_is_that_of_the_last_minute():
    calls = [Call(0.0, 1000, 2)] * 20 + [Call(100.0, 1000, 2)]
    one = plant(calls, ttft=0.15, itl=1.0)
    assert one.advance(30).slo_p90 > 5  # twenty prompts at once
    assert one.advance(110).slo_p90 == pytest.approx((A + 1000 * P) / 0.15)


# -- the engine --------------------------------------------------------------------------------------------------------


def test_a_fleet_of_one_is_the_pure_engine():
    calls = poisson(3.0, 300)
    one = plant(calls)
    seen = one.advance(400)
    engine = Engine(Limits(128, 2048, 9000), Speed(A, B, 0.0, A, P))
    requests = [Request(call.input_tokens, call.output_tokens, call.time) for call in calls]
    for request in requests:
        engine.add(request)
    engine.step(400.0)
    ttfts = [request.first_token_at - request.arrival for request in requests]
    # Where a stride is cut depends on the caller's horizon, which rounds differently.
    assert seen.ttft == pytest.approx(sum(ttfts) / len(ttfts), rel=1e-6)
    late = sum(
        ttft > 2.0 or (request.finished_at - request.first_token_at) / 249 > 0.06
        for ttft, request in zip(ttfts, requests, strict=True)
    )
    assert one.totals().late == late


def test_the_cache_is_never_over_its_capacity_and_preempts_when_it_must():
    one = plant(poisson(6.0, 120, inputs=400, outputs=600), replicas=2, kv_tokens=20_000.0)
    for second in range(1, 400):
        assert one.advance(second).tokens_in_use <= 2 * 20_000
        assert all(replica.engine.kv.used <= replica.engine.kv.capacity for replica in one.replicas)
    assert one.preemptions > 0
    assert one.in_flight == 0


def test_without_need_nothing_is_preempted():
    # Eleven fit to their ends: 11 x 63 blocks of 700; with the twelfth not even their prompts would.
    one = plant([Call(0.0, 600, 400)] * 11, kv_tokens=16.0 * 700)
    one.advance(60)
    assert one.preemptions == 0
    more = plant([Call(0.0, 600, 400)] * 18, kv_tokens=16.0 * 700)
    more.advance(60)
    assert more.preemptions > 0
    assert more.totals().requests == 18
    assert more.in_flight == 0


def test_what_can_never_fit_is_refused_and_late():
    one = plant([Call(0.0, 900, 200), Call(0.0, 100, 10)], kv_tokens=1024.0)
    seen = one.advance(10)
    assert (one.rejected, one.in_flight, seen.requests, seen.late) == (1, 0, 2, 1)
    assert one.totals().late == 1
    assert one.totals().lost == 0


def test_a_cached_prefix_saves_its_prefill():
    calls = [Call(0.0, 1000, 1, (7, 8)), Call(10.0, 1000, 1, (7, 8)), Call(20.0, 1000, 1, (7, 9))]
    one = plant(calls)
    assert one.advance(10).ttft == pytest.approx(A + 1000 * P)
    again = one.advance(20)
    assert again.ttft == pytest.approx(A + (1000 - 62 * 16) * P)
    assert again.input_tokens == 1000 - 62 * 16
    assert one.advance(30).ttft == pytest.approx(A + (1000 - 512) * P)


def test_without_prefix_caching_nothing_is_saved():
    one = plant([Call(0.0, 1000, 1, (7, 8)), Call(10.0, 1000, 1, (7, 8))], serving=Serving(prefix_caching=False))
    one.advance(10)
    assert one.advance(20).ttft == pytest.approx(A + 1000 * P)


def test_the_least_recently_used_prefix_goes_first():
    # 130 blocks: two prompts of 62 cached ones, not three.
    calls = [Call(10.0 * i, 1000, 1, (which, which + 100)) for i, which in enumerate((1, 2, 3, 3, 1))]
    one = plant(calls, kv_tokens=16.0 * 130)
    ttfts = [one.advance(10 * (i + 1)).ttft for i in range(5)]
    assert ttfts[3] == pytest.approx(A + 8 * P)
    assert ttfts[4] > A + 500 * P


# -- router ------------------------------------------------------------------------------------------------------------


def test_requests_go_to_who_has_the_fewest():
    one = plant([Call(0.1, 1000, 1000)] * 9, replicas=3)
    one.advance(1)
    assert [replica.in_flight for replica in one.replicas] == [3, 3, 3]


def placed(seed, view_seconds):
    """Return what each replica runs after one of two has ended its request and another has come."""
    calls = [Call(0.1, 1000, 4000), Call(0.2, 1000, 10), Call(10.1, 1000, 4000)]
    one = plant(calls, replicas=2, serving=Serving(view_seconds=view_seconds), seed=seed)
    one.advance(11)
    return sorted(replica.in_flight for replica in one.replicas)


def test_a_stale_view_does_not_see_what_has_ended():
    for seed in range(10):
        assert placed(seed, 1) == [1, 1]
        assert placed(seed, 30) == [0, 2]  # to the first among equals, as it believes


# -- monotonic ---------------------------------------------------------------------------------------------------------


def test_more_replicas_make_fewer_late():
    calls = poisson(12.0, 240)
    shares = []
    for replicas in (2, 3, 4, 6):
        one = plant(calls, replicas)
        one.advance(300)
        shares.append(late_share(one))
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 0.5
    assert shares[-1] < 0.01


def test_more_traffic_makes_more_late():
    shares = []
    for rate in (2.0, 8.0, 11.0, 16.0):
        one = plant(poisson(rate, 240), 2)
        one.advance(300)
        shares.append(late_share(one))
    assert shares == sorted(shares)
    assert shares[0] < 0.01
    assert shares[-1] > 0.5

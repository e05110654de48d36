"""Single requests from a trace: as recorded, scaled, or made up from rates."""

import json
import statistics

import pytest

from autoglm_simulator.replay.arrivals import make_traffic
from autoglm_simulator.replay.request.calls import Call, calls_for, read_hashes, recorded_calls, sampled_calls
from autoglm_simulator.replay.traces import TraceError, read_trace
from autoglm_simulator.replay.traffic import Traffic


def mooncake(tmp_path, *requests):
    path = tmp_path / "trace.jsonl"
    names = ("timestamp", "input_length", "output_length", "hash_ids")
    path.write_text("\n".join(json.dumps(dict(zip(names, request, strict=False))) for request in requests))
    return path


def counts(*arrivals):
    return Traffic([1.0] * len(arrivals), list(arrivals), [1000.0] * len(arrivals), [250.0] * len(arrivals))


def test_the_prefix_is_one_hash_for_each_full_block():
    blocks = Call(0.0, 1000, 1, (3, 5)).prefix()
    assert blocks == [*range(96, 128), *range(160, 190)]  # 62 full blocks of 16
    assert Call(0.0, 1000, 1, (3,)).prefix() == [*range(96, 128)]
    assert Call(0.0, 1000, 1).prefix() == []


def test_clients_do_not_share_prefixes():
    one, other = (Call(0.0, 1024, 1, (3, 5), client).prefix() for client in (0, 1))
    assert not set(one) & set(other)


def test_recorded_requests_keep_times_lengths_and_prefixes_in_order(tmp_path):
    path = mooncake(tmp_path, (5000, 600, 7, [1, 4]), (3000, 500, 9, [1]), (9000, 512, 8, [2]))
    calls = recorded_calls(read_trace(path), read_hashes(path), 6)
    assert calls == [Call(0.0, 500, 9, (1,)), Call(2.0, 600, 7, (1, 4))]


def test_a_trace_without_hashes_has_empty_ones(tmp_path):
    path = mooncake(tmp_path, (0, 600, 7))
    assert read_hashes(path) == [()]


@pytest.mark.parametrize("wrong", ["1", [-1], [1.5], [True], [2**40]])
def test_hashes_that_cannot_be_are_named(tmp_path, wrong):
    path = mooncake(tmp_path, (0, 600, 7, [1]), (0, 600, 7, wrong))
    with pytest.raises(TraceError, match=r"trace.jsonl:2: field hash_ids: got .* expected whole numbers"):
        read_hashes(path)


def test_a_scaled_trace_takes_the_requests_of_the_minute_evenly(tmp_path):
    path = mooncake(tmp_path, (0, 100, 1, [1]), (30_000, 200, 2, [2]), (60_000, 300, 3, [3]), (119_000, 400, 4, [4]))
    trace, hashes = read_trace(path), read_hashes(path)
    up = sampled_calls(trace, hashes, counts(*[1.0] * 4, *[0.0] * 56, 1.0, *[0.0] * 59), 0)
    assert [(call.input_tokens, call.hashes, call.client) for call in up] == [
        (100, (1,), 0),
        (100, (1,), 1),
        (200, (2,), 0),
        (200, (2,), 1),
        (300, (3,), 0),
    ]
    assert [int(call.time) for call in up] == [0, 1, 2, 3, 60]


def test_a_minute_without_requests_takes_the_latest_before_it(tmp_path):
    path = mooncake(tmp_path, (0, 100, 1), (1000, 200, 2), (180_000, 300, 3))
    calls = sampled_calls(read_trace(path), [], counts(*[0.0] * 100, 1.0, *[0.0] * 80), 0)
    assert [call.input_tokens for call in calls] == [200]


def test_rates_give_spread_outputs_and_the_mean_prompt(tmp_path):
    path = tmp_path / "rates.csv"
    path.write_text("window_start_s,rate_rps,index_of_dispersion\n0,20,2\n600,20,2\n")
    trace = read_trace(path)
    calls = sampled_calls(trace, [], make_traffic(trace, None, 1200, 1), 1)
    assert {call.input_tokens for call in calls} == {1000}
    outputs = [call.output_tokens for call in calls]
    mean = sum(outputs) / len(outputs)
    assert mean == pytest.approx(250, rel=0.03)
    assert statistics.pstdev(outputs) / mean == pytest.approx(0.75, rel=0.03)
    assert calls == sorted(calls, key=lambda call: call.time)


def test_every_request_has_a_token(tmp_path):
    path = tmp_path / "rates.csv"
    path.write_text("window_start_s,rate_rps\n0,5\n60,5\n")
    calls = sampled_calls(read_trace(path), [], Traffic([5.0], [50.0], [0.2], [0.3]), 1)
    assert {call.input_tokens for call in calls} == {1}
    assert min(call.output_tokens for call in calls) == 1


def test_only_a_scaled_trace_of_requests_is_sampled(tmp_path):
    path = mooncake(tmp_path, (0, 600, 7, [1]), (1000, 500, 9, [2]))
    trace = read_trace(path)
    assert calls_for(path, trace, counts(9, 9), 0, scaled=False) == recorded_calls(trace, [(1,), (2,)], 2)
    assert len(calls_for(path, trace, counts(9, 9), 0, scaled=True)) == 18

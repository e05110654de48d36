import pytest

from autoglm_simulator.limits import Limits
from autoglm_simulator.model import Engine
from autoglm_simulator.profiles import Speed
from autoglm_simulator.requests import Phase, Request

SPEED = Speed(
    decode_base=1.0, decode_per_sequence=0.25, decode_per_context_token=0.0, prefill_base=0.5, prefill_per_token=0.125
)


def engine(*, seqs=4, budget=64, blocks=64, prefix_caching=True):
    return Engine(Limits(seqs, budget, blocks, prefix_caching), SPEED)


def finish(model):
    return [request for progress in model.step(1e6) for request in progress.finished]


def test_one_request_takes_its_prefill_and_one_iteration_per_further_token():
    model = engine()
    request = Request(8, 3, arrival=10.0)
    model.add(request)
    assert finish(model) == [request]
    assert request.scheduled_at == 10.0
    assert request.first_token_at == 10.0 + 0.5 + 8 * 0.125
    assert request.finished_at == request.first_token_at + 2 * (1.0 + 0.25)


def test_prefill_and_decode_share_an_iteration():
    model = engine()
    model.add(Request(8, 3, arrival=0.0))
    model.add(Request(16, 1, arrival=1.5))  # the first one's prefill ends now
    second = model.step(1e6)[1]
    assert (second.decoded, second.prefill_tokens) == (1, 16)
    assert second.inter_token_seconds == 1.0 + 0.25 + 16 * 0.125


def test_a_long_prompt_is_cut_where_the_budget_ends():
    model = engine(budget=40)
    model.add(Request(100, 1, arrival=0.0))
    assert [progress.prefill_tokens for progress in model.step(1e6)] == [40, 40, 20]


def test_context_makes_decoding_slower():
    speed = Speed(1.0, 0.0, 0.001, 0.5, 0.0)
    model = Engine(Limits(4, 64, 64), speed)
    request = Request(10, 4, arrival=0.0)
    model.add(request)
    finish(model)
    assert request.finished_at - request.first_token_at == pytest.approx(3 + 0.001 * (10 + 11 + 12))


def test_without_a_free_block_the_youngest_computes_again():
    model = engine(blocks=4, prefix_caching=False)
    old, young = Request(16, 40, arrival=0.0), Request(16, 40, arrival=0.0)
    model.add(old)
    model.add(young)
    runs = model.step(1e6)
    [(request, gap, end)] = [(*entry, progress.end) for progress in runs for entry in progress.resumed]
    assert (old.preemptions, young.preemptions, model.preemptions) == (0, 1, 1)
    assert old.finished_at < young.finished_at
    assert (old.generated, young.generated) == (40, 40)
    assert request is young
    last_together = max(progress.end for progress in runs if progress.decoded == 2)
    assert gap == end - last_together  # from its latest token on, not from the iteration before


def test_what_was_preempted_comes_back_in_the_next_iteration_at_the_earliest():
    model = engine(budget=80, blocks=6)
    requests = [Request(33, 40, 0.0, prefix=(1, 2)) for _ in range(2)]  # the same prompt, computed at the same time
    for request in requests:
        model.add(request)
    runs = model.step(1e6)
    resumed = next(index for index, progress in enumerate(runs) if progress.resumed)
    assert [(run.decoded, run.iterations, run.prefill_tokens) for run in runs[resumed - 2 : resumed + 1]] == [
        (2, 15, 0),
        (1, 1, 0),
        (1, 1, 17),  # 33 prompt and 16 generated tokens, 32 of which the other request holds
    ]


def test_a_prompt_half_computed_gives_way_to_what_decodes():
    model = engine(seqs=2, budget=2, blocks=6, prefix_caching=False)
    decoding, long = Request(16, 60, arrival=0.0), Request(64, 1, arrival=0.0)
    model.add(decoding)
    model.add(long)
    while model.next_time is not None or model.waiting:
        model.step(model.next_time or 0.0)
        assert model.kv.available >= 0
    assert (decoding.preemptions, long.preemptions) == (0, 1)
    assert long.finished_at > decoding.finished_at


def test_a_prompt_seen_before_is_not_computed_again():
    model = engine()
    prefix = tuple(range(4))
    first, second = Request(70, 1, 0.0, prefix=prefix), Request(70, 1, 100.0, prefix=prefix)
    model.add(first)
    model.add(second)
    computed = [progress.prefill_tokens for progress in model.step(1e6)]
    assert (first.cached_tokens, second.cached_tokens) == (0, 64)
    assert computed == [64, 6, 6]


def test_at_least_one_token_of_a_cached_prompt_is_computed():
    model = engine()
    for arrival in (0.0, 100.0):
        model.add(Request(32, 1, arrival, prefix=(1, 2)))
    assert [progress.prefill_tokens for progress in model.step(1e6)] == [32, 16]


def test_the_oldest_cached_prefix_is_evicted_and_its_end_first():
    model = engine(blocks=5)
    for arrival, prefix in ((0.0, (1, 2)), (100.0, (3, 4)), (200.0, (5,)), (300.0, (1, 2))):
        model.add(Request(16 * len(prefix) + 1, 1, arrival, prefix=prefix))
    requests = finish(model)
    assert requests[-1].cached_tokens == 16  # block 2 had to go, block 1 is still there


def test_a_request_that_could_never_run_is_refused():
    with pytest.raises(ValueError, match=r"needs 5 KV blocks, but there are 4"):
        engine(blocks=4).add(Request(60, 6, arrival=0.0))
    with pytest.raises(ValueError, match=r"0 prompt"):
        engine().add(Request(0, 6, arrival=0.0))


def test_limits_that_vllm_refuses_are_refused():
    with pytest.raises(ValueError, match=r"max_num_batched_tokens \(8\) must be greater than or equal to max_num_seqs"):
        Limits(16, 8, 64)


def test_cancelled_in_the_queue_ends_at_once_and_in_the_batch_with_the_iteration():
    model = engine(seqs=1)
    running, queued = Request(8, 100, 0.0), Request(8, 100, 0.0)
    model.add(running)
    model.add(queued)
    model.step(3.0)
    model.cancel(queued)
    assert (queued.phase, queued.finish_reason, model.waiting) == (Phase.DONE, "abort", 0)
    model.cancel(running)
    assert running.phase is Phase.DECODE
    [progress] = model.step(model.next_time)
    assert progress.finished == (running,)
    assert (running.finish_reason, model.kv.used, model.next_time) == ("abort", 0, None)


def test_hang_delays_what_is_under_way_and_what_comes():
    model = engine()
    request = Request(8, 2, arrival=0.0)
    model.add(request)
    model.step(0.0)
    model.hang(0.0, 30.0)
    finish(model)
    assert request.first_token_at == 31.5
    model.hang(100.0, 30.0)
    late = Request(8, 1, arrival=110.0)
    model.add(late)
    assert model.step(110.0) == []
    assert model.next_time == 130.0  # a driver must come back for it
    finish(model)
    assert late.scheduled_at == 130.0


def test_slowdown_stretches_iterations():
    model = engine()
    model.slowdown = 3.0
    request = Request(8, 1, arrival=0.0)
    model.add(request)
    finish(model)
    assert request.finished_at == 3 * 1.5


def test_withheld_blocks_preempt_and_their_return_lets_all_finish():
    model = engine(blocks=16, prefix_caching=False)
    requests = [Request(16, 100, arrival=0.0) for _ in range(2)]
    for request in requests:
        model.add(request)
    model.step(10.0)
    model.kv.withhold(16)
    model.step(50.0)
    assert (model.running, model.waiting, model.kv.usage, model.next_time) == (0, 2, 1.0, None)
    model.kv.withhold(0)
    after = model.step(60.0)
    assert model.running == 2
    assert after[0].start == 50.0  # nothing ran while blocks lacked
    model.step(1e6)
    assert [request.generated for request in requests] == [100, 100]


def test_usage_counts_what_requests_hold_not_what_is_only_cached():
    model = engine(blocks=8)
    model.add(Request(33, 20, 0.0, prefix=(1, 2)))
    model.step(5.0)
    assert model.kv.usage == 3 / 8
    finish(model)
    assert (model.kv.usage, model.kv.idle) == (0.0, 2)

"""What must hold for every load, limit and moment of the engine model."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoglm_simulator.limits import Limits, blocks_for
from autoglm_simulator.model import Engine
from autoglm_simulator.profiles import BLOCK_TOKENS, Speed
from autoglm_simulator.requests import Phase, Progress, Request

# Odd digits: an arrival never falls on the end of an iteration by chance, where rounding would decide.
SPEED = Speed(0.0150731, 0.00015177, 1.3e-8, 0.0148093, 0.00013519)


@dataclass
class Load:
    limits: Limits
    requests: list[Request]
    cancels: dict[int, float] = field(default_factory=dict)  # by index of the request

    def fresh(self) -> list[Request]:
        return [Request(r.prompt_tokens, r.output_tokens, r.arrival, prefix=r.prefix) for r in self.requests]


@st.composite
def loads(draw, *, cancelling=True):
    sizes = st.tuples(st.integers(1, 200), st.integers(1, 60), st.integers(0, 60), st.integers(0, 2), st.booleans())
    requests, arrival = [], 0.0
    for prompt, output, gap, family, shared in draw(st.lists(sizes, min_size=1, max_size=14)):
        arrival += gap * 0.0137
        prefix = tuple(1000 * family + block for block in range(prompt // BLOCK_TOKENS)) if shared else ()
        requests.append(Request(prompt, output, arrival, prefix=prefix))
    largest = max(blocks_for(r.prompt_tokens + r.output_tokens) for r in requests)
    seqs = draw(st.integers(1, 6))
    budget = seqs + draw(st.one_of(st.integers(0, 8), st.integers(0, 256)))  # small: prompts take many iterations
    blocks = largest + draw(st.one_of(st.integers(0, 3), st.integers(0, 25)))  # few: requests preempt each other
    limits = Limits(seqs, budget, blocks, draw(st.booleans()))
    chosen = draw(st.sets(st.integers(0, len(requests) - 1))) if cancelling else set()
    return Load(limits, requests, {i: requests[i].arrival + draw(st.integers(0, 90)) * 0.0131 for i in chosen})


def run(load, *, each_iteration=True, check=lambda engine, progress: None):
    """Play `load` and return its requests; `check` sees each progress, before the next run starts."""
    engine = Engine(load.limits, SPEED)
    requests = load.fresh()
    moments = sorted(
        [(r.arrival, 0, i) for i, r in enumerate(requests)] + [(when, 1, i) for i, when in load.cancels.items()]
    )
    for when, kind, index in [*moments, (1e6, 2, 0)]:
        while each_iteration and engine.next_time is not None and engine.next_time <= when:
            for progress in engine.step(engine.next_time):
                check(engine, progress)
        for progress in engine.step(when):
            check(engine, progress)
        if kind == 0:
            engine.add(requests[index])
        elif kind == 1:
            engine.cancel(requests[index])
    return engine, requests


def assert_blocks_conserved(engine):
    held = list(engine._running)
    private = sum(blocks_for(engine.computed(r)) - len(r.cached_blocks) for r in held)
    shared = {block for r in held for block in r.cached_blocks}
    assert engine.kv.used == private + len(shared)
    assert 0 <= engine.kv.used <= engine.kv.used + engine.kv.idle <= engine.kv.capacity
    assert all(engine.computed(r) == 0 and not r.cached_blocks for r in engine._waiting)


@given(loads())
def test_every_request_ends_once_and_gives_its_blocks_back(load):
    ended = []
    engine, requests = run(load, check=lambda _, progress: ended.extend(progress.finished))
    assert len(ended) == len(set(ended))
    assert all(r.phase is Phase.DONE for r in requests)
    for index, request in enumerate(requests):
        whole = request.generated == request.output_tokens
        assert whole if request.finish_reason != "abort" else index in load.cancels and not whole
        assert request in ended or request.finish_reason == "abort"
    assert (engine.kv.used, engine.running, engine.waiting, engine.next_time) == (0, 0, 0, None)


@given(loads())
def test_blocks_are_conserved_and_never_more_than_there_are(load):
    run(load, check=lambda engine, _: assert_blocks_conserved(engine))


@given(loads())
def test_a_batch_stays_within_its_limits(load):
    def check(engine, progress: Progress):
        assert engine.running <= load.limits.max_num_seqs
        assert progress.decoded + progress.prefill_tokens <= load.limits.max_num_batched_tokens
        assert progress.decoded or progress.prefill_tokens
        assert progress.iterations == 1 or not progress.prefill_tokens

    run(load, check=check)


@given(loads())
def test_first_come_first_served(load):
    def check(engine, _):
        arrivals = [r.arrival for r in engine.requests()]
        assert arrivals == sorted(arrivals)  # those that run came before those that wait, preempted ones included

    _, requests = run(load, check=check)
    admitted = [r.scheduled_at for r in requests if r.scheduled_at is not None]
    assert admitted == sorted(admitted)
    assert all(r.scheduled_at >= r.arrival for r in requests if r.scheduled_at is not None)


@given(loads())
def test_tokens_come_one_per_iteration_and_time_moves_forward(load):
    seen: dict[Request, int] = {}
    ends = [0.0]

    def check(engine, progress: Progress):
        assert ends[-1] <= progress.start < progress.end
        ends.append(progress.end)
        for request in [*engine.requests(), *progress.finished]:
            done = engine.generated(request)
            assert 0 <= done - seen.get(request, 0) <= progress.iterations
            seen[request] = done

    _, requests = run(load, check=check)
    for request in requests:
        if request.finish_reason != "abort":
            times = [request.arrival, request.scheduled_at, request.first_token_at, request.finished_at]
            assert times == sorted(times)


@given(loads())
def test_tokens_are_conserved(load):
    totals = {"decoded": 0, "firsts": 0, "prefill": 0}

    def check(_, progress: Progress):
        totals["decoded"] += progress.decoded * progress.iterations
        totals["firsts"] += len(progress.first_tokens) + len(progress.resumed)
        totals["prefill"] += progress.prefill_tokens

    _, requests = run(load, check=check)
    assert totals["decoded"] + totals["firsts"] == sum(r.generated for r in requests)
    if not load.cancels and not any(r.preemptions for r in requests):
        assert totals["prefill"] == sum(r.prompt_tokens - r.cached_tokens for r in requests)


@given(loads())
def test_no_room_is_left_while_something_that_fits_waits(load):
    def check(engine, _):
        flight = engine._flight  # what started the moment this run ended
        if not engine.waiting or engine._waiting[0].arrival > (flight.start if flight else engine._clock):
            return
        assert flight is not None
        head = engine._waiting[0]
        full = engine.running == load.limits.max_num_seqs
        spent = flight.decoded + flight.prefill_tokens == load.limits.max_num_batched_tokens
        lacking = blocks_for(head.target) > engine.kv.available
        assert full or spent or lacking or engine._preempted

    run(load, check=check)


@given(loads())
def test_the_same_load_gives_the_same_result(load):
    first, second = run(load)[1], run(load)[1]
    assert [(r.finished_at, r.generated, r.preemptions) for r in first] == [
        (r.finished_at, r.generated, r.preemptions) for r in second
    ]


@given(loads())
@settings(max_examples=200)
def test_a_stride_of_many_iterations_gives_what_single_ones_give(load):
    single, strides = run(load, each_iteration=True)[1], run(load, each_iteration=False)[1]
    assert [(r.generated, r.preemptions, r.finish_reason) for r in strides] == [
        (r.generated, r.preemptions, r.finish_reason) for r in single
    ]
    for one, other in zip(single, strides, strict=True):
        assert other.finished_at == pytest.approx(one.finished_at, abs=1e-6)
        assert other.first_token_at == pytest.approx(one.first_token_at, abs=1e-6)


@given(loads(cancelling=False), st.integers(1, 40))
def test_a_cached_prefix_only_saves_work(load, times):
    cached = Engine(load.limits, SPEED)
    for number in range(times):
        request = load.fresh()[0]
        request.arrival = number * 1e3
        cached.add(request)
        cached.step(request.arrival + 999)
        assert request.phase is Phase.DONE
        reusable = (request.prompt_tokens - 1) // BLOCK_TOKENS * BLOCK_TOKENS if request.prefix else 0
        expected = reusable if number and load.limits.prefix_caching else 0
        # Generated tokens may have evicted the end of the prefix, where the cache is as small as the request.
        assert request.cached_tokens <= expected
        if load.limits.kv_blocks >= 2 * blocks_for(request.prompt_tokens + request.output_tokens):
            assert request.cached_tokens == expected

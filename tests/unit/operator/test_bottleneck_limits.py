"""At each limit of the table: what is named stays named while its numbers shake, and leaves when they really moved."""

from dataclasses import replace

import pytest

from autoglm_operator.decide.bottleneck import (
    IDLE_SECONDS,
    SETTLE_SECONDS,
    Cause,
    Figures,
    Finding,
    Held,
    Setup,
    diagnose,
    settle,
)
from autoglm_operator.decide.scaling.needs import Tail

SETUP = Setup(max_replicas=8, batch=100, budget=256, ttft=1.0, itl=0.1)
QUIET = Figures(running=50.0, waiting=0.0, kv_cache=0.3, requests=5.0, step_tokens=50.0)
QUEUED = replace(QUIET, running=100.0, waiting=9.0)


def late(seconds):
    return Tail(seconds, 1000)


#: Just over a limit, just under it, and far under it.
LIMITS = {
    "requests wait": (Cause.QUEUE, *(replace(QUEUED, waiting=waiting) for waiting in (4.1, 3.8, 1.0))),
    "the batch is full": (Cause.QUEUE, *(replace(QUEUED, running=running) for running in (96.0, 92.0, 40.0))),
    "steps are full": (
        Cause.QUEUE,
        *(replace(QUEUED, running=50.0, step_tokens=tokens) for tokens in (206.0, 200.0, 100.0)),
    ),
    "the cache is full": (
        Cause.KV_CACHE,
        *(replace(QUEUED, running=50.0, kv_cache=share) for share in (0.91, 0.88, 0.5)),
    ),
    "requests lose their blocks": (
        Cause.KV_CACHE,
        *(replace(QUIET, kv_cache=0.85, preemptions=rate) for rate in (0.101, 0.097, 0.01)),
    ),
    "time is spent elsewhere": (
        Cause.NETWORK,
        *(replace(QUIET, step_tokens=200.0, ttft=late(2.0), elsewhere=share) for share in (0.31, 0.29, 0.1)),
    ),
    "the server's process is busy": (
        Cause.NETWORK,
        *(replace(QUIET, step_tokens=200.0, ttft=late(2.0), cpu=share) for share in (0.91, 0.88, 0.3)),
    ),
    "steps are large": (
        Cause.COMPUTE,
        *(replace(QUIET, ttft=late(2.0), step_tokens=tokens) for tokens in (515.0, 500.0, 200.0)),
    ),
    "tensor pipes are busy": (
        Cause.COMPUTE,
        *(replace(QUIET, ttft=late(2.0), tensor=share, dram=0.0) for share in (0.37, 0.35, 0.1)),
    ),
    "steps are small": (
        Cause.MEMORY_BANDWIDTH,
        *(replace(QUIET, itl=late(0.2), step_tokens=tokens) for tokens in (63.0, 66.0, 200.0)),
    ),
    "memory is busy": (
        Cause.MEMORY_BANDWIDTH,
        *(replace(QUIET, itl=late(0.2), tensor=0.0, dram=share) for share in (0.52, 0.50, 0.1)),
    ),
    "tokens are late": (
        Cause.MEMORY_BANDWIDTH,
        *(replace(QUIET, itl=late(seconds)) for seconds in (0.091, 0.088, 0.02)),
    ),
}


@pytest.mark.parametrize("limit", LIMITS)
def test_just_over_a_limit_the_cause_is_named_and_just_under_it_stays(limit):
    cause, over, under, far = LIMITS[limit]
    assert diagnose(over, SETUP).cause is cause
    assert diagnose(under, SETUP).cause is not cause, "not for one who has not named it"
    assert diagnose(under, SETUP, cause).cause is cause
    assert diagnose(far, SETUP, cause).cause is not cause


def test_a_full_cache_is_named_before_a_full_batch():
    assert diagnose(replace(QUEUED, kv_cache=0.95), SETUP).cause is Cause.KV_CACHE


@pytest.mark.parametrize(
    ("kv_cache", "waiting", "wanted"),
    [(0.1, 9.0, 109), (0.1, 500.0, 200), (0.5, 500.0, 160), (0.85, 500.0, 101)],
)
def test_the_batch_that_is_named_takes_what_waits_and_has_room_in_the_cache(kv_cache, waiting, wanted):
    found = diagnose(replace(QUEUED, kv_cache=kv_cache, waiting=waiting), SETUP)
    assert found.knob == f"spec.engine.batching.maxNumSeqs: {wanted}"


@pytest.mark.parametrize(
    ("figures", "cause"),
    [
        (replace(QUEUED, step_tokens=500.0), Cause.QUEUE),
        (replace(QUEUED, running=93.0, step_tokens=250.0), Cause.QUEUE),
        (replace(QUIET, waiting=3.9), Cause.CLIENT),
    ],
)
def test_what_must_not_hold_is_not_eased(figures, cause):
    assert diagnose(figures, SETUP).cause is cause
    assert diagnose(figures, SETUP, cause).cause is cause


def test_too_few_observations_are_no_late_latency():
    few = replace(QUIET, itl=Tail(0.2, 19))
    assert diagnose(few, SETUP).cause is Cause.CLIENT


def test_no_larger_batch_is_named_where_tokens_would_come_too_late():
    assert diagnose(replace(QUEUED, itl=late(0.085)), SETUP).cause is not Cause.QUEUE


def test_another_cause_has_to_be_found_without_a_break():
    compute, queue = Finding(Cause.COMPUTE, "c"), Finding(Cause.QUEUE, "q")
    held = Held(compute, 0.0)
    for now, found in ((10.0, queue), (30.0, compute), (35.0, queue), (60.0, queue)):
        held = settle(held, found, now)
        assert held.named is compute
    assert settle(held, queue, 65.0).named is queue


@pytest.mark.parametrize(
    ("before", "seconds"),
    [(Cause.CLIENT, IDLE_SECONDS), (Cause.QUEUE, SETTLE_SECONDS), (Cause.KV_CACHE, SETTLE_SECONDS)],
)
def test_a_request_every_few_minutes_is_no_news_each_time(before, seconds):
    idle = Finding(Cause.IDLE, "i")
    held = settle(Held(Finding(before, "b"), 0.0), idle, 10.0)
    assert settle(held, idle, 10.0 + seconds - 1).named.cause is before
    assert settle(held, idle, 10.0 + seconds).named.cause is Cause.IDLE

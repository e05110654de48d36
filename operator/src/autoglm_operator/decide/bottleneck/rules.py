"""The table: each cause with its condition, the clause that tells its numbers, and the knob that moves it."""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, floor
from typing import Final

from autoglm_operator.decide.bottleneck.case import (
    BANDWIDTH_TOKENS,
    BATCH_FULL,
    COMPUTE_TOKENS,
    CPU_FULL,
    DRAM_CEILING,
    ELSEWHERE,
    GPU_SPENT,
    ITL_ROOM,
    KV_FULL,
    KV_ROOM,
    LATENCY_PRESSURE,
    PREEMPTED,
    TENSOR_CEILING,
    WINDOW_SECONDS,
    Case,
    Cause,
)
from autoglm_operator.decide.scaling.needs import milliseconds


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table.

    Attributes:
        when: the condition, in words, for people.
        knob_text: the knob, in words, for people.
        holds: the condition.
        evidence: one clause with the numbers.
        knob: field of the spec with a value or a direction; empty if nothing has to be turned.
    """

    cause: Cause
    when: str
    knob_text: str
    holds: Callable[[Case], bool]
    evidence: Callable[[Case], str]
    knob: Callable[[Case], str]


# -- the words --------------------------------------------------------------------------------------------------------


def _percent(value: float) -> str:
    return f"{value:.0%}"


def _pressure(case: Case) -> str:
    figures, setup = case.figures, case.setup
    words = [f"{figures.waiting:.0f} requests wait for each replica"] if case.queue else []
    for name, tail, objective in (("TTFT", figures.ttft, setup.ttft), ("ITL", figures.itl, setup.itl)):
        if tail is not None and objective is not None and case.over(tail, objective):
            words.append(f"P99 {name} is {milliseconds(tail.p99)} at an objective of {milliseconds(objective)}")
    return " and ".join(words)


def _batch(case: Case) -> str:
    places = case.places
    return f"{case.figures.running:.0f} run" + (f" in {places:.0f} places" if places is not None else "")


def _units(case: Case) -> str:
    figures = case.figures
    if figures.tensor is None or figures.dram is None:
        return f"a step of the engine computes {figures.step_tokens or 0.0:.0f} tokens"
    return (
        f"tensor pipes are busy {_percent(figures.tensor)} of the time, memory is used at {_percent(figures.dram)} "
        "of its peak bandwidth"
    )


def _cache(case: Case) -> str:
    figures = case.figures
    lost = f", {figures.preemptions * 60:.0f} preemptions a minute" if figures.preemptions else ""
    waits = f", {figures.waiting:.0f} requests wait while {_batch(case)}" if case.queue else ""
    return f"the KV cache of each replica is {_percent(figures.kv_cache)} full{lost}{waits}"


def _path(case: Case) -> str:
    figures = case.figures
    words = []
    if figures.elsewhere is not None:
        words.append(f"{_percent(figures.elsewhere)} of a request's time is spent outside queue and batch")
    if figures.cpu is not None:
        words.append(f"the HTTP server's process uses {_percent(figures.cpu)} of a core")
    return f"{_pressure(case) or 'requests are slow'}, and {', '.join(words)}"


def _free(case: Case) -> str:
    return f"{case.figures.requests:.2g} requests a second for each replica, {_batch(case)}, and none is late"


def unknown(case: Case) -> str:
    """Return why no row of the table holds."""
    if case.units is not None:
        sm = "" if case.figures.sm is None else f", SMs are active {_percent(case.figures.sm)} of it"
        return f"{_pressure(case)}, but neither unit of the GPUs is near its limit: {_units(case)}{sm}"
    missing = "the agent has no counters of the GPU (Hopper or newer) to tell compute from memory bandwidth"
    if case.figures.step_tokens is None:
        return f"{_pressure(case)}; {missing}"
    between = f"between {BANDWIDTH_TOKENS:.0f} and {COMPUTE_TOKENS:.0f} tokens"
    return f"{_pressure(case)}; {missing}, and {case.figures.step_tokens:.0f} tokens in a step are {between}"


# -- the knobs --------------------------------------------------------------------------------------------------------


def _larger_batch(case: Case) -> str:
    places = case.places or 1.0
    room = floor(places * KV_ROOM / max(case.figures.kv_cache, 0.01))
    wanted = min(ceil(places + case.figures.waiting), ceil(2 * places), max(room, ceil(places) + 1))
    return f"spec.engine.batching.maxNumSeqs: {wanted}"


def _larger_step(case: Case) -> str:
    return f"spec.engine.batching.maxBatchedTokens: {min(2 * (case.setup.budget or 1), int(COMPUTE_TOKENS))}"


def _larger_cache(case: Case) -> str:
    return case.setup.more_replicas if case.setup.small_cache else "spec.engine.kvCache.dtype: fp8_e4m3"


def _less_compute(case: Case) -> str:
    return case.setup.more_replicas if case.setup.prefix_caching else "spec.engine.kvCache.prefixCaching: true"


def _less_memory(case: Case) -> str:
    return case.setup.more_replicas if case.setup.quantized else "spec.engine.quantization: fp8"


def _wider_path(_: Case) -> str:
    return "spec.resources.cpu: more; with vLLM spec.engine.extraArgs: --api-server-count=2"


def _nothing(_: Case) -> str:
    return ""


# -- the conditions ---------------------------------------------------------------------------------------------------


def _idle(case: Case) -> bool:
    return case.figures.running + case.figures.waiting == 0 and case.figures.requests == 0


def _kv_cache(case: Case) -> bool:
    figures = case.figures
    crowded = case.queue and case.least(figures.kv_cache, KV_FULL)
    lost = figures.preemptions > 0 and case.least(figures.preemptions, PREEMPTED * figures.requests)
    return crowded or (lost and case.least(figures.kv_cache, KV_ROOM))


def _batch_too_small(case: Case) -> bool:
    return case.queue and case.batch_full and case.itl_room and not case.hard.computing


def _step_too_small(case: Case) -> bool:
    budget, tokens = case.setup.budget, case.figures.step_tokens
    if budget is None or budget >= COMPUTE_TOKENS or case.hard.batch_full:
        return False
    return case.queue and case.itl_room and case.least(tokens, 0.8 * budget)


def _network(case: Case) -> bool:
    figures = case.figures
    return case.late and (case.least(figures.elsewhere, ELSEWHERE) or case.least(figures.cpu, CPU_FULL))


def _compute(case: Case) -> bool:
    return case.pressure and case.computing


def _bandwidth(case: Case) -> bool:
    return case.pressure and case.reading


def _client(case: Case) -> bool:
    return not case.hard.pressure


RULES: Final = (
    Rule(
        Cause.IDLE,
        f"no request in {WINDOW_SECONDS:.0f} s",
        "none",
        _idle,
        lambda _: f"no request in {WINDOW_SECONDS:.0f} s",
        _nothing,
    ),
    Rule(
        Cause.KV_CACHE,
        f"running requests lose their KV blocks ({PREEMPTED:.0%} of those that start, or more) with the cache at "
        f"least {KV_ROOM:.0%} full; or requests wait while it is {KV_FULL:.0%} full",
        "`engine.kvCache.dtype: fp8_e4m3`, which holds twice the tokens; where it is set, more replicas",
        _kv_cache,
        _cache,
        _larger_cache,
    ),
    Rule(
        Cause.QUEUE,
        f"requests wait with the batch {BATCH_FULL:.0%} full, while the P99 ITL is at most {ITL_ROOM:.0%} of its "
        "objective and the GPU not short of compute (see *compute*)",
        "`engine.batching.maxNumSeqs`: up, to what waits and what the KV cache has room for",
        _batch_too_small,
        lambda case: f"{_pressure(case)} while {_batch(case)}; KV cache {_percent(case.figures.kv_cache)} full",
        _larger_batch,
    ),
    Rule(
        Cause.QUEUE,
        "requests wait with places free, the steps of the engine are full, and `engine.batching.maxBatchedTokens` is "
        f"below {COMPUTE_TOKENS:.0f}, which leaves the GPU with time to spare",
        "`engine.batching.maxBatchedTokens`: up",
        _step_too_small,
        lambda case: f"{_pressure(case)}, and each step computes {case.figures.step_tokens:.0f} tokens, all it may",
        _larger_step,
    ),
    Rule(
        Cause.NETWORK,
        f"a P99 latency is at {LATENCY_PRESSURE:.0%} of its objective or more, and {ELSEWHERE:.0%} of a request's time "
        f"is spent in the HTTP server outside queue and batch, or that server's process uses {CPU_FULL:.0%} of a core",
        "`resources.cpu`: up; with vLLM `engine.extraArgs: --api-server-count=2`",
        _network,
        _path,
        _wider_path,
    ),
    Rule(
        Cause.COMPUTE,
        f"pressure; the tensor pipes' share of their ceiling ({TENSOR_CEILING:.0%} of cycles) and the memory's of its "
        f"own ({DRAM_CEILING:.0%} of the peak bandwidth) add up to {GPU_SPENT:.0%} or more, and the tensor pipes' is "
        f"the larger; without the GPU's counters: a step computes {COMPUTE_TOKENS:.0f} tokens or more",
        "`engine.kvCache.prefixCaching: true` where it is off; else more replicas",
        _compute,
        lambda case: f"{_pressure(case)}, and {_units(case)}",
        _less_compute,
    ),
    Rule(
        Cause.MEMORY_BANDWIDTH,
        f"as compute, and the memory's share is the larger; without the GPU's counters: a step computes "
        f"{BANDWIDTH_TOKENS:.0f} tokens or fewer",
        "`engine.quantization: fp8`, which halves what a step reads; where it is set, more replicas",
        _bandwidth,
        lambda case: f"{_pressure(case)}, and {_units(case)}",
        _less_memory,
    ),
    Rule(
        Cause.CLIENT,
        "requests run, and there is no pressure",
        "none",
        _client,
        _free,
        _nothing,
    ),
)

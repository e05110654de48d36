import asyncio
import time

import pytest

from autoglm_bench.client import Target
from autoglm_bench.profiles import Arrivals, Phase
from autoglm_bench.prompts import prompt
from autoglm_bench.result import Cause
from autoglm_bench.run import Load, generate


def load(url, rate=20.0, seconds=1.0, timeout=5.0):
    phases = [Phase("steady", rate, seconds, Arrivals.CONSTANT)]
    return Load(Target(url, "phone", 5, timeout=timeout), phases, prompt_tokens=8, seed=1)


async def test_every_arrival_leaves_a_result_in_order(engine):
    outcome = await generate(load(engine.url))

    assert not outcome.partial
    assert [result.number for result in outcome.results] == list(range(20))
    assert all(result.cause is None and result.output_tokens == 5 for result in outcome.results)
    assert all(len(result.itls) == 4 and result.ttft <= result.duration for result in outcome.results)


async def test_slow_engine_does_not_slow_the_load(engine, script):
    engine.behaviour = script.stream(*script.good, pause=0.1)

    outcome = await generate(load(engine.url, rate=50))

    sent = [result.sent for result in outcome.results]
    assert len(sent) == 50
    assert sent[-1] == pytest.approx(0.98, abs=0.5)
    assert all(result.ttft >= 0.2 for result in outcome.results)


async def test_failing_engine_does_not_slow_the_load(engine, script):
    engine.behaviour = script.hang

    outcome = await generate(load(engine.url, rate=50, timeout=0.3))

    assert {result.cause for result in outcome.results} == {Cause.TIMEOUT}
    assert outcome.results[-1].sent == pytest.approx(0.98, abs=0.5)


async def test_refused_connections_are_results(unused_tcp_port):
    outcome = await generate(load(f"http://127.0.0.1:{unused_tcp_port}/v1"))

    assert [result.cause for result in outcome.results] == [Cause.REFUSED] * 20


async def test_generator_that_falls_behind_says_so_and_still_sends_all(engine):
    def stall(_progress):
        time.sleep(0.4)  # the stall is what is tested

    outcome = await generate(load(engine.url, rate=50), stall, seconds_between=0.3)

    late = [result for result in outcome.results if result.late]
    assert len(outcome.results) == 50
    assert 5 <= len(late) < 50
    assert all(result.sent - result.due > 0.1 for result in late)


async def test_progress_tells_what_is_in_flight_and_what_is_new(engine, script):
    engine.behaviour = script.stream(*script.good, pause=0.05)
    seen = []

    outcome = await generate(load(engine.url), seen.append, seconds_between=0.2)

    assert any(progress.in_flight for progress in seen)
    assert [progress.sent for progress in seen] == sorted(progress.sent for progress in seen)
    numbers = [result.number for progress in seen for result in progress.recent]
    assert len(numbers) == len(set(numbers)) <= len(outcome.results)


async def test_cancelled_load_keeps_what_it_has(engine, script):
    engine.behaviour = script.hang
    task = asyncio.create_task(generate(load(engine.url, seconds=30)))
    await asyncio.sleep(0.5)
    task.cancel()

    outcome = await task

    assert outcome.partial
    assert 5 <= len(outcome.results) <= 12
    assert {result.cause for result in outcome.results} == {Cause.INTERRUPTED}
    assert len(asyncio.all_tasks()) - len(engine.open) <= 2


def test_prompts_have_their_length_and_share_no_prefix():
    prompts = [prompt(100, 7, number) for number in range(50)]

    assert all(len(each.split()) == 100 for each in prompts)
    assert len({" ".join(each.split()[:16]) for each in prompts}) == 50
    assert prompt(100, 7, 3) == prompts[3]
    assert prompt(100, 8, 3) != prompts[3]

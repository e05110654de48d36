import asyncio
import contextlib
import re
import time

import pytest

from autoglm_bench.drive import Driver
from autoglm_bench.figures.objectives import Objective
from autoglm_bench.figures.records import CAUSES
from autoglm_bench.load.arrivals import Arrivals, Phase
from autoglm_bench.load.lengths import fixed
from autoglm_bench.load.plan import ClosedLoop, Plan, Search
from autoglm_bench.load.workload import Made, MadeWorkload
from autoglm_bench.result import Cause
from autoglm_bench.wire.chat import ChatClient, Target

MADE = Made(prompt_tokens=fixed(8), output_tokens=fixed(5))


def plan(rate=20.0, seconds=1.0, made=MADE, **more):
    phases = [Phase("steady", rate, seconds, Arrivals.CONSTANT)]
    return Plan("constant", MadeWorkload(made, 1), 1, **({"phases": phases} | more))


@contextlib.asynccontextmanager
async def driver(url, wanted, limit=5.0, objectives=()):
    async with ChatClient(Target(url, "phone", timeout=limit)) as client:
        yield Driver(wanted, client, "phone", objectives, None)


async def drive(url, wanted, **more):
    async with driver(url, wanted, **more) as found:
        await found.drive()
        return found


async def test_every_arrival_leaves_a_record(engine):
    found = (await drive(engine.url, plan())).records

    assert sorted(found.session) == list(range(20))
    assert set(found.cause) == {-1}
    assert set(found.output_tokens) == {5}
    assert len(found.itls[0]) == 80


async def test_same_seed_sends_the_same_bodies(engine):
    made = Made(prompt_tokens=fixed(30), prefix_tokens=10, prefixes=3)
    await drive(engine.url, plan(made=made))
    first = sorted(engine.bodies)
    engine.bodies.clear()
    await drive(engine.url, plan(made=made))

    assert sorted(engine.bodies) == first
    assert len(set(first)) == 20


@pytest.mark.parametrize("behaviour", ["slow", "hang"])
async def test_slow_engine_does_not_slow_the_load(engine, script, behaviour):
    engine.behaviour = script.hang if behaviour == "hang" else script.stream(*script.good, pause=0.1)

    found = (await drive(engine.url, plan(rate=50), limit=0.3 if behaviour == "hang" else 5.0)).records

    assert len(found) == 50
    assert max(found.sent) == pytest.approx(0.98, abs=0.5)
    if behaviour == "hang":
        assert {CAUSES[cause] for cause in found.cause} == {Cause.TIMEOUT}


async def test_generator_that_falls_behind_says_so_and_still_sends_all(engine):
    async with driver(engine.url, plan(rate=50)) as found:
        asyncio.get_running_loop().call_later(0.3, time.sleep, 0.4)
        await found.drive()
        records = found.records

    late = [row for row in range(50) if records.late(row)]
    assert len(records) == 50
    assert 5 <= len(late) < 50
    assert max(records.sent[row] - records.due[row] for row in late) > 0.2


async def test_turns_follow_each_other_and_carry_the_answers(engine):
    made = Made(prompt_tokens=fixed(4), output_tokens=fixed(5), turns=fixed(3))
    found = (await drive(engine.url, plan(rate=2, seconds=0.9, made=made))).records

    assert sorted(zip(found.session, found.step, strict=True)) == [(s, t) for s in (0, 1) for t in (0, 1, 2)]
    assert [m["content"] for m in engine.requests[-1]["messages"] if m["role"] == "assistant"] == ["xxxxx", "xxxxx"]


async def test_first_failure_ends_its_session(engine, script):
    engine.behaviour = script.answer("500 Internal Server Error")
    made = Made(prompt_tokens=fixed(4), turns=fixed(3))

    assert len((await drive(engine.url, plan(rate=2, seconds=0.9, made=made))).records) == 2


async def test_closed_loop_keeps_its_users_busy_and_no_more(engine, script):
    engine.behaviour = script.stream(*script.good, pause=0.01)
    found = await drive(engine.url, plan(phases=(), closed=ClosedLoop(4, 1.0)))

    assert len(found.records) > 8
    assert sorted(found.records.session) == list(range(len(found.records)))
    assert found.under_way_seconds / found.elapsed == pytest.approx(4, rel=0.3)


async def test_closed_loop_does_not_flood_an_engine_that_refuses(engine, script):
    engine.behaviour = script.answer("503 Service Unavailable")

    assert len((await drive(engine.url, plan(phases=(), closed=ClosedLoop(2, 1.5)))).records) == 4


async def test_search_stops_where_the_objective_breaks(engine, script):
    async def answer(writer):
        await asyncio.sleep(0.01 if len(engine.requests) < 12 else 0.4)
        await script.stream(*script.good)(writer)

    engine.behaviour = answer
    wanted = plan(phases=(), search=Search(10, 100, 1.0, precision=0.5))
    found = await drive(engine.url, wanted, objectives=[Objective("ttft", 99, 0.2)])

    assert [trial.held for trial in found.trials][:2] in ([True, False], [False])
    # On a machine that is too busy the sending breaks first, and the search has to say that instead.
    assert re.search("ttft_p99 is|were sent late: the generator is the limit", found.trials[-1].reason)
    assert len(set(found.records.session)) == len(found.records)


async def test_trial_that_never_ends_is_given_up(engine, script, monkeypatch):
    monkeypatch.setattr("autoglm_bench.drive._LEAST_DRAIN", 0.2)
    engine.behaviour = script.hang
    wanted = plan(phases=(), search=Search(10, 100, 0.5))
    found = await drive(engine.url, wanted, limit=60, objectives=[Objective("ttft", 99, 0.01)])

    assert [trial.held for trial in found.trials] == [False]
    assert {CAUSES[cause] for cause in found.records.cause} == {Cause.TIMEOUT}


async def test_progress_tells_what_is_in_flight_and_what_ended_lately(engine, script, monkeypatch):
    monkeypatch.setattr("autoglm_bench.drive._WINDOW", 0.4)
    engine.behaviour = script.stream(*script.good, pause=0.05)
    seen = []
    async with driver(engine.url, plan()) as found:
        reporting = asyncio.create_task(found.report(seen.append, 0.2))
        await found.drive()
        reporting.cancel()

    assert any(progress.in_flight for progress in seen)
    assert [progress.sent for progress in seen] == sorted(progress.sent for progress in seen)
    assert all(0.15 < progress.interval < 2 for progress in seen)
    assert 0 < max(len(progress.ttfts) for progress in seen) < 20
    assert seen[0].phase == "steady"


async def test_cancelled_load_keeps_what_it_has(engine, script):
    engine.behaviour = script.hang
    async with driver(engine.url, plan(seconds=30)) as found:
        task = asyncio.create_task(found.drive())
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert 5 <= len(found.records) <= 12
    assert {CAUSES[cause] for cause in found.records.cause} == {Cause.INTERRUPTED}
    assert len(asyncio.all_tasks()) - len(engine.open) <= 2


async def test_defect_in_a_session_ends_the_run_and_is_not_lost(engine):
    class Broken(MadeWorkload):
        def body(self, model, session, step, answers):
            if step:
                raise ZeroDivisionError("defect")
            return super().body(model, session, step, answers)

    made = Made(prompt_tokens=fixed(4), turns=fixed(2))
    with pytest.raises(ZeroDivisionError, match="defect"):
        await drive(engine.url, Plan("constant", Broken(made, 1), 1, [Phase("a", 5, 1)]))

"""What a Job leaves of a target that behaves badly: its causes, and nothing that looks like success."""

import asyncio
import json

import pytest
from tests.unit.bench.test_process import RUN, SMALL, bench

from autoglm_bench.wire import reading
from autoglm_bench.wire.chat import Target
from autoglm_operator.observe.benchmark import Summary

LOAD = [*SMALL, "--profile", "constant", "--rate", "20", "--duration", "0.5", "--timeout", "0.4"]
OBJECTIVE = ["--objective", "ttft_p99=30s"]


@pytest.fixture
def reports(tmp_path):
    return tmp_path / "reports"


@pytest.fixture
async def left(engine, tmp_path, reports):
    """Run once as a Job; return the exit status, its report and its last word."""
    word = tmp_path / "last-word"

    async def run(*load, objective=OBJECTIVE):
        files = ["--last-word", word, "--report-dir", reports]
        status, _, _ = await bench(*RUN, "--url", engine.url, *load, *objective, *files)
        return status, json.loads((reports / "result.json").read_text()), Summary.parse(word.read_text())

    return run


async def garbage(writer):
    writer.write(b"\x00\xff 42 is not HTTP\r\n\r\n")
    await writer.drain()


@pytest.mark.parametrize(
    ("behaviour", "cause"),
    [
        (lambda s: s.answer("503 Service Unavailable", b"overloaded"), "status"),
        (lambda s: s.answer("429 Too Many Requests"), "status"),
        (lambda s: s.hang, "timeout"),
        (lambda s: garbage, "protocol"),
        (lambda s: s.stream(b"data: {nonsense\n\n"), "protocol"),
        (lambda s: s.stream(s.event("a")), "cut_off"),
        (lambda s: s.stream(b'data: {"error": {"message": "out of memory"}}\n\n'), "engine_error"),
    ],
)
async def test_nothing_of_it_counts_as_success(left, engine, script, behaviour, cause):
    engine.behaviour = behaviour(script)
    status, report, word = await left(*LOAD)

    assert status == 1
    assert (report["requests"], report["succeeded"], report["failures"]) == (10, 0, {cause: 10})
    assert report["goodput"]["requests"] == 0
    assert word.met is not True
    assert "no request succeeded" in word.verdict
    assert {row.name: row.value for row in word.rows}["failed"] == "10"


async def test_an_objective_that_cannot_be_held_is_a_result(left):
    status, report, word = await left(*LOAD, objective=["--objective", "ttft_p99=0.001ms"])

    assert (status, report["partial"], word.met) == (0, False, False)
    assert "the objective is not held: ttft_p99 is" in word.verdict
    assert report["goodput"]["requests"] == 0


async def test_a_search_for_an_objective_that_cannot_be_held_ends_with_its_first_trial(left, reports):
    search = [*SMALL, "--profile", "find-limit", "--rate", "20", "--duration", "0.5", "--highest-rate", "80"]
    status, report, word = await left(*search, objective=["--objective", "ttft_p99=0.001ms"])

    assert (status, len(report["search"]["trials"]), report["search"]["limit"]) == (0, 1, None)
    assert word.verdict.startswith("the objective is not held even at the lowest rate of 20 requests/s")
    assert word.met is False
    assert '<p class="verdict bad">' in (reports / "report.html").read_text()
    assert "limit" not in {row.name for row in word.rows}


async def test_a_target_that_never_answers_ends_it_before_the_load(monkeypatch):
    monkeypatch.setattr(reading, "_SECONDS", 0.1)
    server = await asyncio.start_server(lambda *_: asyncio.sleep(5), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    assert "did not answer within 0.1 s" in await reading.problem(Target(url, "phone"))
    server.close()

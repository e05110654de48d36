"""What a run leaves behind as a Job: progress, reports, and a last word that the operator reads."""

import asyncio
import json

import pytest
from tests.unit.bench.test_process import RUN, SHORT, bench

from autoglm_bench.compare.verdict import compare
from autoglm_bench.in_job import LAST_WORD_BYTES, last_word
from autoglm_operator.observe.benchmark import Summary, progress_in

OBJECTIVE = ["--objective", "ttft_p99=30s"]


@pytest.fixture
async def left(engine, tmp_path):
    """Run once as a Job; return status, the error stream, the folder of reports and the last word."""
    word, reports = tmp_path / "last-word", tmp_path / "reports"
    word.touch()

    async def run(*more, name="one", **how):
        files = ["--last-word", word, "--report-dir", reports / name, "--progress", "json"]
        status, _, err = await bench(*RUN, "--url", engine.url, *SHORT, *files, *OBJECTIVE, *more, **how)
        return status, err, reports / name, word.read_text()

    return run


async def test_the_operator_reads_what_the_program_writes(left):
    status, _, folder, word = await left()
    found = Summary.parse(word)
    result = json.loads((folder / "result.json").read_text())
    assert status == 0
    assert (found.verdict, found.partial, found.met, found.report) == (result["verdict"], False, True, True)
    assert found.sequence == result["sequenceHash"]
    rows = {row.name: row for row in found.rows}
    assert rows["requests"].value == str(result["requests"])
    assert float(rows["ttft_p99"].value) == pytest.approx(result["ttft"]["p99"] * 1000, rel=1e-3)
    assert "<html" in (folder / "report.html").read_text()
    assert "the objective is held" in (folder / "report.md").read_text()


async def test_progress_is_read_from_the_log(left):
    _, err, _, _ = await left("--duration", "11")
    found = progress_in(err)
    assert 80 <= found.percent <= 100
    assert found.failed == 0
    assert found.ttft_p99.endswith("ms")


async def test_a_baseline_is_compared_with(left):
    _, _, first, _ = await left()
    status, _, folder, word = await left("--baseline", first, name="two")
    found = Summary.parse(word)
    assert (status, bool(found.comparison)) == (0, True)
    assert found.comparison in (folder / "report.md").read_text()
    assert f"{found.comparison}</p>" in (folder / "report.html").read_text()


async def test_a_baseline_that_is_not_there_ends_it_before_the_load(left, tmp_path, engine):
    status, err, _, word = await left("--baseline", tmp_path / "nothing")
    assert (status, word, engine.requests) == (1, "", [])
    assert "nothing/result.json" in err


async def test_what_cannot_be_told_is_no_verdict(left):
    _, _, first, _ = await left()
    _, _, _, word = await left("--baseline", first, name="two")
    found = Summary.parse(word)
    assert (found.regression, found.comparison) == (None, "too few requests to tell a difference")


@pytest.mark.parametrize(("limit", "met"), [(12.5, True), (None, False)])
async def test_a_search_has_met_its_objective_where_it_found_a_limit(left, limit, met):
    _, _, folder, _ = await left()
    result = json.loads((folder / "result.json").read_text())
    broken = [{"name": "ttft_p99", "limit": 1.0, "measured": 9.0, "held": False}]
    trials = [{"rate": 20.0, "held": False, "reason": ""}]
    found = Summary.parse(
        last_word(result | {"objectives": broken, "search": {"limit": limit, "trials": trials}}, None, "")
    )
    assert found.met is met


async def test_a_full_disk_takes_the_report_and_not_the_verdict(left):
    status, err, folder, word = await left(largest_file=5000)
    found = Summary.parse(word)
    assert status == 1
    assert "--report-dir" in err
    assert "result.json cannot be written: File too large" in found.unwritten
    assert (found.report, found.partial, (folder / "result.json").exists()) == (False, False, False)


async def test_a_stopped_run_says_that_it_is_partial(left, engine):
    async def begun():
        while not engine.requests:
            await asyncio.sleep(0.05)

    status, _, _, word = await left("--duration", "60", after=begun)
    found = Summary.parse(word)
    assert (status, found.partial) == (130, True)
    assert found.verdict.startswith("partial (stopped by SIGINT)")


async def test_the_last_word_is_never_longer_than_the_kubelet_keeps(left):
    _, _, folder, _ = await left()
    result = json.loads((folder / "result.json").read_text()) | {"verdict": "x" * 100_000}
    assert len(last_word(result, compare(result, result), "y" * 3000)) <= LAST_WORD_BYTES

import asyncio
import json
import signal
import sys

import pytest

from autoglm_bench import __main__ as command
from autoglm_bench.client import Target
from autoglm_bench.profiles import Arrivals, steady
from autoglm_bench.run import run_load

COMMAND = [sys.executable, "-m", "autoglm_bench", "run", "--model", "phone", "--prompt-tokens", "8"]


async def bench(*arguments, interrupt_after=None):
    process = await asyncio.create_subprocess_exec(
        *COMMAND, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    if interrupt_after:
        await interrupt_after()
        process.send_signal(signal.SIGINT)
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_json_has_the_documented_form(engine):
    load = ["--rate", "20", "--duration", "1.5", "--profile", "spike", "--spike-rate", "40"]
    status, out, err = await bench(
        "--url", engine.url, *load, "--spike-start", "0.5", "--spike-duration", "0.5", "--seed", "3", "-o", "json"
    )
    report = json.loads(out)

    assert (status, err) == (0, "")
    assert (report["schemaVersion"], report["partial"]) == (1, False)
    assert report["load"]["seed"] == 3
    assert [phase["name"] for phase in report["phases"]] == ["before", "during", "after"]
    assert report["requests"] == sum(phase["requests"] for phase in report["phases"]) == len(engine.requests)
    assert (report["failed"], report["failures"]) == (0, {})
    assert 0 < report["phases"][1]["ttft"]["p99"] < 1
    assert report["outputTokens"] == 5 * report["requests"]


async def test_table_shows_phases_and_failures(engine, script):
    engine.behaviour = script.stream(script.event("a"))
    status, out, err = await bench("--url", engine.url, "--rate", "10", "--duration", "0.5", "--profile", "constant")

    assert status == 1
    assert out.splitlines()[0].split()[:4] == ["PHASE", "SENT", "OK", "LATE"]
    assert out.splitlines()[1].split()[:4] == ["steady", "5", "0", "0"]
    assert "failed: 5 with cause cut_off" in out
    assert engine.url in err
    assert "without [DONE]" in err


async def test_interrupt_prints_what_there_is_and_says_partial(engine):
    arguments = ["--url", engine.url, "--rate", "20", "--duration", "60", "-o", "json"]
    status, out, _ = await bench(*arguments, interrupt_after=engine.busy.wait)
    report = json.loads(out)

    assert status == 130
    assert report["partial"] is True
    assert report["requests"] >= 5


async def test_unreachable_url_is_one_line_before_any_load(unused_tcp_port):
    url = f"http://127.0.0.1:{unused_tcp_port}/v1"
    status, out, err = await bench("--url", url, "--rate", "1", "--duration", "1")

    assert (status, out) == (1, "")
    assert err.startswith(f"autoglm-bench: {url}/models cannot be reached")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rate", "0"], "is not a number above 0"),
        (["--rate", "nan"], "is not a number above 0"),
        (["--duration", "inf"], "is not a number above 0"),
        (["--output-tokens", "0"], "expected 1 or more"),
        (["--profile", "spike"], "needs --spike-rate, --spike-start and --spike-duration"),
        (["--spike-rate", "3"], "belongs to --profile spike; the profile is poisson"),
        (
            ["--profile", "spike", "--spike-rate", "3", "--spike-start", "1", "--spike-duration", "9"],
            "expected it inside the load of 5 seconds",
        ),
    ],
)
def test_wrong_option_says_what_is_expected(arguments, message, capsys):
    with pytest.raises(SystemExit) as ended:
        command.main(["run", "--url", "http://a/v1", "--model", "m", "--rate", "1", "--duration", "5", *arguments])

    assert ended.value.code == 2
    assert message in capsys.readouterr().err


async def test_python_interface_runs_without_an_event_loop(engine):
    target = Target(engine.url, "phone", 5)
    phases = steady(10, 0.5, Arrivals.CONSTANT)

    results = await asyncio.to_thread(run_load, phases, target, 8)

    assert [result.cause for result in results] == [None] * 5

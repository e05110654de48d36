"""`kubectl autoglm replay`: what it prints, and what it says about bad input."""

import io
import json
import math

import pytest

from autoglm_operator.cli.main import main

KEYS = [
    "slo_attainment",
    "gpu_hours",
    "requests",
    "lost_requests",
    "direction_changes_per_day",
    "ttft_p99",
    "itl_p99",
    "reaction_seconds",
    "overshoot",
]


@pytest.fixture
def trace(tmp_path):
    path = tmp_path / "rates.csv"
    rows = [f"{600 * i},{12 + 6 * math.sin(i / 6):.3f},2.0" for i in range(18)]
    path.write_text("window_start_s,rate_rps,index_of_dispersion\n" + "\n".join(rows) + "\n")
    return str(path)


def replayed(capsys, trace, *arguments):
    assert main(["replay", "--trace", trace, "-o", "json", *arguments]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys, trace, *arguments):
    assert main(["replay", "--trace", trace, *arguments]) == 1
    return capsys.readouterr().err


def test_json_has_the_measures_in_their_order(capsys, trace):
    found = replayed(capsys, trace, "--cold-start", "80", "--ttft", "2", "--itl", "0.06", "--seed", "3")
    assert list(found) == KEYS
    assert found["lost_requests"] == 0
    assert found["slo_attainment"] > 0.95
    assert isinstance(found["requests"], int)


def test_the_same_arguments_give_the_same_answer(capsys, trace):
    assert replayed(capsys, trace, "--seed", "3") == replayed(capsys, trace, "--seed", "3")
    assert replayed(capsys, trace, "--seed", "3") != replayed(capsys, trace, "--seed", "4")


@pytest.mark.parametrize(
    ("policy", "target"),
    [("keda-inflight", "12"), ("llmd-slo", "0.6:0.45"), ("dynamo", None), ("static", "6"), ("oracle", "3")],
)
def test_peers(capsys, trace, policy, target):
    arguments = ["--policy", policy, *(["--target", target] if target else [])]
    found = replayed(capsys, trace, *arguments)
    assert found["gpu_hours"] > 3


def test_a_table(capsys, trace):
    assert main(["replay", "--trace", trace, "--policy", "static", "--target", "6"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == KEYS
    assert float(lines[1].split()[1]) == pytest.approx(6 * 3, rel=0.01)


def test_days_and_mean_rate(capsys, trace):
    whole = replayed(capsys, trace, "--mean-rps", "10")
    assert whole["requests"] == pytest.approx(10 * 10_800, rel=0.05)
    part = replayed(capsys, trace, "--mean-rps", "10", "--days", "0.0625:0.125")
    assert part["requests"] < 0.6 * whole["requests"]


def test_days_beyond_the_trace_are_cut_with_a_note(capsys, trace):
    assert main(["replay", "--trace", trace, "--days", "0:14"]) == 0
    assert "note: --days 0:14: the trace ends after 0.125 days" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--policy", "magic"], "--policy magic: is not known; expected autoglm, keda-inflight"),
        (["--target", "3"], "--target 3: autoglm has no target to tune"),
        (["--policy", "kpa", "--target", "x"], "target of kpa: got 'x', expected a number above 0"),
        (["--cold-start", "soon"], "--cold-start soon: expected seconds, such as 240 or 30,120,90"),
        (["--ttft", "0"], "--ttft 0: expected a number above 0"),
        (["--mean-rps", "nan"], "--mean-rps nan: expected a number above 0"),
        (["--days", "7"], "--days 7: expected two numbers of days"),
        (["--days", "7:14"], "--days 7:14: the trace has only 0.125 days"),
        (["--tokens", "1000"], "--tokens 1000: expected prompt and output tokens"),
    ],
)
def test_bad_arguments(capsys, trace, arguments, expected):
    assert expected in refused(capsys, trace, *arguments)


def test_a_trace_that_is_none(capsys, tmp_path):
    path = tmp_path / "readme"
    path.write_text("hello\n")
    assert "readme:1: got columns hello; expected a header with TIMESTAMP" in refused(capsys, str(path))


def test_progress_is_for_terminals(trace, monkeypatch):
    from autoglm_operator.cli import replay  # noqa: PLC0415
    from autoglm_operator.cli.main import _parser  # noqa: PLC0415

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(replay, "_QUIET_SECONDS", 0.0)
    options = _parser().parse_args(["replay", "--trace", trace, "--policy", "static"])
    terminal, file = Terminal(), io.StringIO()
    replay.run(options, terminal)
    replay.run(options, file)
    assert "100%\n" in terminal.getvalue()
    assert file.getvalue() == ""

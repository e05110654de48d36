import json

import pytest

from autoglm_bench import __main__ as command
from autoglm_bench import options
from autoglm_bench.jobs import job

URL = ["--url", "http://a/v1", "--model", "m"]
STEADY = ["--rate", "1", "--duration", "5"]


def parsed(*arguments):
    found = options.parser().parse_args(["run", *URL, *map(str, arguments)])
    options.check(found)
    return job(found, {"AUTOGLM_API_KEY": "k"})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rate", "0"], "argument --rate: '0' is not a number above 0"),
        (["--rate", "nan"], "is not a number above 0"),
        (["--duration", "inf"], "is not a number above 0"),
        (["--output-tokens", "0"], "argument --output-tokens: '0': expected whole numbers, 1 or more"),
        (["--objective", "ttft_p99=0s"], "argument --objective: 'ttft_p99=0s' is no objective"),
        (["--image", "tall"], "argument --image: 'tall' is not the size of a screen"),
        (["--concurrency", "-1"], "expected 1 or more"),
        (["--rates", "2,x"], "argument --rates: '2,x': expected different rates"),
        (["--rates", "2,2"], "expected different rates"),
        (["--think-time", "-1"], "expected 0 or more"),
        (["--profile", "sine"], "invalid choice: 'sine'"),
    ],
)
def test_wrong_value_names_flag_value_and_what_is_expected(arguments, message, capsys):
    with pytest.raises(SystemExit) as ended:
        command.main(["run", *URL, *STEADY, *arguments])

    assert ended.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--duration", "5"], "--profile poisson needs --rate and --duration; --rate is missing"),
        ([*STEADY, "--spike-rate", "3"], "--spike-rate 3.0 belongs to --profile spike; the profile is poisson"),
        ([*STEADY, "--concurrency", "3"], "belongs to --profile concurrency"),
        (["--profile", "find-limit", *STEADY], "--objective is missing"),
        (
            ["--profile", "find-limit", *STEADY, "--objective", "ttft_p99=1s", "--highest-rate", "0.5"],
            "--highest-rate 0.5 is below --rate 1",
        ),
        (
            ["--profile", "spike", *STEADY, "--spike-rate", "3", "--spike-start", "1", "--spike-duration", "9"],
            "expected it inside the load of 5 seconds",
        ),
        ([*STEADY, "--prefixes", "3"], "--prefixes 3 needs --prefix-tokens"),
        ([*STEADY, "--think-time", "3"], "--think-time 3 needs --turns"),
        ([*STEADY, "--requests", "x", "--turns", "3"], "--turns 3 shapes made text"),
        ([*STEADY, "--requests", "x", "--output-tokens", "uniform:1,3"], "expected one number, the most"),
        ([*STEADY, "--requests", "/nonexistent"], "--requests /nonexistent cannot be read: No such file"),
        (["--profile", "trace", "--trace", "/nonexistent"], "--trace /nonexistent cannot be read"),
        (["--profile", "trace", "--trace", "x", "--requests", "y"], "a trace brings its own lengths"),
        (["--profile", "trace", "--trace", "x", "--output-tokens", "5"], "a trace brings its own lengths"),
        ([*STEADY, "--expected", "x"], "--expected x needs --requests"),
        ([*STEADY, "--expected", "x", "--requests", "y"], "needs --natural-end"),
        ([*STEADY, "--judge-url", "http://j"], "--judge-url and --judge-model belong together"),
        ([*STEADY, "--judge-url", "http://j", "--judge-model", "j"], "needs --expected"),
        ([*STEADY, "--save", "/nonexistent/run.json"], "/nonexistent is no folder"),
        ([*STEADY, "--save", "/"], "cannot be written there"),
        (["--url", "a:8000", *STEADY], "--url: 'a:8000' is not a URL"),
    ],
)
def test_flags_that_do_not_fit_are_refused_in_one_line(arguments, message, capsys):
    status = command.main(["run", *URL, *arguments])
    err = capsys.readouterr().err

    assert status in {1, 2}
    assert message in err
    assert len(err.splitlines()) == 1


def test_every_profile_makes_a_plan(tmp_path):
    trace = tmp_path / "t.csv"
    trace.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46,10,5\n2023-11-16 18:15:49,10,5\n")
    flags = {
        "constant": STEADY,
        "poisson": STEADY,
        "gamma": [*STEADY, "--burstiness", "3"],
        "step": ["--rates", "1,2", "--duration", "4"],
        "ramp": [*STEADY, "--end-rate", "9"],
        "spike": [*STEADY, "--spike-rate", "9", "--spike-start", "1", "--spike-duration", "2"],
        "concurrency": ["--concurrency", "3", "--duration", "4"],
        "trace": ["--trace", trace, "--speed", "2"],
        "find-limit": [*STEADY, "--objective", "ttft_p99=1s"],
    }
    assert flags.keys() == options.PROFILES.keys()
    plans = {name: parsed("--profile", name, *more).plan for name, more in flags.items()}

    assert all(json.dumps(plan.document()) for plan in plans.values())
    assert plans["gamma"].phases[0].burstiness == 3
    assert plans["ramp"].phases[0].end_rate == 9
    assert [phase.rate for phase in plans["step"].phases] == [1, 2]
    assert plans["trace"].seconds == 1.5
    assert plans["concurrency"].closed.concurrency == 3
    assert plans["find-limit"].search.highest == 1000


def test_phone_agent_is_ready_and_can_be_changed():
    plain = parsed(*STEADY, "--workload", "phone-agent").plan.workload.document()
    changed = parsed(*STEADY, "--workload", "phone-agent", "--think-time", "0", "--image", "90x200").plan.workload

    assert (plain["image"], plain["turns"], plain["thinkSeconds"]) == ("1080x2400", "uniform:3,12", 2.0)
    assert (changed.document()["image"], changed.document()["thinkSeconds"]) == ("90x200", 0)


def test_key_comes_from_the_environment():
    assert parsed(*STEADY).target.api_key == "k"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("nonsense", "is not JSON"),
        ("[]", "has schemaVersion None; expected 2"),
        ('{"schemaVersion": 1, "samples": {}}', "has schemaVersion 1; expected 2"),
    ],
)
def test_result_of_another_kind_is_refused(content, said, tmp_path, capsys):
    path = tmp_path / "a.json"
    path.write_text(content)

    assert command.main(["report", str(path)]) == 1
    assert said in capsys.readouterr().err
    assert command.main(["compare", str(path), str(path)]) == 1


def test_report_does_not_overwrite_its_own_result(tmp_path, capsys):
    path = tmp_path / "a.html"
    path.write_text("{}")

    assert command.main(["report", str(path)]) == 1
    assert path.read_text() == "{}"
    assert command.main(["report", str(tmp_path / "none.json")]) == 1
    assert "cannot be read: No such file" in capsys.readouterr().err

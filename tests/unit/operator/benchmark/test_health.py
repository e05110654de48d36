import json

import pytest
from tests.unit.operator.benchmark.conftest import NOW, PVC, S3, run

from autoglm_operator.api.benchmark_status import Progress
from autoglm_operator.decide.benchmark import plan_benchmark, run_hash
from autoglm_operator.decide.benchmark_health import judge_benchmark, refused_benchmark
from autoglm_operator.decide.reasons import Reason
from autoglm_operator.errors import Terminal, Waiting
from autoglm_operator.metrics import Metrics
from autoglm_operator.report.benchmark import benchmark_status
from autoglm_operator.report.benchmark_series import show_benchmark
from autoglm_operator.report.status import differs

GOOD = {"verdict": "held 2.5 req/s", "partial": False, "objectiveMet": True, "results": [["ttft_p99", "812.4", "ms"]]}


def said(**changes):
    return json.dumps(GOOD | {"sequence": "abc", "report": True} | changes)


@pytest.fixture
def judge(observe):
    """Judge a benchmark whose newest run left these words."""

    def make(words=None, kind=None, *, progress=None, status=None, changes=None, asked="", **container):
        changes = changes or {}
        asked = asked or run_hash(observe(**changes).benchmark)
        observed = observe([run(asked, words, kind, **container)], progress=progress, status=status, **changes)
        return judge_benchmark(observed, plan_benchmark(observed)), observed

    return make


def conditions(health):
    return {verdict.type: (verdict.status, verdict.reason) for verdict in health.verdicts}


def test_a_result(judge):
    health, observed = judge(said(), "Complete", changes={"report": PVC})
    assert conditions(health) == {
        "Complete": ("True", Reason.RUN_FINISHED),
        "Stalled": ("False", Reason.NOTHING_WRONG),
        "ObjectiveMet": ("True", Reason.OBJECTIVE_HELD),
        "ReportWritten": ("True", Reason.REPORT_WRITTEN),
    }
    status = benchmark_status(observed.benchmark, health, NOW)["status"]
    assert status["lastRun"]["verdict"] == "held 2.5 req/s"
    assert status["lastRun"]["results"] == [{"name": "ttft_p99", "value": "812.4", "unit": "ms"}]
    assert status["lastRun"]["report"] == f"reports:glm/{status['lastRun']['job']}"
    assert status["lastRun"]["ended"] == "2026-11-21T10:05:00Z"
    assert "job" not in status
    assert [notice.kind for notice in health.notices] == ["Normal"]


def test_a_report_that_was_not_written_is_a_condition_and_takes_nothing_from_the_figures(judge):
    words = said(
        report=False, unwritten="s3://runs/glm/team/load/x/result.json cannot be written: HTTP 403 AccessDenied"
    )
    health, observed = judge(words, "Failed", changes={"report": S3})
    assert conditions(health)["ReportWritten"] == ("False", Reason.REPORT_NOT_WRITTEN)
    assert conditions(health)["Complete"] == ("True", Reason.RUN_FINISHED)
    assert "HTTP 403 AccessDenied" in health.verdicts[-1].message
    last = benchmark_status(observed.benchmark, health, NOW)["status"]["lastRun"]
    assert "report" not in last
    assert last["results"] == [{"name": "ttft_p99", "value": "812.4", "unit": "ms"}]
    assert [(notice.kind, notice.reason) for notice in health.notices] == [
        ("Normal", Reason.RUN_FINISHED),
        ("Warning", Reason.REPORT_NOT_WRITTEN),
    ]


def test_a_report_in_a_bucket_is_linked(judge):
    health, _ = judge(said(), "Complete", changes={"report": S3})
    assert health.last["report"] == f"s3://runs/glm/team/load/{health.last['job']}"
    assert health.last["report"] in health.verdicts[-1].message


def test_an_ended_run_keeps_its_objective_when_the_target_is_gone(judge):
    health, _ = judge(said(objectiveMet=False), "Complete", changes={"deployment": None, "engines": ()})
    assert conditions(health)["ObjectiveMet"] == ("False", Reason.OBJECTIVE_MISSED)


def test_a_result_is_told_once_and_written_once(judge):
    health, observed = judge(said(), "Complete")
    status = benchmark_status(observed.benchmark, health, NOW)["status"]
    health, observed = judge(said(), "Complete", status=status)
    assert health.notices == ()
    assert not differs(benchmark_status(observed.benchmark, health, NOW + 60), status)


def test_a_missed_objective_is_a_finished_run(judge):
    health, _ = judge(said(objectiveMet=False), "Complete")
    assert conditions(health)["Complete"] == ("True", Reason.RUN_FINISHED)
    assert conditions(health)["ObjectiveMet"] == ("False", Reason.OBJECTIVE_MISSED)
    assert health.notices[0].kind == "Warning"


def test_a_partial_run_is_no_success(judge):
    health, _ = judge(said(partial=True), "Failed")
    assert conditions(health) == {
        "Complete": ("False", Reason.RUN_PARTIAL),
        "Stalled": ("True", Reason.RUN_FAILED),
        "ObjectiveMet": ("Unknown", Reason.NO_RESULT),
    }
    assert health.last["partial"]


def test_what_does_not_say_that_it_is_whole_is_partial(judge):
    health, _ = judge(json.dumps({"verdict": "x", "partial": None, "results": []}), "Complete")
    assert conditions(health)["Complete"] == ("False", Reason.RUN_PARTIAL)


@pytest.mark.parametrize(
    ("reason", "log", "said"),
    [
        ("OOMKilled", '{"progress": {"percent": 40}}', "its container ended with OOMKilled (137)"),
        ("OOMKilled", "warning\n", "its container ended with OOMKilled (137): warning"),
        ("Error", '{"progress": {"percent": 40}}\nno route to host', "gave no result: no route to host"),
        ("Error", '{"progress": {"percent": 40}}', "its container ended with Error (137)"),
    ],
)
def test_a_run_that_was_killed_says_how_and_not_how_far_it_was(judge, reason, log, said):
    state = {"terminated": {"exitCode": 137, "reason": reason, "message": log}}
    health, _ = judge(kind="Failed", state=state)
    assert conditions(health)["Complete"] == ("False", Reason.RUN_FAILED)
    assert health.verdicts[0].message.endswith(said)
    assert health.last["partial"]
    assert health.last["results"] == []


@pytest.mark.parametrize("words", ["Traceback: boom", "{}", "[1]", '{"verdict": 1}', '{"results": [["a"]]}', "", "\0"])
def test_a_run_without_a_result(judge, words):
    health, _ = judge(words, "Failed")
    assert conditions(health)["Complete"] == ("False", Reason.RUN_FAILED)
    assert conditions(health)["Stalled"][0] == "True"
    complete = health.verdicts[0].message
    assert (words.strip() or "ended with no reason (0)") in complete or not words.strip("\0")


def test_a_pod_that_does_not_start_says_why(judge):
    health, _ = judge(state={"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}})
    assert conditions(health)["Complete"] == ("False", Reason.RUN_STARTING)
    assert "ImagePullBackOff: no such image" in health.verdicts[0].message


def status_of(judge, words, kind, **how):
    health, observed = judge(words, kind, **how)
    return benchmark_status(observed.benchmark, health, NOW)["status"]


@pytest.mark.parametrize("partial", [False, True])
def test_a_result_stays_when_its_pod_is_removed(judge, partial):
    status = status_of(judge, said(partial=partial), "Complete", changes={"report": PVC})
    health, observed = judge(kind="Complete", status=status, changes={"report": PVC})
    assert observed.runs[0].summary is None
    assert not differs(benchmark_status(observed.benchmark, health, NOW + 60), status)
    assert health.notices == ()


def test_a_result_stays_when_its_job_is_removed(judge, observe):
    status = status_of(judge, said(objectiveMet=False), "Complete")
    observed = observe(status=status)
    health = judge_benchmark(observed, plan_benchmark(observed))
    assert conditions(health)["ObjectiveMet"] == ("False", Reason.OBJECTIVE_MISSED)
    assert not differs(benchmark_status(observed.benchmark, health, NOW + 60), status)


def test_the_result_of_another_run_is_not_that_of_one_without_a_pod(judge):
    status = status_of(judge, said(), "Complete")
    other = status | {"lastRun": status["lastRun"] | {"job": "load-before"}}
    health, _ = judge(kind="Failed", status=other)
    assert conditions(health)["Complete"] == ("False", Reason.RUN_FAILED)


def test_the_report_of_an_older_spec_stays_where_it_is(judge):
    status = status_of(judge, said(), "Complete", changes={"report": S3})
    asked = f"{status['lastRun']['job'].removeprefix('load-')}"
    health, _ = judge(said(), "Complete", status=status, changes={"report": PVC}, asked=asked)
    assert health.last["report"] == status["lastRun"]["report"]


def test_a_run_that_is_about_to_end_is_not_starting(judge):
    health, _ = judge(said())
    assert conditions(health)["Complete"] == ("False", Reason.RUNNING)
    assert "about to end" in health.verdicts[0].message


def test_progress_does_not_fall_back_where_the_log_tells_nothing(judge, observe):
    job = plan_benchmark(observe()).job
    running = {"state": {"running": {"startedAt": "2026-11-21T10:00:00Z"}}}
    told = {"job": job, "progress": {"percent": 40, "failed": 0}}
    assert judge(status=told, **running)[0].progress.percent == 40
    assert judge(status=told, progress=Progress(percent=50), **running)[0].progress.percent == 50
    assert judge(status=told | {"job": "load-before"}, **running)[0].progress.percent == 0


def test_progress_while_it_runs_and_not_after(judge):
    running = {"state": {"running": {"startedAt": "2026-11-21T10:00:00Z"}}}
    far = Progress(percent=40, ttft_p99="812ms", search="limit above 4/s")
    health, observed = judge(progress=far, **running)
    assert conditions(health)["Complete"] == ("False", Reason.RUNNING)
    status = benchmark_status(observed.benchmark, health, NOW)["status"]
    assert status["progress"] == {"percent": 40, "ttftP99": "812ms", "search": "limit above 4/s", "failed": 0}
    assert status["job"].startswith("load-")


def test_the_last_result_outlives_a_new_run(judge):
    last = {"job": "load-0", "verdict": "before"}
    health, observed = judge(status={"lastRun": last})
    assert benchmark_status(observed.benchmark, health, NOW)["status"]["lastRun"] == last


@pytest.mark.parametrize(
    ("regression", "expected"),
    [
        (True, ("True", Reason.WORSE_THAN_BASELINE)),
        (False, ("False", Reason.NOT_WORSE_THAN_BASELINE)),
        (None, ("Unknown", Reason.NO_RESULT)),
    ],
)
def test_regression(observe, regression, expected):
    changes = {"report": PVC, "baseline": {"name": "load"}}
    before = observe(report=PVC, status={"lastRun": {"report": "reports:x"}}).benchmark
    asked = plan_benchmark(observe(before=before, **changes)).asked
    words = said(regression=regression, comparison="P99 TTFT 1.10 (1.05 to 1.16)")
    observed = observe([run(asked, words, "Complete")], before=before, **changes)
    health = judge_benchmark(observed, plan_benchmark(observed))
    assert conditions(health)["Regression"] == expected
    assert any("1.10" in verdict.message for verdict in health.verdicts if verdict.type == "Regression")


def test_refusals():
    waiting = refused_benchmark(Waiting(Reason.TARGET_NOT_READY, "not yet", 10))
    assert conditions(waiting) == {
        "Complete": ("False", Reason.TARGET_NOT_READY),
        "Stalled": ("False", Reason.NOTHING_WRONG),
    }
    stuck = refused_benchmark(Terminal(Reason.NO_OBJECTIVE, "set one"))
    assert conditions(stuck)["Stalled"] == ("True", Reason.NO_OBJECTIVE)


def samples(metrics, name):
    return {
        tuple(sample.labels.values()): sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == f"autoglm_operator_benchmark_{name}"
    }


def test_what_metrics_say(judge):
    metrics, key = Metrics(), ("team", "load")
    health, observed = judge(said(), "Complete")
    show_benchmark(metrics, key, health, observed.benchmark.status)
    assert samples(metrics, "result") == {(*key, "ttft_p99"): 0.8124}
    assert samples(metrics, "condition")[*key, "ObjectiveMet", "True"] == 1
    assert samples(metrics, "progress_ratio") == {}
    # A new run is under way, and the operator was started anew: the last result is still told, from the status.
    status = {"lastRun": health.last}
    health, observed = judge(progress=Progress(percent=40), status=status)
    show_benchmark(metrics, key, health, observed.benchmark.status)
    assert samples(metrics, "progress_ratio") == {key: 0.4}
    assert samples(metrics, "result") == {(*key, "ttft_p99"): 0.8124}
    metrics.forget("team", "load")
    assert samples(metrics, "condition"), "a deployment of the same name is another object"
    metrics.forget_benchmark("team", "load")
    assert (
        samples(metrics, "condition") == samples(metrics, "result") == samples(metrics, "ended_timestamp_seconds") == {}
    )

import pytest
from tests.unit.operator.benchmark.conftest import BUCKET, PVC, S3, benchmark_document, deployment_document, run

from autoglm_bench.drive import _DRAIN_OF_LIMIT, _LEAST_DRAIN
from autoglm_bench.load.plan import Search
from autoglm_bench.load.search import Trial, most_left
from autoglm_operator.decide.benchmark import newest, plan_benchmark, run_hash
from autoglm_operator.decide.reasons import Reason
from autoglm_operator.errors import Terminal, Waiting
from autoglm_operator.observe.benchmark import Benchmark

SERVICE = {"serviceRef": {"name": "gateway", "port": 80, "model": "glm"}}


def test_a_deployment_gives_address_model_and_objective(observe):
    plan = plan_benchmark(observe(deployment=deployment_document(objective={"ttftP99": "1500ms", "itlP99": "40ms"})))
    assert plan.url == "http://phone.team.svc:8000/v1"
    assert plan.model == "glm"
    assert (plan.objective.ttft, plan.objective.itl) == (1.5, 0.04)
    assert plan.start
    assert plan.deadline > 120


def test_a_service_needs_no_deployment(observe):
    plan = plan_benchmark(observe(target=SERVICE, engines=()))
    assert plan.url == "http://gateway.team.svc:80/v1"
    assert (plan.model, plan.start, bool(plan.objective)) == ("glm", True, False)


def test_an_objective_of_its_own_replaces_that_of_the_deployment_whole(observe):
    plan = plan_benchmark(observe(objective={"itlP99": "20ms"}))
    assert (plan.objective.ttft, plan.objective.itl) == (None, 0.02)


def refusal(observed):
    with pytest.raises((Terminal, Waiting)) as caught:
        plan_benchmark(observed)
    return caught.value


def test_a_target_that_is_not_there_or_not_ready_is_waited_for(observe):
    error = refusal(observe(deployment=None))
    assert (type(error), error.reason) == (Waiting, Reason.TARGET_NOT_FOUND)
    assert "spec.target.deploymentRef.name" in str(error)
    error = refusal(observe(engines=()))
    assert (type(error), error.reason) == (Waiting, Reason.TARGET_NOT_READY)
    assert "kubectl autoglm explain phone" in str(error)


def test_a_run_that_is_there_does_not_need_the_target_any_more(observe):
    asked = plan_benchmark(observe()).asked
    plan = plan_benchmark(observe([run(asked)], engines=()))
    assert not plan.start


def test_the_limit_of_nothing_cannot_be_found(observe):
    limit = {"type": "FindLimit", "rate": 1, "peakRate": 9}
    error = refusal(observe(profile=limit, deployment=deployment_document()))
    assert (type(error), error.reason) == (Terminal, Reason.NO_OBJECTIVE)
    assert plan_benchmark(observe(profile=limit)).start


def test_an_ended_run_is_not_run_again_even_without_its_job(observe):
    plan = plan_benchmark(observe())
    assert not plan_benchmark(observe([run(plan.asked, "x", "Failed")])).start
    assert not plan_benchmark(observe(status={"lastRun": {"job": plan.job}})).start


@pytest.mark.parametrize("change", [{"seed": 2}, {"annotations": {"autoglm.io/run": "2"}}, {"duration": "1m"}])
def test_another_spec_or_the_annotation_is_another_run(observe, change):
    plan = plan_benchmark(observe())
    again = plan_benchmark(observe([run(plan.asked, "x", "Failed")], **change))
    assert again.start
    assert again.job != plan.job


def test_other_annotations_are_no_other_run():
    plain, noted = (Benchmark.parse(benchmark_document(annotations=given)) for given in ({}, {"team": "a"}))
    assert run_hash(plain) == run_hash(noted)


def test_an_ended_run_does_not_need_its_target_or_baseline_any_more(observe):
    changes = {"report": PVC, "baseline": {"name": "before"}, "objective": {"ttftP99": "1s"}}
    asked = plan_benchmark(observe(before=before(), **changes)).asked
    plan = plan_benchmark(observe([run(asked, "x", "Failed")], deployment=None, engines=(), **changes))
    assert (plan.start, plan.url, plan.baseline) == (False, "http://phone.team.svc:8000/v1", "")


def test_a_search_has_time_for_the_last_answers_of_every_trial(observe):
    limit = {"type": "FindLimit", "rate": 1, "peakRate": 8}
    short, long = (plan_benchmark(observe(profile=limit, objective={"ttftP99": given})) for given in ("1s", "60s"))
    trials = 1 + most_left(Search(1, 8, 120), [Trial(1, held=True, reason="")])
    assert short.deadline >= trials * (120 + _LEAST_DRAIN)
    assert long.deadline >= trials * (120 + _DRAIN_OF_LIMIT * 60)


def before(claim="reports", report="reports:glm/before-1", kept=None):
    status = {"lastRun": {"job": "before-1", "report": report}} if report else {}
    return Benchmark.parse(benchmark_document("before", status, report=kept or {"pvc": {"claimName": claim}}))


def test_a_baseline_is_a_folder_on_the_same_claim(observe):
    plan = plan_benchmark(observe(before=before(), report=PVC, baseline={"name": "before"}))
    assert plan.baseline == "glm/before-1"


@pytest.mark.parametrize(
    ("found", "kind", "words"),
    [
        (None, Waiting, "does not exist"),
        (before(report=""), Waiting, "has no report yet"),
        (before(report="s3://runs/before-1"), Waiting, "its next one is waited for"),
        (before(claim="other"), Terminal, "claim other"),
    ],
)
def test_a_baseline_that_cannot_be_read(observe, found, kind, words):
    error = refusal(observe(before=found, report=PVC, baseline={"name": "before"}))
    assert type(error) is kind
    assert words in str(error)


def test_a_baseline_in_the_same_bucket_is_named_whole(observe):
    where = "s3://runs/glm/team/before/before-1"
    plan = plan_benchmark(observe(before=before(report=where, kept=S3), report=S3, baseline={"name": "before"}))
    assert plan.baseline == where
    assert plan.reports == "s3://runs/glm/team/load"
    assert plan.report_of("load-1") == "s3://runs/glm/team/load/load-1"


@pytest.mark.parametrize(
    "kept",
    [
        {"pvc": {"claimName": "reports"}},
        {"s3": BUCKET | {"bucket": "other"}},
        {"s3": BUCKET | {"endpoint": "https://elsewhere"}},
        {"s3": BUCKET | {"region": "eu-west-1"}},
    ],
)
def test_a_baseline_kept_elsewhere_cannot_be_read_with_our_keys(observe, kept):
    error = refusal(observe(before=before(kept=kept), report=S3, baseline={"name": "before"}))
    assert (type(error), error.reason) == (Terminal, Reason.BASELINE_NOT_FOUND)
    assert "in bucket runs of AWS, us-east-1" in str(error)


def test_a_benchmark_that_is_its_own_baseline_begins_without_one(observe):
    own = {"report": PVC, "baseline": {"name": "load"}, "schedule": "0 3 * * *"}
    first = observe(before=Benchmark.parse(benchmark_document(**own)), **own)
    assert plan_benchmark(first).baseline == ""
    status = {"lastRun": {"job": "load-1", "report": "reports:glm/load-1"}}
    second = observe(before=Benchmark.parse(benchmark_document(status=status, **own)), status=status, **own)
    assert plan_benchmark(second).baseline == "glm/load-1"


def test_a_schedule_starts_nothing_by_itself_and_follows_its_newest_run(observe):
    old, new = run("a" * 16, "x", "Failed"), run("b" * 16)
    observed = observe([old, new], schedule="0 3 * * *")
    plan = plan_benchmark(observed)
    assert not plan.start
    assert newest(observed, plan) is new


def test_a_spec_that_cannot_be_read_says_where(observe):
    error = refusal(observe(duration=3))
    assert (type(error), error.reason) == (Terminal, Reason.INVALID_SPEC)
    assert "spec.duration" in str(error)

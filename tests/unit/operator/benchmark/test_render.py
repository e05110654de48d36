import pytest
from tests.unit.operator.benchmark.conftest import PVC

from autoglm_bench import options as flags
from autoglm_operator.decide.benchmark import plan_benchmark
from autoglm_operator.render.benchmark import arguments, benchmark_child
from autoglm_operator.settings import Images

FILE = {"claimName": "files", "path": "a/b.jsonl"}
#: One of each profile.
PROFILES = {
    "Constant": {"rate": 2},
    "Poisson": {"rate": 0.5},
    "Bursty": {"rate": 2, "burstiness": 3},
    "Step": {"rate": 1, "peakRate": 4, "steps": 4},
    "Ramp": {"rate": 1, "peakRate": 9},
    "Spike": {"rate": 1, "peakRate": 9},
    "Concurrency": {"concurrency": 8},
    "Trace": {"trace": FILE},
    "FindLimit": {"rate": 1, "peakRate": 32},
}


def parsed(plan):
    """Return what the program itself reads, and takes."""
    options = flags.parser().parse_args(arguments(plan))
    flags.check(options)
    return options


@pytest.mark.parametrize("kind", PROFILES)
def test_the_program_takes_every_profile(observe, kind):
    plan = plan_benchmark(observe(profile={"type": kind} | PROFILES[kind]))
    assert parsed(plan).duration == 120
    assert plan.deadline >= 120


def test_steps_go_evenly_from_the_bottom_to_the_top(observe):
    options = parsed(plan_benchmark(observe(profile={"type": "Step"} | PROFILES["Step"])))
    assert options.rates == [1, 2, 3, 4]


def test_a_search_has_time_for_all_of_its_trials(observe):
    search = plan_benchmark(observe(profile={"type": "FindLimit"} | PROFILES["FindLimit"]))
    assert search.deadline > 120 * 10


def test_what_is_asked_and_measured(observe):
    plan = plan_benchmark(
        observe(
            engines=("10.0.0.5", "10.0.0.6"),
            workload={"promptTokens": 300, "outputTokens": 50, "variation": 0.5, "turns": 3, "sharedPrefixTokens": 64},
            seed=7,
        )
    )
    options = parsed(plan)
    assert (options.seed, str(options.prompt_tokens), options.prefix_tokens) == (7, "normal:300,150", 64)
    assert options.metrics_url == ["http://10.0.0.5:8000/metrics", "http://10.0.0.6:8000/metrics"]
    assert options.agent_url == ["http://10.0.0.5:9410/state", "http://10.0.0.6:9410/state"]
    assert [(item.name, item.seconds) for item in options.objective] == [("ttft_p99", 1.0), ("itl_p99", 0.1)]


def test_files_come_from_claims_read_only_and_reports_go_to_one(observe):
    observed = observe(workload={"type": "Dataset", "dataset": FILE}, report=PVC)
    plan = plan_benchmark(observed)
    job = benchmark_child(observed.benchmark, plan, Images())
    pod = job["spec"]["template"]["spec"]
    mounts = {mount["name"]: mount for mount in pod["containers"][0]["volumeMounts"]}
    assert str(parsed(plan).requests) == f"{mounts['dataset']['mountPath']}/a/b.jsonl"
    assert (mounts["dataset"]["readOnly"], mounts["reports"]["readOnly"]) == (True, False)
    assert str(parsed(plan).report_dir) == f"{mounts['reports']['mountPath']}/glm/$(JOB_NAME)"
    assert "JOB_NAME" in [variable["name"] for variable in pod["containers"][0]["env"]]


def test_a_model_name_is_no_variable_of_the_kubelet(observe):
    target = {"serviceRef": {"name": "s", "port": 1, "model": "a"}}
    plan = plan_benchmark(observe(target=target))
    assert not any("$(" in word for word in arguments(plan))


def test_a_pod_of_the_restricted_kind_without_a_token(observe):
    observed = observe()
    pod = benchmark_child(observed.benchmark, plan_benchmark(observed), Images())["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"]

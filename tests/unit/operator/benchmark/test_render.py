import pytest
from tests.unit.operator.benchmark.conftest import BUCKET, PVC, S3

from autoglm_bench import options as flags
from autoglm_bench.places import ACCESS_KEY, SECRET_KEY, SESSION_TOKEN
from autoglm_operator.api import names
from autoglm_operator.decide.benchmark import plan_benchmark
from autoglm_operator.render.benchmark import arguments, benchmark_child
from autoglm_operator.render.benchmark_network import benchmark_network_policy
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


def test_reports_in_a_bucket_need_no_claim_and_keys_come_from_the_secret(observe):
    observed = observe(report={"s3": BUCKET | {"endpoint": "https://s3.example", "region": "eu-west-1"}})
    plan = plan_benchmark(observed)
    options = parsed(plan)
    assert options.report_dir == "s3://runs/glm/team/load/$(JOB_NAME)"
    assert (options.s3_endpoint, options.s3_region) == ("https://s3.example", "eu-west-1")
    pod = benchmark_child(observed.benchmark, plan, Images())["spec"]["template"]["spec"]
    assert [volume["name"] for volume in pod["volumes"]] == ["tmp"]
    given = {item["name"]: item["valueFrom"].get("secretKeyRef") for item in pod["containers"][0]["env"]}
    assert {name for name, reference in given.items() if reference} == {ACCESS_KEY, SECRET_KEY, SESSION_TOKEN}
    assert given[SESSION_TOKEN] == {"name": "keys", "key": SESSION_TOKEN, "optional": True}
    assert "optional" not in given[SECRET_KEY]


def egress(observe, **spec):
    observed = observe(**spec)
    return benchmark_network_policy(observed.benchmark, observed.benchmark.spec)["spec"]["egress"]


def test_pods_may_talk_to_their_target_and_a_name_server_only(observe):
    dns, target = egress(observe)
    assert {port["port"] for port in dns["ports"]} == {53}
    assert target["to"] == [{"podSelector": {"matchLabels": names.pod_selector("phone")}}]
    assert [port["port"] for port in target["ports"]] == [8000, 9410]
    _, service = egress(observe, target={"serviceRef": {"name": "s", "port": 1, "model": "a"}})
    assert service == {"to": [{"podSelector": {}}]}


@pytest.mark.parametrize(
    ("endpoint", "port"), [(None, 443), ("https://s3.example", 443), ("https://s3.example:9000/x", 9000)]
)
def test_a_bucket_outside_opens_its_port_and_not_the_clouds_keys(observe, endpoint, port):
    changes = {"endpoint": endpoint} if endpoint else {}
    *_, bucket = egress(observe, report={"s3": BUCKET | changes})
    assert [item["port"] for item in bucket["ports"]] == [port]
    assert "169.254.0.0/16" in bucket["to"][0]["ipBlock"]["except"]


def test_a_bucket_inside_opens_its_namespace(observe):
    *_, bucket = egress(observe, report={"s3": BUCKET | {"endpoint": "http://minio.storage.svc.cluster.local:9000"}})
    assert bucket == {"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "storage"}}}]}


def test_the_policy_is_about_the_pods_of_the_run_and_takes_no_deployments_name(observe):
    observed = observe(report=S3)
    policy = benchmark_network_policy(observed.benchmark, observed.benchmark.spec)
    job = benchmark_child(observed.benchmark, plan_benchmark(observed), Images())
    labels = job["spec"]["template"]["metadata"]["labels"]
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    assert policy["metadata"]["name"] == "load.benchmark"
    assert policy["metadata"]["ownerReferences"] == job["metadata"]["ownerReferences"]

"""Groups of pods on several nodes."""

from copy import deepcopy
from dataclasses import replace

import pytest

from autoglm_operator.api import names
from autoglm_operator.api.v1alpha1 import EngineType
from autoglm_operator.decide.plan import make_plan
from autoglm_operator.observe.pod import Pod
from autoglm_operator.observe.world import Deployment, Observed
from autoglm_operator.render.leader_worker_set import group_environment, leader_selector, leader_worker_set
from autoglm_operator.settings import Images

PROBE = {"httpGet": {"path": "/health", "port": "http"}}
SPREAD = {"maxSkew": 1, "labelSelector": {"matchLabels": {"a": "b"}}, "matchLabelKeys": ["pod-template-hash"]}


STUCK = (
    Pod("phone-0", "old", ready=True, terminating=False),
    Pod("phone-3", "newest", ready=False, terminating=False, unschedulable="1 Insufficient nvidia.com/gpu."),
)


def pod(*args, **env):
    return {
        "terminationGracePeriodSeconds": 200,
        "topologySpreadConstraints": [SPREAD],
        "initContainers": [{"name": "agent", "ports": [{"name": "agent", "containerPort": 9410}]}],
        "containers": [
            {
                "name": "engine",
                "args": list(args),
                "env": [{"name": key, "value": value} for key, value in env.items()],
                "ports": [{"name": "http", "containerPort": 8000}],
                "startupProbe": PROBE,
                "readinessProbe": PROBE,
                "livenessProbe": PROBE,
                "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
            }
        ],
    }


@pytest.fixture
def render(deployment_document):
    def make(leader=None, worker=None, pods=(), **changes):
        gpus = {"gpu": {"count": 16}, "parallelism": {"tensor": 8, "pipeline": 2, "nodes": 2}}
        document = deployment_document(**({"engine": {"type": "vLLM"}, "resources": gpus, "replicas": 3} | changes))
        deployment = Deployment.parse(document)
        plan = make_plan(Observed(deployment, {}, pods, frozenset({"LeaderWorkerSet"}), 0.0), Images())
        return leader_worker_set(deployment, plan, leader or pod("lead"), worker or pod("follow"))

    return make


@pytest.fixture
def engines(render):
    def make(**changes):
        group = render(**changes)["spec"]["leaderWorkerTemplate"]
        return [group[f"{role}Template"]["spec"]["containers"][0] for role in ("leader", "worker")]

    return make


def test_the_group(render):
    found = render()
    assert (found["apiVersion"], found["kind"]) == ("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet")
    assert found["metadata"]["name"] == "phone"
    assert found["metadata"]["ownerReferences"][0]["controller"] is True
    spec = found["spec"]
    assert (spec["replicas"], spec["leaderWorkerTemplate"]["size"]) == (3, 2)
    assert spec["startupPolicy"] == "LeaderCreated", "a leader is not ready without its workers"
    assert spec["networkConfig"] == {"subdomainPolicy": "UniquePerReplica"}, "the name is that of the Service"
    assert spec["leaderWorkerTemplate"]["restartPolicy"] == "RecreateGroupOnPodRestart"


def test_leader_and_worker_are_told_apart_by_their_role(render):
    group = render()["spec"]["leaderWorkerTemplate"]
    leader, worker = (group[f"{role}Template"]["metadata"] for role in ("leader", "worker"))
    assert leader["labels"].items() >= leader_selector("phone").items()
    assert worker["labels"].items() >= names.pod_selector("phone").items()
    assert worker["labels"][names.LABEL_ROLE] == "worker"
    assert not worker["labels"].items() >= leader_selector("phone").items()
    assert (leader["labels"].get(names.LABEL_SERVING), worker["labels"].get(names.LABEL_SERVING)) == ("true", None)


def test_one_hash_tells_the_spec_of_the_whole_group(render):
    def stamps(**changes):
        group = render(**changes)["spec"]["leaderWorkerTemplate"]
        return [
            group[f"{role}Template"]["metadata"]["annotations"][names.ANNOTATION_TEMPLATE]
            for role in ("leader", "worker")
        ]

    assert len(set(stamps())) == 1
    assert stamps() == stamps(replicas=5, pods=STUCK)
    assert stamps() != stamps(worker=pod("other"))
    assert stamps() != stamps(leader=pod("other"))


def test_nobody_asks_a_worker(engines):
    leader, worker = engines()
    assert leader.keys() >= {"startupProbe", "readinessProbe", "livenessProbe", "ports"}
    assert not worker.keys() & {"startupProbe", "readinessProbe", "livenessProbe", "ports"}
    assert worker["args"] == ["follow"]


def test_a_worker_stays_while_its_leader_drains(render):
    group = render()["spec"]["leaderWorkerTemplate"]
    leader, worker = (group[f"{role}Template"]["spec"] for role in ("leader", "worker"))
    stays = worker["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert stays == leader["terminationGracePeriodSeconds"]
    assert worker["terminationGracePeriodSeconds"] > stays
    assert worker["initContainers"] == leader["initContainers"], "the sidecar is as ever"


def test_only_leaders_are_spread(render):
    group = render()["spec"]["leaderWorkerTemplate"]
    (spread,) = group["leaderTemplate"]["spec"]["topologySpreadConstraints"]
    assert spread["labelSelector"]["matchLabels"] == {"a": "b", names.LABEL_ROLE: "leader"}
    assert spread["matchLabelKeys"] == ["leaderworkerset.sigs.k8s.io/template-revision-hash"]
    assert "topologySpreadConstraints" not in group["workerTemplate"]["spec"]


def test_rollouts(render):
    def rolling(**changes):
        return render(**changes)["spec"]["rolloutStrategy"]["rollingUpdateConfiguration"]

    assert rolling() == {"maxSurge": 1, "maxUnavailable": 0}
    stamp = render()["spec"]["leaderWorkerTemplate"]["leaderTemplate"]["metadata"]["annotations"]
    stuck = (STUCK[0], replace(STUCK[1], template=stamp[names.ANNOTATION_TEMPLATE]))
    assert rolling(pods=stuck) == {"maxSurge": 0, "maxUnavailable": 1}
    assert rolling(rollout={"strategy": "Recreate"}) == {"maxSurge": 0, "maxUnavailable": "100%"}


def test_the_ranks_meet_over_the_pod_network(engines):
    for engine in engines():
        env = {item["name"]: item for item in engine["env"]}
        assert env["NCCL_SOCKET_IFNAME"]["value"] == "=eth0"
        assert env["GLOO_SOCKET_IFNAME"]["value"] == "eth0"
        assert env["VLLM_HOST_IP"]["valueFrom"]["fieldRef"]["fieldPath"] == "status.podIP"
        assert "NCCL_IB_DISABLE" not in env


def test_sglang_takes_its_address_from_its_name():
    assert "VLLM_HOST_IP" not in {item["name"] for item in group_environment(EngineType.SGLANG)}


def test_the_users_own_variables_stay(engines):
    leader, _ = engines(leader=pod(NCCL_SOCKET_IFNAME="ib"))
    values = [item["value"] for item in leader["env"] if item["name"] == "NCCL_SOCKET_IFNAME"]
    assert values == ["ib"]


def test_the_pods_that_were_given_are_not_changed(render):
    leader, worker = pod("lead"), pod("follow")
    before = deepcopy((leader, worker))
    render(leader=leader, worker=worker)
    assert (leader, worker) == before

"""What a running operator makes of an AutoGLMDeployment, on a real API server and controller-manager."""

import time

import pytest

from autoglm_operator.api import names

pytestmark = [pytest.mark.api]

KINDS = {
    "ServiceAccount": "v1",
    "Service": "v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "PodDisruptionBudget": "policy/v1",
    "Deployment": "apps/v1",
    "HorizontalPodAutoscaler": "autoscaling/v2",
}
#: Why a deployment without a node is not ready: the second as soon as a scheduler has said so.
WAITING = {"Starting", "Unschedulable"}
AUTOSCALING = {"maxReplicas": 3, "scaleDownHold": "1m"}


@pytest.fixture
def live(cluster, here):
    """Return a child, or `None`."""
    return lambda name, kind: cluster.get(KINDS[kind], kind, here, name)


@pytest.fixture
def condition(cluster, here):
    def find(name, kind="Ready"):
        found = cluster.get(names.API_VERSION, names.KIND, here, name)
        conditions = (found or {}).get("status", {}).get("conditions", [])
        return next((item for item in conditions if item["type"] == kind), {})

    return find


@pytest.fixture
def make(cluster, here, manifest, live, within):
    """Create an AutoGLMDeployment and wait for its children."""

    def create(name, **spec):
        made = cluster.create(manifest(name, here, **spec))
        wanted = set(KINDS) - (set() if "autoscaling" in spec else {"HorizontalPodAutoscaler"})
        within(15, lambda: all(live(name, kind) for kind in wanted), lambda: name)
        return made

    return create


def answering(cluster, namespace, name, *, template=None):
    """Do what a kubelet does: say that the pods of `name` answer requests."""
    for pod in cluster.items("v1", "Pod", namespace):
        ours = pod["metadata"]["labels"].get(names.LABEL_DEPLOYMENT) == name
        same = template in (None, pod["metadata"]["annotations"][names.ANNOTATION_TEMPLATE])
        if ours and same:
            condition = {"type": "Ready", "status": "True"}
            document = pod | {"apiVersion": "v1", "kind": "Pod"}
            cluster.patch(document, {"status": {"phase": "Running", "conditions": [condition]}}, "status")


def test_children(make, cluster, here, live, within):
    made = make("children", autoscaling=AUTOSCALING)
    for kind in KINDS:
        child = live("children", kind)
        (owner,) = child["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"], owner["uid"]) == (names.KIND, "children", made["metadata"]["uid"])
        assert owner["controller"]
        assert names.pod_selector("children").items() <= child["metadata"]["labels"].items()
        applied = [entry for entry in child["metadata"]["managedFields"] if entry["operation"] == "Apply"]
        assert [entry["manager"] for entry in applied] == ["autoglm-operator"]
    assert live("children", "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]["kind"] == names.KIND
    within(10, lambda: cluster.items("v1", "Pod", here))


def test_from_creation_to_ready(make, cluster, here, condition, within):
    make("ready")
    within(10, lambda: condition("ready").get("reason") in WAITING, lambda: condition("ready"))
    within(
        10, lambda: [pod for pod in cluster.items("v1", "Pod", here) if pod["metadata"]["name"].startswith("ready-")]
    )
    answering(cluster, here, "ready")
    within(5, lambda: condition("ready").get("status") == "True", lambda: condition("ready"))
    status = cluster.get(names.API_VERSION, names.KIND, here, "ready")["status"]
    assert (status["replicas"], status["readyReplicas"], status["observedGeneration"]) == (1, 1, 1)
    assert status["url"] == f"http://ready.{here}.svc:8000/v1"
    assert condition("ready", "Reconciling")["status"] == "False"
    assert condition("ready", "Stalled")["status"] == "False"


def test_scale_reaches_the_pods(make, cluster, here, live, within):
    made = make("scale")
    cluster.patch(made, {"spec": {"replicas": 3}}, "scale")
    within(10, lambda: live("scale", "Deployment")["spec"]["replicas"] == 3)
    within(
        10, lambda: sum(pod["metadata"]["name"].startswith("scale-") for pod in cluster.items("v1", "Pod", here)) == 3
    )


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("Service", {"spec": {"selector": {"app": "mine"}}}),
        ("Service", {"metadata": {"labels": {names.LABEL_MANAGED_BY: "me"}}}),
        ("Deployment", {"spec": {"replicas": 7}}),
        ("PodDisruptionBudget", {"spec": {"maxUnavailable": 5}}),
        ("ServiceAccount", {"automountServiceAccountToken": True}),
    ],
)
def test_drift_is_repaired(make, cluster, live, within, kind, change):
    name = f"drift-{kind.lower()[:9]}-{next(iter(change))[:4]}"
    make(name)
    before = live(name, kind)
    cluster.patch(before, change)

    def repaired():
        after = live(name, kind)
        metadata = after["metadata"]
        same = all(after.get(key) == before.get(key) for key in ("spec", "automountServiceAccountToken"))
        return same and metadata["labels"] == before["metadata"]["labels"]

    within(5, repaired, lambda: live(name, kind))
    assert live(name, kind)["metadata"]["uid"] == before["metadata"]["uid"]


def test_a_deleted_child_comes_back(make, cluster, live, within):
    make("deleted")
    before = live("deleted", "Service")
    cluster.delete(before)
    within(5, lambda: (live("deleted", "Service") or before)["metadata"]["uid"] != before["metadata"]["uid"])


def test_the_hpa_comes_and_goes_with_autoscaling(make, cluster, live, within, condition):
    made = make("hpa", autoscaling=AUTOSCALING)
    cluster.patch(made, {"spec": {"autoscaling": None}})
    within(10, lambda: live("hpa", "HorizontalPodAutoscaler") is None)
    within(10, lambda: condition("hpa", "ScalingActive").get("reason") == "AutoscalingOff")
    cluster.patch(made, {"spec": {"autoscaling": AUTOSCALING}})
    within(10, lambda: live("hpa", "HorizontalPodAutoscaler"))


def test_a_foreign_object_of_the_same_name_is_left_alone(cluster, here, manifest, live, within, condition):
    foreign = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "taken", "namespace": here},
        "spec": {"selector": {"app": "theirs"}, "ports": [{"port": 80}]},
    }
    before = cluster.create(foreign)
    cluster.create(manifest("taken", here))
    within(10, lambda: condition("taken").get("reason") == "NameTaken", lambda: condition("taken"))
    assert f"Service {here}/taken exists and does not belong" in condition("taken", "Stalled")["message"]
    after = live("taken", "Service")
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    assert live("taken", "Deployment") is None, "all or nothing"
    events = within(5, lambda: events_of(cluster, here, "taken"))
    assert [(event["type"], event["reason"]) for event in events] == [("Warning", "NameTaken")]


def events_of(cluster, namespace, name):
    found = cluster.items("events.k8s.io/v1", "Event", namespace)
    return [event for event in found if event["regarding"]["name"] == name and event["regarding"]["kind"] == names.KIND]


def test_a_change_of_spec_rolls_and_tells(make, cluster, here, live, condition, within):
    made = make("roll")
    within(10, lambda: any(pod["metadata"]["name"].startswith("roll-") for pod in cluster.items("v1", "Pod", here)))
    answering(cluster, here, "roll")
    within(5, lambda: condition("roll").get("status") == "True")
    cluster.patch(made, {"spec": {"model": {"servedName": "other"}}})
    words = "0 of 1 replicas run the new spec, 1 of the old one answer"
    within(10, lambda: condition("roll")["message"].startswith(words), lambda: condition("roll"))
    assert condition("roll")["status"] == "False"
    assert condition("roll")["observedGeneration"] == 2
    template = live("roll", "Deployment")["spec"]["template"]["metadata"]["annotations"][names.ANNOTATION_TEMPLATE]
    answering(cluster, here, "roll", template=template)
    # The controller-manager now removes the old pod, which no kubelet holds up.
    within(15, lambda: condition("roll").get("status") == "True", lambda: condition("roll"))


def test_back_to_the_first_spec_is_the_first_workload(make, cluster, live, within):
    made = make("back")
    first = live("back", "Deployment")
    cluster.patch(made, {"spec": {"engine": {"image": "nowhere/nothing:1"}}})
    within(10, lambda: live("back", "Deployment")["metadata"]["generation"] == 2)
    cluster.patch(made, {"spec": {"engine": {"image": None}}})
    within(10, lambda: live("back", "Deployment")["metadata"]["generation"] == 3)
    assert live("back", "Deployment")["spec"] == first["spec"]


def test_many_changes_in_a_row_end_at_the_last(make, cluster, live, within, condition):
    made = make("flips")
    for number in range(40):
        cluster.patch(made, {"spec": {"model": {"servedName": f"name-{number}"}}})
    last = cluster.patch(made, {"spec": {"replicas": 2}})

    def settled():
        arguments = live("flips", "Deployment")["spec"]["template"]["spec"]["containers"][0]["args"]
        return "name-39" in arguments and live("flips", "Deployment")["spec"]["replicas"] == 2

    within(10, settled)
    within(10, lambda: condition("flips").get("observedGeneration") == last["metadata"]["generation"])


def test_deletion_takes_the_children_and_nothing_holds_it_up(make, cluster, here, live, within, operator):
    made = make("gone", autoscaling=AUTOSCALING)
    assert "finalizers" not in cluster.get(names.API_VERSION, names.KIND, here, "gone")["metadata"]
    cluster.delete(made)
    assert cluster.get(names.API_VERSION, names.KIND, here, "gone") is None
    within(15, lambda: not any(live("gone", kind) for kind in KINDS))
    within(5, lambda: 'name="gone"' not in operator.health("/metrics")[1])


def test_recreated_at_once_it_starts_anew(make, cluster, here, manifest, live, within):
    made = make("again")
    cluster.delete(made)
    second = cluster.create(manifest("again", here, replicas=2))

    def anew():
        child = live("again", "Deployment")
        return child and child["metadata"]["ownerReferences"][0]["uid"] == second["metadata"]["uid"]

    # The children of the first are in the way until the garbage collector has removed them.
    within(45, anew, lambda: live("again", "Deployment"))
    assert live("again", "Deployment")["spec"]["replicas"] == 2


def test_at_rest_nothing_is_written(make, cluster, here, condition, within, shared_operators, audit, operator):
    make("rest", autoscaling=AUTOSCALING, resources={"gpu": {"count": 0}, "cpu": "1000m", "memory": "1024Mi"})
    within(10, lambda: condition("rest").get("reason") in WAITING)
    within(30, lambda: condition("rest", "ScalingActive").get("reason") not in (None, "WaitingForHPA"))
    time.sleep(6)
    watching = audit()
    time.sleep(8)
    assert [item for item in watching.writes(shared_operators.user) if item[2] == "rest"] == []
    assert operator.leads


def test_creation_costs_one_write_for_each_child_and_one_status(make, condition, within, shared_operators, audit):
    watching = audit()
    make("cost", autoscaling=AUTOSCALING)
    within(10, lambda: condition("cost"))
    time.sleep(0.5)
    writes = [write for write in watching.writes(shared_operators.user) if write[2] == "cost"]
    assert sorted(resource for _, resource, _ in writes) == [
        "autoglmdeployments/status",
        "deployments",
        "horizontalpodautoscalers",
        "networkpolicies",
        "poddisruptionbudgets",
        "serviceaccounts",
        "services",
    ]
    assert {verb for verb, _, _ in writes} == {"patch"}


def test_quota_refuses_pods(cluster, operators, namespace, manifest, within):
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    assert cluster.call("POST", f"/api/v1/namespaces/{namespace}/resourcequotas", quota).is_success
    operators.start()
    cluster.create(manifest("phone", namespace))

    def stalled():
        found = cluster.get(names.API_VERSION, names.KIND, namespace, "phone")
        conditions = found["status"].get("conditions", [])
        return next((item for item in conditions if item["type"] == "Stalled" and item["status"] == "True"), None)

    found = within(20, stalled)
    assert found["reason"] == "PodsRejected"
    assert "exceeded quota: none" in found["message"]


def test_a_refused_child_is_named_and_recovers(cluster, operators, namespace, manifest, within):
    hard = {"hard": {"count/services": "0"}}
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": hard}
    assert cluster.call("POST", f"/api/v1/namespaces/{namespace}/resourcequotas", quota).is_success
    operators.start()
    made = cluster.create(manifest("phone", namespace))

    def ready():
        found = cluster.get(names.API_VERSION, names.KIND, namespace, "phone")["status"].get("conditions", [])
        return next((item for item in found if item["type"] == "Ready"), {})

    within(20, lambda: ready().get("reason") == "ChildRejected")
    assert "the API server refuses Service phone" in ready()["message"]
    assert cluster.get("apps/v1", "Deployment", namespace, "phone"), "the others are made all the same"
    assert cluster.call("DELETE", f"/api/v1/namespaces/{namespace}/resourcequotas/none").is_success
    cluster.patch(made, {"spec": {"replicas": 2}})
    within(10, lambda: cluster.get("v1", "Service", namespace, "phone"))
    within(20, lambda: ready().get("reason") in WAITING)

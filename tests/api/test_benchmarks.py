"""AutoGLMBenchmarks on a real API server with its Job controller; the pod's end is written as a kubelet would."""

import json
import time

import pytest

from autoglm_operator.api import names
from autoglm_operator.api.kinds import BENCHMARK

pytestmark = pytest.mark.api

SERVICE = {"serviceRef": {"name": "gateway", "port": 8000, "model": "glm"}}
RESULT = {
    "verdict": "P99 TTFT 812 ms of 1 s: held at 2 requests a second",
    "partial": False,
    "objectiveMet": True,
    "results": [["ttft_p99", "812.4", "ms"]],
}


@pytest.fixture(scope="module", autouse=True)
def operator(shared_operators):
    return shared_operators.start("operator-bench")


@pytest.fixture
def make(cluster, shared_namespace):
    def create(name, **spec):
        given = {"target": SERVICE, "profile": {"type": "Constant", "rate": 2}, "duration": "10s"} | spec
        return cluster.create(
            {
                "apiVersion": names.API_VERSION,
                "kind": BENCHMARK.names.kind,
                "metadata": {"name": name, "namespace": shared_namespace},
                "spec": given,
            }
        )

    return create


@pytest.fixture
def look(cluster, shared_namespace, within):
    class Look:
        def status(self, name):
            return cluster.get(names.API_VERSION, BENCHMARK.names.kind, shared_namespace, name).get("status", {})

        def condition(self, name, kind="Complete"):
            found = {item["type"]: item for item in self.status(name).get("conditions", [])}
            return (found[kind]["status"], found[kind]["reason"]) if kind in found else None

        def becomes(self, name, expected, kind="Complete"):
            within(20, lambda: self.condition(name, kind) == expected, lambda: self.status(name))

        def jobs(self, name):
            found = cluster.items("batch/v1", "Job", shared_namespace)
            return [job for job in found if job["metadata"]["labels"].get("autoglm.io/benchmark") == name]

        def pod(self, name):
            pods = cluster.items("v1", "Pod", shared_namespace)
            return next((pod for pod in pods if pod["metadata"]["labels"].get("autoglm.io/benchmark") == name), None)

        def end(self, name, words, code=0):
            """Write what the kubelet writes when the container has exited."""
            pod = within(20, lambda: self.pod(name))
            ended = {"exitCode": code, "message": words, "reason": "Completed" if code == 0 else "Error"}
            container = {"name": "bench", "image": "x", "imageID": "", "ready": False, "restartCount": 0}
            times = {"startedAt": "2026-11-21T10:00:00Z", "finishedAt": "2026-11-21T10:01:00Z"}
            status = {
                "phase": "Succeeded" if code == 0 else "Failed",
                "containerStatuses": [container | {"state": {"terminated": ended | times}}],
            }
            cluster.patch({"apiVersion": "v1", "kind": "Pod", **pod}, {"status": status}, "status")

    return Look()


def test_a_run_from_the_manifest_to_the_verdict(make, look, within):
    made = make("run", objective={"ttftP99": "1s"})
    within(20, lambda: look.jobs("run"))
    (job,) = look.jobs("run")
    assert job["metadata"]["ownerReferences"][0]["uid"] == made["metadata"]["uid"]
    assert job["spec"]["backoffLimit"] == 0
    assert job["spec"]["template"]["spec"]["automountServiceAccountToken"] is False
    look.becomes("run", ("False", "RunStarting"))
    look.end("run", json.dumps(RESULT))
    look.becomes("run", ("True", "RunFinished"))
    assert look.condition("run", "ObjectiveMet") == ("True", "ObjectiveHeld")
    assert look.status("run")["lastRun"]["verdict"] == RESULT["verdict"]


def test_pods_are_fenced_in_before_they_are_made(cluster, shared_namespace, make, look, within):
    make("fenced", report={"s3": {"bucket": "runs", "credentialsSecretRef": {"name": "keys"}}})
    pod = within(20, lambda: look.pod("fenced"))
    policy = cluster.get("networking.k8s.io/v1", "NetworkPolicy", shared_namespace, "fenced.benchmark")
    assert policy["metadata"]["creationTimestamp"] <= pod["metadata"]["creationTimestamp"]
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    why = "s3://runs/x/result.json cannot be written: HTTP 403 AccessDenied"
    look.end("fenced", json.dumps(RESULT | {"report": False, "unwritten": why}), code=1)
    look.becomes("fenced", ("False", "ReportNotWritten"), "ReportWritten")
    assert look.condition("fenced") == ("True", "RunFinished")
    assert look.status("fenced")["lastRun"]["results"] == [{"name": "ttft_p99", "unit": "ms", "value": "812.4"}]


def test_a_failed_run_is_not_tried_again(make, look, within):
    make("fails")
    look.end("fails", "--url: http://gateway:8000/v1 refuses connections", code=2)
    look.becomes("fails", ("False", "RunFailed"))
    time.sleep(2)
    assert len(look.jobs("fails")) == 1
    assert "refuses connections" in look.status("fails")["conditions"][0]["message"]


def test_a_pod_that_is_deleted_in_mid_run_leaves_its_partial_result(cluster, shared_namespace, make, look, within):
    made = make("killed", objective={"ttftP99": "1s"})
    words = json.dumps(RESULT | {"partial": True, "verdict": "partial (stopped by SIGTERM): held so far"})
    look.end("killed", words, code=143)
    path = cluster.path("v1", "Pod", shared_namespace, look.pod("killed")["metadata"]["name"])
    cluster.call("DELETE", path, gracePeriodSeconds=0)
    within(20, lambda: look.pod("killed") is None)
    look.becomes("killed", ("False", "RunPartial"))
    # Looked at once more, with nothing left of the pod.
    cluster.patch(made, {"metadata": {"annotations": {"team": "a"}}})
    time.sleep(2)
    assert look.condition("killed") == ("False", "RunPartial")
    assert look.status("killed")["lastRun"]["results"] == [{"name": "ttft_p99", "unit": "ms", "value": "812.4"}]
    assert len(look.jobs("killed")) == 1


def test_the_annotation_asks_for_another_run(cluster, make, look, within):
    made = make("again", objective={"ttftP99": "1s"})
    look.end("again", json.dumps(RESULT | {"objectiveMet": False}))
    look.becomes("again", ("False", "ObjectiveMissed"), "ObjectiveMet")
    (first,) = look.jobs("again")
    cluster.patch(made, {"metadata": {"annotations": {"autoglm.io/run": "2"}}})
    within(20, lambda: [job["metadata"]["name"] for job in look.jobs("again")] not in ([], [first["metadata"]["name"]]))
    within(20, lambda: len(look.jobs("again")) == 1)
    assert look.status("again")["lastRun"]["job"] == first["metadata"]["name"]


def test_a_target_that_is_not_there_is_named(make, look):
    make("lost", target={"deploymentRef": {"name": "nobody"}})
    look.becomes("lost", ("False", "TargetNotFound"))
    assert "AutoGLMDeployment nobody" in look.status("lost")["conditions"][0]["message"]
    assert look.jobs("lost") == []


def test_a_schedule_is_a_cron_job(cluster, shared_namespace, make, look, within):
    make("nightly", schedule="0 3 * * *")
    look.becomes("nightly", ("False", "Scheduled"))
    (cron,) = cluster.items("batch/v1", "CronJob", shared_namespace)
    assert (cron["spec"]["timeZone"], cron["spec"]["concurrencyPolicy"]) == ("Etc/UTC", "Forbid")


def test_nothing_is_left_when_it_is_deleted(cluster, shared_namespace, make, look, within):
    made = make("gone")
    within(20, lambda: look.pod("gone"))
    cluster.delete(made)

    # The garbage collector hears of a kind that was installed just now with its next look at all kinds.
    def left():
        policy = cluster.get("networking.k8s.io/v1", "NetworkPolicy", shared_namespace, "gone.benchmark")
        return [found for found in (*look.jobs("gone"), look.pod("gone"), policy) if found is not None]

    within(90, lambda: not left(), left)

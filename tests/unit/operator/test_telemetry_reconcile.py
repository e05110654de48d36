"""The trace of a reconcile: its steps, the requests in them, the sentences, and the decision behind it."""

from itertools import pairwise

import pytest
from opentelemetry.trace import StatusCode

from autoglm_operator import tracing
from autoglm_operator.apply.sync import Synchroniser
from autoglm_operator.kube.errors import ApiError
from autoglm_operator.lookups import Lookups
from autoglm_operator.observe.caches import Caches
from autoglm_operator.reconcile import Reconciler
from autoglm_operator.report.reporter import Reporter
from autoglm_operator.settings import Images

KEY = ("team-a", "phone")
PATH = "/apis/autoglm.io/v1alpha1/namespaces/team-a/autoglmdeployments/phone"
TRACEPARENT = "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"


class World:
    """One deployment, the API server that has it, and the reconciler of it."""

    def __init__(self, api, client, document):
        self.api, self._document, self.now = api, document, 100.0
        self.caches = Caches(client, (), (), lambda _: None)
        reporter = Reporter(client, "pod-0", list, lambda: self.now)
        self.reconciler = Reconciler(self.caches, Lookups(), Synchroniser(client, list), reporter, Images())

    def store(self, generation=1, autoscaling=None, **spec):
        status = dict(self.api.objects.get(PATH, {}).get("status", {}))
        if autoscaling:
            status["autoscaling"] = autoscaling
        document = self._document(generation=generation, **spec) | {"status": status}
        self.api.put(PATH, document)
        self.caches.store(document)

    async def settle(self):
        for _ in range(3):
            await self.reconciler.reconcile(KEY)
            self.now += 5


@pytest.fixture
async def world(api, client, deployment_document):
    return World(api, client, deployment_document)


def tree(exported):
    """Return the one root, and the names of the spans below each span."""
    finished = exported.get_finished_spans()
    names = {span.context.span_id: span.name for span in finished}
    below = {}
    for span in finished:
        if span.parent is not None:
            below.setdefault(names[span.parent.span_id], []).append(span.name)
    (root,) = [span for span in finished if span.parent is None]
    return root, below


async def test_steps_and_requests(world, exported):
    world.store()
    await world.reconciler.reconcile(KEY)
    root, below = tree(exported)
    assert below[root.name] == ["observe", "decide", "render", "apply", "report"]
    assert {"GET deployments", "PATCH deployments", "PATCH services"} <= set(below["apply"])
    assert not root.links
    assert root.status.status_code == StatusCode.UNSET


async def test_a_pass_that_finds_nothing_to_do_makes_no_span(world, exported):
    world.store()
    await world.settle()
    exported.clear()
    await world.reconciler.reconcile(KEY)
    assert exported.get_finished_spans() == ()


async def test_one_that_is_slow_is_told_with_its_steps(world, exported, monkeypatch):
    world.store()
    await world.settle()
    exported.clear()
    monkeypatch.setattr(tracing, "_SLOW_NANOSECONDS", 0)
    await world.reconciler.reconcile(KEY)
    root, below = tree(exported)
    assert below == {root.name: ["observe", "decide", "render", "apply", "report"]}
    steps = [span for span in exported.get_finished_spans() if span.parent]
    assert all(before.end_time <= after.start_time for before, after in pairwise(steps))
    assert root.start_time <= steps[0].start_time
    assert steps[-1].end_time <= root.end_time


async def test_conditions_that_changed_are_told_in_their_words(world, exported):
    world.store()
    await world.settle()
    told = [event for span in exported.get_finished_spans() for event in span.events if event.name == "condition"]
    conditions = {item["type"]: item for item in world.api.objects[PATH]["status"]["conditions"]}
    ready = [event.attributes for event in told if event.attributes["type"] == "Ready"]
    assert len(ready) == 1
    assert ready[0]["sentence"] == conditions["Ready"]["message"]


async def test_a_refusal_is_told_and_an_error_where_the_spec_must_change(world, exported):
    world.store(engine={"type": "TensorRT"})
    await world.reconciler.reconcile(KEY)
    root, _ = tree(exported)
    refused = next(event for event in root.events if event.name == "refused")
    assert "spec.engine.type" in refused.attributes["sentence"]
    assert (root.status.status_code, root.attributes["error.type"]) == (StatusCode.ERROR, "InvalidSpec")
    assert root.attributes["autoglm.outcome"] == "terminal"


async def test_a_failing_api_server_is_an_error_of_request_step_and_root(world, exported, error_status):
    world.store()
    world.api.answer("PATCH /apis/apps/v1/namespaces/team-a/deployments/phone", lambda: error_status(500), times=9)
    with pytest.raises(ApiError):
        await world.reconciler.reconcile(KEY)
    failed = [span.name for span in exported.get_finished_spans() if span.status.status_code == StatusCode.ERROR]
    assert failed == ["PATCH deployments", "apply", "reconcile AutoGLMDeployment"]


async def test_the_reconcile_that_applies_a_decision_links_to_it_and_the_next_one_does_not(world, exported):
    world.store()
    await world.settle()
    child = world.api.objects["/apis/apps/v1/namespaces/team-a/deployments/phone"]
    world.caches.put([child])
    exported.clear()
    decision = {"time": "2026-11-21T12:00:00Z", "from": 1, "to": 4, "reason": "QueueBacklog", "message": "1 → 4"}
    decided = {"desiredReplicas": 4, "decision": decision | {"traceparent": TRACEPARENT}}
    world.store(generation=2, replicas=4, autoscaling=decided)
    await world.reconciler.reconcile(KEY)
    root, _ = tree(exported)
    (found,) = root.links
    assert (found.context.trace_id, found.context.span_id) == (int("ab" * 16, 16), int("cd" * 8, 16))
    assert root.attributes["autoglm.decision.trace_id"] == "ab" * 16
    exported.clear()
    await world.settle()
    assert not [span for span in exported.get_finished_spans() if span.links]

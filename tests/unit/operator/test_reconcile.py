"""The five steps together, on the small API server."""

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from autoglm_operator.apply.sync import Synchroniser
from autoglm_operator.errors import Gone
from autoglm_operator.kube.errors import ApiError
from autoglm_operator.lookups import Lookups
from autoglm_operator.observe.caches import Caches
from autoglm_operator.reconcile import Reconciler
from autoglm_operator.report.reporter import Reporter
from autoglm_operator.settings import Images

KEY = ("team-a", "phone")
PATH = "/apis/autoglm.io/v1alpha1/namespaces/team-a/autoglmdeployments/phone"


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def caches(client):
    return Caches(client, (), (), lambda _: None)


@pytest.fixture
async def reconciler(client, caches, clock):
    may_write = list
    reporter = Reporter(client, "pod-0", may_write, clock)
    return Reconciler(caches, Lookups(), Synchroniser(client, may_write), reporter, Images())


@pytest.fixture
def store(api, caches, deployment_document):
    """Create or change the deployment, in the API and in the caches."""

    def make(generation=1, **spec):
        old = api.objects.get(PATH, {})
        document = deployment_document(generation=generation, **spec) | {"status": old.get("status", {})}
        api.put(PATH, document)
        caches.store(document)
        return document

    return make


def condition(api, kind):
    (found,) = [item for item in api.objects[PATH]["status"]["conditions"] if item["type"] == kind]
    return found


async def test_children_first_then_one_status(reconciler, store, api, clock):
    store()
    outcome = await reconciler.reconcile(KEY)
    assert (outcome.result, outcome.after) == ("success", 5.0)
    assert len(outcome.applied.written) == 5
    assert not any("/status" in write for write in api.writes())
    clock.now += 5
    outcome = await reconciler.reconcile(KEY)
    assert (outcome.after, outcome.applied.written) == (None, ())
    assert condition(api, "Ready")["reason"] == "Starting"


async def test_what_is_traced_leads_to_its_span(reconciler, store, monkeypatch):
    store()
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr("autoglm_operator.tracing.tracer", provider.get_tracer("t"))
    outcome = await reconciler.reconcile(KEY)
    (root,) = [span for span in exporter.get_finished_spans() if span.parent is None]
    assert int(outcome.exemplar["span_id"], 16) == root.context.span_id
    assert (await reconciler.reconcile(KEY)).exemplar is None, "it did nothing, and has no span"


async def test_the_second_time_nothing_is_written(reconciler, store, api, clock):
    store()
    await reconciler.reconcile(KEY)
    clock.now += 5
    await reconciler.reconcile(KEY)
    writes = len(api.writes())
    outcome = await reconciler.reconcile(KEY)
    assert (outcome.result, outcome.after) == ("success", None)
    assert len(api.writes()) == writes


async def test_a_spec_that_cannot_be_read_is_told_and_not_tried_again(reconciler, store, api):
    store(engine={"type": "TensorRT"})
    outcome = await reconciler.reconcile(KEY)
    assert (outcome.result, outcome.after) == ("terminal", None)
    assert condition(api, "Stalled")["reason"] == "InvalidSpec"
    assert "spec.engine.type" in condition(api, "Ready")["message"]
    assert sum("/events" in write for write in api.writes()) == 1
    await reconciler.reconcile(KEY)
    assert sum("/events" in write for write in api.writes()) == 1


async def test_a_refused_child_is_told_and_tried_again(reconciler, store, api, error_status):
    store()
    what = "PATCH /api/v1/namespaces/team-a/services/phone"
    api.answer(what, lambda: error_status(403, "Forbidden", "exceeded quota: services"), times=2)
    for _ in range(2):
        outcome = await reconciler.reconcile(KEY)
        assert (outcome.result, outcome.after) == ("waiting", 30.0)
    assert condition(api, "Stalled")["reason"] == "ChildRejected"
    assert condition(api, "Stalled")["message"] == ("the API server refuses Service phone: exceeded quota: services")
    assert sum("/events" in write for write in api.writes()) == 1
    assert (await reconciler.reconcile(KEY)).result == "success"


async def test_a_spec_that_came_with_the_answer_is_worked_on_at_once(reconciler, store, api, caches, clock):
    document = store()
    await reconciler.reconcile(KEY)
    clock.now += 5
    # Somebody edits the spec; its event has not arrived when we write the status.
    api.put(PATH, {**document, "metadata": {**document["metadata"], "generation": 2}})
    outcome = await reconciler.reconcile(KEY)
    assert outcome.after == 0.0
    assert caches.deployments[KEY]["metadata"]["generation"] == 2


async def test_unknown_and_dying_deployments_are_left_to_the_garbage_collector(reconciler, store, api, caches):
    assert (await reconciler.reconcile(KEY)).health is None
    store()
    caches.deployments[KEY]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert (await reconciler.reconcile(KEY)).health is None
    assert api.writes() == []


async def test_a_deployment_that_is_gone(reconciler, store, api):
    store()
    del api.objects[PATH]
    with pytest.raises(Gone):
        await reconciler.reconcile(KEY)


async def test_a_failing_server_is_for_the_queue(reconciler, store, api, error_status):
    store()
    api.answer("PATCH /api/v1/namespaces/team-a/services/phone", lambda: error_status(500, "x", "etcd"))
    with pytest.raises(ApiError):
        await reconciler.reconcile(KEY)
    assert len((await reconciler.reconcile(KEY)).applied.written) > 0

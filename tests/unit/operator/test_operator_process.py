"""The process: what it takes from kopf, how it lists, what it does with failures, what it says of itself."""

import asyncio

import pytest
from aiohttp import web

from autoglm_operator.errors import Gone
from autoglm_operator.kube.errors import ApiError
from autoglm_operator.kube.lease import LeadershipLost
from autoglm_operator.metrics import CATALOGUE, Metrics
from autoglm_operator.operator_process import OperatorProcess
from autoglm_operator.settings import Settings

KEY = ("team-a", "phone")
LIST = "GET /apis/autoglm.io/v1alpha1/autoglmdeployments"


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
async def process(client):
    made = OperatorProcess(Settings(), client, Metrics(), [])
    made._elector._renewed = made._elector._clock()
    return made


def keys(process):
    return set(process._queue._timers) | set(process._queue._waiting)


def document(make, version=1, uid=None, **kwargs):
    made = make(**kwargs)
    made["metadata"] |= {"resourceVersion": str(version)} | ({"uid": uid} if uid else {})
    return made


@pytest.mark.parametrize("change", [None, "ADDED", "MODIFIED"])
async def test_events_become_keys(process, deployment_document, change):
    process.on_event(change, deployment_document())
    assert keys(process) == {KEY}
    assert KEY in process.caches.deployments


async def test_the_event_of_our_own_write_is_no_news(process, deployment_document):
    process.caches.store(document(deployment_document, 7))
    process.on_event("MODIFIED", document(deployment_document, 7))
    process.on_event("MODIFIED", document(deployment_document, 6))
    assert keys(process) == set()


async def test_deletion_is_forgotten_everywhere(process, deployment_document):
    process.on_event("ADDED", deployment_document())
    process._metrics.replicas.set(KEY, 1, "ready")
    process.on_event("DELETED", deployment_document())
    assert process.caches.deployments == {}
    assert "phone" not in str(list(process._metrics.replicas.collect()))
    process.on_event("DELETED", deployment_document())


async def test_a_late_deletion_does_not_hit_the_successor(process, deployment_document):
    process.on_event("ADDED", document(deployment_document, 9, "next"))
    process.on_event("DELETED", document(deployment_document, 8, "before"))
    assert process.caches.deployments[KEY]["metadata"]["uid"] == "next"


def listing(version, *items):
    return lambda: web.json_response({"items": list(items), "metadata": {"resourceVersion": str(version)}})


async def test_the_list_finds_what_the_watch_missed(process, api, deployment_document):
    process.caches.store(document(deployment_document, 3, name="gone"))
    api.answer(LIST, listing(10, document(deployment_document, 5)))
    await process._list_deployments()
    assert set(process.caches.deployments) == {KEY}
    assert keys(process) == {KEY}


async def test_what_is_newer_than_the_list_stays(process, api, deployment_document):
    process.caches.store(document(deployment_document, 11))
    api.answer(LIST, listing(10))
    await process._list_deployments()
    assert KEY in process.caches.deployments


async def test_each_namespace_is_listed(client, api, deployment_document):
    process = OperatorProcess(Settings(watch_namespaces=("team-a", "team-b")), client, Metrics(), [])
    process.caches.store(document(deployment_document, 3, name="gone", namespace="team-b"))
    base = "GET /apis/autoglm.io/v1alpha1/namespaces/{}/autoglmdeployments"
    api.answer(base.format("team-a"), listing(10, document(deployment_document, 5)))
    api.answer(base.format("team-b"), listing(10))
    await process._list_deployments()
    assert set(process.caches.deployments) == {KEY}


class Failing:
    def __init__(self, *errors):
        self.errors = list(errors)
        self.forgotten = []

    async def reconcile(self, _):
        raise self.errors.pop(0)

    def forget(self, key, _):
        self.forgotten.append(key)


def counted(process, result):
    return process._metrics.registry.get_sample_value("autoglm_operator_reconcile_total", {"result": result})


async def test_a_poison_deployment_backs_off_and_stops_nobody(process, caplog):
    process._reconciler = Failing(*[RuntimeError("poison")] * 12)
    delays = [await process._work(KEY) for _ in range(12)]
    assert delays[-1] > delays[0]
    assert max(delays) <= 90
    assert counted(process, "error") == 12
    assert caplog.records[0].exc_info, "what is nobody's fault but ours comes with its trace"


async def test_a_server_that_is_busy_says_when(process):
    process._reconciler = Failing(ApiError(429, {}, "PATCH x", "9"))
    assert await process._work(KEY) == 9


async def test_a_deployment_that_is_gone_is_forgotten(process, deployment_document):
    process.caches.store(deployment_document())
    process._reconciler = Failing(Gone("x"))
    assert await process._work(KEY) is None
    assert process._reconciler.forgotten == [KEY]
    assert process.caches.deployments == {}


async def test_who_no_longer_leads_stops(process):
    process._elector._renewed = None
    with pytest.raises(LeadershipLost):
        await process._work(KEY)
    process._elector._renewed = process._elector._clock()
    process._reconciler = Failing(LeadershipLost("lost meanwhile"))
    with pytest.raises(LeadershipLost):
        await process._work(KEY)


async def test_figures_of_a_deployment(process, deployment_document, api, differences):
    made = document(deployment_document, replicas=3)
    api.objects["/apis/autoglm.io/v1alpha1/namespaces/team-a/autoglmdeployments/phone"] = made
    process.caches.store(made)
    assert await process._work(KEY) == pytest.approx(5, abs=0.1)
    value = process._metrics.registry.get_sample_value
    labels = {"namespace": "team-a", "name": "phone"}
    for state, expected in (("wanted", 3), ("existing", 0), ("ready", 0)):
        assert value("autoglm_operator_deployment_replicas", labels | {"state": state}) == expected
    for status, expected in (("True", 0), ("False", 1), ("Unknown", 0)):
        found = value("autoglm_operator_deployment_condition", labels | {"type": "Ready", "status": status})
        assert found == expected
    assert value("autoglm_operator_deployment_gpus", labels) == 1
    assert differences(process._metrics.exposition.render("")[1].decode(), CATALOGUE) == []
    assert value("autoglm_operator_applied_objects_total", {"kind": "Service", "verb": "apply"}) == 1
    assert counted(process, "success") == 1


async def test_ready_once_everything_is_listed(process):
    assert process.not_ready() == "caches are not filled yet"
    process._listed.set()
    for reflector in process.caches.reflectors:
        assert process.not_ready()
        reflector._synced.set()
    assert process.not_ready() is None


async def test_live_unless_streams_or_the_queue_stand_still(process, monkeypatch):
    assert process.not_live() is None
    monkeypatch.setattr(process._queue, "oldest_seconds", lambda: 121.0)
    assert process.not_live() == "a deployment has waited 121 s for a reconcile"
    process._elector._renewed = None
    assert process.not_live() is None, "a standby's queue waits for its turn"
    monkeypatch.setattr(process.caches, "silence_seconds", lambda: 181.0)
    assert process.not_live() == "no word from the API server for 181 s"


async def test_the_queue_of_a_standby_is_no_delay_in_its_metrics(process):
    process.on_event("ADDED", {"metadata": {"namespace": "a", "name": "b", "resourceVersion": "1", "uid": "u"}})
    await asyncio.sleep(0.1)
    assert sample(process, "autoglm_operator_workqueue_depth") == 1
    assert sample(process, "autoglm_operator_workqueue_oldest_seconds") > 0
    process._elector._renewed = None
    assert sample(process, "autoglm_operator_workqueue_oldest_seconds") == 0
    assert sample(process, "autoglm_operator_workqueue_depth") == 0


def sample(process, name):
    return process._metrics.registry.get_sample_value(name)


async def test_a_start_without_the_crd_says_so(process, monkeypatch):
    monkeypatch.setattr("autoglm_operator.operator_process._START_SECONDS", 0.01)
    with pytest.raises(SystemExit, match="could not list ServiceAccount, Service"):
        await process._wait_ready()
    for reflector in process.caches.reflectors:
        reflector._synced.set()
    with pytest.raises(SystemExit, match="could not list AutoGLMDeployment; check that the CRD is installed"):
        await process._wait_ready()


async def test_listing_is_tried_until_it_works(process, api, error_status, wait_until):
    api.answer(LIST, lambda: error_status(404, "NotFound", "the CRD is not there yet"))
    api.answer(LIST, listing(1))
    task = asyncio.create_task(process._resync())
    await wait_until(process._listed.is_set)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

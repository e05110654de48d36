"""Operators as processes: start, stop, kill at every write, hand over."""

import asyncio
import contextlib
import itertools
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from autoglm_operator.api import names
from autoglm_operator.kube.connection import Connection

pytestmark = pytest.mark.api

KINDS = {
    "ServiceAccount": "v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "Service": "v1",
    "PodDisruptionBudget": "policy/v1",
    "Deployment": "apps/v1",
}


class Gate:
    """Stands between an operator and the API server, and calls `on_write` after each write but those of Leases.

    Attributes:
        on_write: called with the method and path once the API server has done it and before the operator hears of it.
        closed: drop every connection, as a network does that is cut.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.on_write: Callable[[str, str], None] = lambda *_: None
        self.closed = False
        self.url = ""

    async def serve(self) -> web.AppRunner:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._pass)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = "http://{}:{}".format(*runner.addresses[0])
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._connection.ssl_context, limit=0),
            timeout=aiohttp.ClientTimeout(total=None),
        )
        return runner

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        headers = {
            key: request.headers[key] for key in ("Authorization", "Content-Type", "Accept") if key in request.headers
        }
        data = await request.read() or None
        url = self._connection.server + request.path_qs
        async with self._session.request(request.method, url, data=data, headers=headers) as answer:
            if request.method != "GET" and "/leases" not in request.path:
                self.on_write(request.method, request.path)
            response = web.StreamResponse(status=answer.status, headers={"Content-Type": answer.content_type})
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                if self.closed:
                    break
                await response.write(chunk)
        return response

    async def close(self, runner: web.AppRunner) -> None:
        await self._session.close()
        await runner.cleanup()


@pytest.fixture
def gate(control_plane) -> Iterator[Gate]:
    made = Gate(Connection.from_kubeconfig(control_plane.kubeconfig))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    runner = asyncio.run_coroutine_threadsafe(made.serve(), loop).result(10)
    yield made
    asyncio.run_coroutine_threadsafe(made.close(runner), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def status_of(cluster, namespace, name="phone") -> dict[str, Any]:
    return cluster.get(names.API_VERSION, names.KIND, namespace, name).get("status", {})


def reason(cluster, namespace, name="phone"):
    conditions = status_of(cluster, namespace, name).get("conditions", [])
    return next((item["reason"] for item in conditions if item["type"] == "Ready"), None)


def test_killed_after_any_write_the_next_one_finishes(cluster, operators, namespace, manifest, within, gate):
    """Kill the operator after its 1st, 2nd, … write, before it hears that the write was done."""
    writes = []
    for number in itertools.count(1):
        name = f"kill-{number}"
        count = itertools.count(1)
        operator = operators.start("operator-0", gate.url)

        def kill_at(method, path, number=number, count=count, operator=operator, name=name):
            if f"/{name}" in path and next(count) == number:
                writes.append(f"{method} {path.rsplit('/', 2)[-2]}")
                operator.process.kill()

        gate.on_write = kill_at
        cluster.create(manifest(name, namespace))
        with contextlib.suppress(Exception):
            operator.process.wait(8)
        if operator.process.poll() is None:
            operator.stop()
            break
    assert len(writes) == len(KINDS) + 1, writes
    gate.on_write = lambda *_: None
    operators.start("operator-0")
    for done in range(1, number + 1):
        within(30, lambda name=f"kill-{done}": reason(cluster, namespace, name))
        children = [cluster.get(version, kind, namespace, f"kill-{done}") for kind, version in KINDS.items()]
        assert all(children)
        assert all(len(child["metadata"]["ownerReferences"]) == 1 for child in children)
    for kind, version in KINDS.items():
        ours = [
            item for item in cluster.items(version, kind, namespace) if item["metadata"]["name"].startswith("kill-")
        ]
        assert len(ours) == number, f"no {kind} twice"


def test_killed_while_it_removes_the_hpa(cluster, operators, namespace, manifest, within, gate):
    operator = operators.start("operator-0", gate.url)
    made = cluster.create(manifest("phone", namespace, autoscaling={"maxReplicas": 2}))

    def hpa():
        return cluster.get("autoscaling/v2", "HorizontalPodAutoscaler", namespace, "phone")

    within(20, hpa)
    gate.on_write = lambda method, _: operator.process.kill() if method == "DELETE" else None
    cluster.patch(made, {"spec": {"autoscaling": None}})
    operator.process.wait(15)
    gate.on_write = lambda *_: None
    operators.start("operator-0")
    within(20, lambda: hpa() is None and status_of(cluster, namespace).get("observedGeneration") == 2)


def test_stops_at_once_and_hands_over(cluster, operators, namespace, manifest, within, audit):
    first = operators.start("operator-0")
    within(10, lambda: first.leads)
    second = operators.start("operator-1")
    assert second.health("/readyz")[0] == 200, "a warm standby is ready"
    assert not second.leads
    start = time.monotonic()
    assert first.stop(signal.SIGTERM) == 0
    assert time.monotonic() - start < 3
    within(3, lambda: second.leads)
    assert time.monotonic() - start < 5
    cluster.create(manifest("phone", namespace))
    within(10, lambda: cluster.get("apps/v1", "Deployment", namespace, "phone"))
    assert second.stop(signal.SIGINT) == 0
    lease = cluster.get("coordination.k8s.io/v1", "Lease", namespace, "autoglm-operator")
    assert not lease["spec"].get("holderIdentity")
    assert lease["spec"]["leaseTransitions"] >= 1
    for operator in (first, second):
        levels = {line["level"] for line in operator.lines()}
        assert levels <= {"info"}, operator.log.read_text()


def test_a_standby_writes_nothing(cluster, operators, namespace, manifest, within, audit):
    first = operators.start("operator-0")
    within(10, lambda: first.leads)
    second = operators.start("operator-1")
    cluster.create(manifest("phone", namespace))
    within(10, lambda: reason(cluster, namespace))
    assert 'autoglm_operator_api_requests_total{code="200",verb="PATCH"}' not in second.health("/metrics")[1]
    assert "autoglm_operator_leader 0.0" in second.health("/metrics")[1]


def test_what_changed_while_nobody_looked_is_done_at_start(cluster, operators, namespace, manifest, within):
    first = operators.start()
    made = cluster.create(manifest("phone", namespace))
    cluster.create(manifest("other", namespace))
    within(10, lambda: reason(cluster, namespace) and reason(cluster, namespace, "other"))
    first.stop(signal.SIGKILL)
    cluster.delete(cluster.get("v1", "Service", namespace, "phone") | {"apiVersion": "v1", "kind": "Service"})
    cluster.patch(made, {"spec": {"replicas": 2}})
    cluster.delete(made | {"metadata": {"name": "other", "namespace": namespace}})
    operators.start()
    within(20, lambda: cluster.get("v1", "Service", namespace, "phone"))
    within(10, lambda: cluster.get("apps/v1", "Deployment", namespace, "phone")["spec"]["replicas"] == 2)
    within(20, lambda: status_of(cluster, namespace).get("observedGeneration") == 2)


def test_an_operator_that_starts_again_writes_nothing(cluster, operators, namespace, manifest, within, audit):
    first = operators.start()
    cluster.create(manifest("phone", namespace, resources={"gpu": {"count": 0}, "cpu": "1", "memory": "1Gi"}))
    within(20, lambda: reason(cluster, namespace) == "Unschedulable" or reason(cluster, namespace) == "Starting")
    time.sleep(6)
    first.stop()
    watching = audit()
    second = operators.start()
    within(10, lambda: second.leads)
    time.sleep(3)
    assert watching.writes(operators.user) == []


def test_one_poison_deployment_stops_no_other(cluster, operators, namespace, manifest, within, gate):
    """Answer every write about one deployment with what no client expects."""
    operators.start("operator-0", gate.url)

    def spoil(_, path):
        if "/poison" in path:
            raise RuntimeError("the connection is cut in the middle of the answer")

    gate.on_write = spoil
    cluster.create(manifest("poison", namespace))
    time.sleep(1)
    for number in range(5):
        cluster.create(manifest(f"well-{number}", namespace))
    for number in range(5):
        within(15, lambda number=number: reason(cluster, namespace, f"well-{number}"))
    gate.on_write = lambda *_: None
    within(70, lambda: reason(cluster, namespace, "poison"))


def test_a_network_that_comes_back(cluster, operators, namespace, manifest, within, gate):
    operator = operators.start("operator-0", gate.url)
    cluster.create(manifest("phone", namespace))
    within(15, lambda: reason(cluster, namespace))
    gate.closed = True
    cluster.delete(cluster.get("v1", "Service", namespace, "phone") | {"apiVersion": "v1", "kind": "Service"})
    gate.closed = False
    within(20, lambda: cluster.get("v1", "Service", namespace, "phone"))
    assert operator.process.poll() is None
    assert operator.health("/livez")[0] == 200


@pytest.mark.parametrize(
    ("environ", "code", "words"),
    [
        ({"LOG_LEVEL": "loud"}, 2, "environment variable LOG_LEVEL='loud': expected one of debug"),
        ({"KUBECONFIG": "/nowhere"}, 1, "/nowhere: kubeconfig cannot be read: No such file or directory"),
    ],
)
def test_a_start_that_cannot_work_says_why_in_one_line(operators, environ, code, words):
    operator = operators.start(wait=False, **environ)
    assert operator.process.wait(20) == code
    assert operator.log.read_text().startswith(words)
    assert "Traceback" not in operator.log.read_text()


def test_logs_are_json_and_metrics_count(cluster, operators, namespace, manifest, within):
    operator = operators.start(LOG_LEVEL="debug")
    cluster.create(manifest("phone", namespace))
    within(15, lambda: reason(cluster, namespace))
    assert any(line["message"] == "elected leader" for line in operator.lines())
    text = operator.health("/metrics")[1]
    assert f'autoglm_operator_deployment_replicas{{namespace="{namespace}",name="phone",state="wanted"}} 1.0' in text
    assert 'autoglm_operator_applied_objects_total{kind="Deployment",verb="apply"} 1.0' in text
    assert operator.health("/livez") == (200, "ok\n")
    assert json.dumps(operator.lines())

"""The spans of a reconcile and of the requests in it, and the link to the decision that it brings about."""

import ssl

import pytest
from aiohttp import web
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind, StatusCode

from autoglm_operator import tracing
from autoglm_operator.api.status import ScalingDecision
from autoglm_operator.errors import ReconcileError, Terminal
from autoglm_operator.kube import spans
from autoglm_operator.kube.client import Client
from autoglm_operator.kube.connection import Connection
from autoglm_operator.kube.errors import ApiError, ConnectionLost
from autoglm_operator.observe.world import Deployment, Observed
from autoglm_operator.reconcile import _decision_applied

TRACEPARENT = "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"


@pytest.fixture
async def client(aiohttp_server=None):
    async def answer(request):
        status = int(request.query.get("status", 200))
        return web.json_response({"message": "no"}, status=status)

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with Client(Connection(url, ssl.create_default_context(), lambda: "token")) as made:
        yield made
    await runner.cleanup()


PATH = "/apis/apps/v1/namespaces/team-a/deployments/phone"


async def test_a_request_inside_a_span_has_its_own(client, exported):
    with tracing.passing("p", 1, {}), tracing.step("apply"):
        await client.request("PATCH", f"{PATH}/status", params={"continue": "secret"}, body={})
    request, step, _ = exported.get_finished_spans()
    assert request.parent.span_id == step.context.span_id
    assert (request.name, request.kind) == ("PATCH deployments/status", SpanKind.CLIENT)
    assert request.attributes["http.request.method"] == "PATCH"
    assert request.attributes["http.response.status_code"] == 200
    assert request.attributes["url.path"] == f"{PATH}/status"
    assert request.attributes["k8s.namespace.name"] == "team-a"
    assert request.attributes["k8s.deployment.name"] == "phone"
    assert "secret" not in request.to_json()
    assert "token" not in request.to_json()


async def test_a_request_outside_has_none(client, exported):
    await client.request("GET", PATH)
    assert exported.get_finished_spans() == ()


@pytest.mark.parametrize(
    ("method", "status", "code"),
    [("GET", 404, StatusCode.UNSET), ("DELETE", 404, StatusCode.ERROR), ("PATCH", 409, StatusCode.ERROR)],
)
async def test_what_the_server_refuses_is_an_error_unless_it_is_the_answer(client, exported, method, status, code):
    with tracing.passing("p", 1, {}), tracing.step("apply"), pytest.raises(ApiError):
        await client.request(method, PATH, params={"status": str(status)})
    request = exported.get_finished_spans()[0]
    assert (request.status.status_code, request.attributes["http.response.status_code"]) == (code, status)


async def test_no_answer_is_an_error(client, exported, free_port):
    connection = Connection(f"http://127.0.0.1:{free_port()}", ssl.create_default_context(), lambda: None)
    async with Client(connection) as nobody:
        with pytest.raises(ConnectionLost), tracing.passing("p", 1, {}), tracing.step("apply"):
            await nobody.request("GET", PATH)
    request, step, _ = exported.get_finished_spans()
    assert request.attributes["error.type"] == "ClientConnectorError"
    assert request.status.status_code == step.status.status_code == StatusCode.ERROR
    assert not request.events, "stack traces are for the log"


def test_a_refusal_is_not_the_error_of_the_step(exported):
    with pytest.raises(Terminal), tracing.passing("p", 1, {}), tracing.step("decide", refusal=ReconcileError):
        raise Terminal("DoesNotFit", "too large")
    step, root = exported.get_finished_spans()
    assert (step.status.status_code, root.status.status_code) == (StatusCode.UNSET, StatusCode.ERROR)


@pytest.mark.parametrize(
    ("path", "resource", "attributes"),
    [
        ("/api/v1/namespaces/a/pods/p/log", "pods/log", {"k8s.namespace.name": "a", "k8s.pod.name": "p"}),
        ("/api/v1/nodes", "nodes", {}),
        ("/apis/autoglm.io/v1alpha1", "apis/autoglm.io/v1alpha1", {}),
        ("/api/v1/namespaces/a", "namespaces", {"autoglm.object.name": "a"}),
        (
            "/apis/autoglm.io/v1alpha1/namespaces/a/autoglmdeployments/b",
            "autoglmdeployments",
            {"k8s.namespace.name": "a", "autoglm.object.name": "b"},
        ),
    ],
)
def test_what_a_path_is_about(path, resource, attributes):
    assert spans.describe(path) == (resource, attributes)


def observed(wanted, present, decision):
    document = {
        "metadata": {"namespace": "team-a", "name": "phone", "uid": "u"},
        "spec": {"model": {"source": {"huggingFace": "a/b"}}, "replicas": wanted},
        "status": {"autoscaling": {"decision": decision}},
    }
    child = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "phone"},
        "spec": {"replicas": present},
    }
    return Observed(Deployment.parse(document), {("apps/v1", "Deployment", "phone"): child}, (), frozenset(), 0.0)


def test_a_reconcile_that_brings_a_decision_about_links_to_it():
    found = _decision_applied(observed(5, 1, {"to": 5, "traceparent": TRACEPARENT}))
    assert (found.context.trace_id, found.context.span_id) == (int("ab" * 16, 16), int("cd" * 8, 16))
    assert found.context.is_remote


@pytest.mark.parametrize(
    ("wanted", "present", "decision"),
    [
        (5, 5, {"to": 5, "traceparent": TRACEPARENT}),
        (4, 1, {"to": 5, "traceparent": TRACEPARENT}),
        (5, 1, {"to": 5}),
        (5, 1, {"to": 5, "traceparent": "00-" + "0" * 32 + "-" + "0" * 16 + "-01"}),
        (5, 1, {"to": 5, "traceparent": "nonsense"}),
        (5, 1, None),
    ],
)
def test_any_other_reconcile_links_to_nothing(wanted, present, decision):
    assert _decision_applied(observed(wanted, present, decision)) is None


def test_a_reference_comes_back_as_the_same_span_and_fits_the_status():
    with TracerProvider().get_tracer("t").start_as_current_span("scale") as span:
        reference = tracing.traceparent(span)
    fields = {"time": "2026-11-21T12:00:00Z", "from": 1, "to": 5, "reason": "QueueBacklog", "message": "m"}
    assert ScalingDecision.model_validate(fields | {"traceparent": reference}).traceparent == reference
    assert tracing.link(reference, {}).context.span_id == span.get_span_context().span_id
    assert tracing.traceparent(trace.INVALID_SPAN) is None

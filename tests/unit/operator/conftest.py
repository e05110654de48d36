"""A small API server in memory, and builders of what the operator observes."""

import asyncio
import json
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web

from autoglm_operator.api import names
from autoglm_operator.decide.plan import Plan, make_plan
from autoglm_operator.kube.client import Client
from autoglm_operator.kube.connection import Connection
from autoglm_operator.observe.pod import Pod
from autoglm_operator.observe.world import Deployment, Observed
from autoglm_operator.settings import Images

Document = dict[str, Any]
NOW = 1_800_000_000.0


class FakeApi:
    """Stores objects by path, counts requests, and speaks list, watch, create, replace, apply and delete.

    Attributes:
        answers: responses to give instead of the real one, by "METHOD path"; each is used once.
    """

    def __init__(self) -> None:
        self.objects: dict[str, Document] = {}
        self.version = 100
        self.requests: Counter[str] = Counter()
        self.answers: dict[str, list[Callable[[], web.StreamResponse]]] = {}
        self.streams: list[tuple[str, asyncio.Queue[bytes | None]]] = []
        self.url = ""

    def writes(self) -> list[str]:
        return [key for key in self.requests.elements() if not key.startswith("GET")]

    def answer(self, what: str, response: Callable[[], web.StreamResponse], times: int = 1) -> None:
        self.answers.setdefault(what, []).extend([response] * times)

    def put(self, path: str, document: Document) -> Document:
        self.version += 1
        change = "MODIFIED" if path in self.objects else "ADDED"
        document.setdefault("metadata", {})["resourceVersion"] = str(self.version)
        document["metadata"].setdefault("uid", f"uid-{self.version}")
        self.objects[path] = document
        self.send(path.rsplit("/", 1)[0], {"type": change, "object": document})
        return document

    def remove(self, path: str) -> None:
        self.version += 1
        document = self.objects.pop(path)
        gone = {**document, "metadata": {**document["metadata"], "resourceVersion": str(self.version)}}
        self.send(path.rsplit("/", 1)[0], {"type": "DELETED", "object": gone})

    def send(self, collection: str, event: Document) -> None:
        """Send a raw event to the watches of `collection`; cluster-wide ones too."""
        kind = collection.rsplit("/", 1)[-1]
        for watched, queue in self.streams:
            if watched == collection or ("/namespaces/" not in watched and watched.endswith("/" + kind)):
                queue.put_nowait(json.dumps(event).encode() + b"\n")

    def cut(self) -> None:
        """End every watch."""
        for _, queue in self.streams:
            queue.put_nowait(None)
        self.streams.clear()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        what = f"{request.method} {request.path}" + ("?watch" if "watch" in request.query else "")
        self.requests[what] += 1
        if self.answers.get(what):
            return self.answers[what].pop(0)()
        if "watch" in request.query:
            return await self._watch(request)
        body = json.loads(await request.read() or b"{}")
        return getattr(self, f"_{request.method.lower()}")(request.path, body)

    def _get(self, path: str, _: Document) -> web.Response:
        if path in self.objects:
            return web.json_response(self.objects[path])
        kind = "/" + path.rsplit("/", 1)[-1]
        items = [value for key, value in self.objects.items() if key.rsplit("/", 1)[0].endswith(kind)]
        if path.endswith(("leases", "pods", "services")):
            return web.json_response({"items": items, "metadata": {"resourceVersion": str(self.version)}})
        return status(404, "NotFound", f"{path} not found")

    def _post(self, path: str, body: Document) -> web.Response:
        key = f"{path}/{body['metadata'].get('name', 'generated')}"
        if key in self.objects:
            return status(409, "AlreadyExists", "exists")
        return web.json_response(self.put(key, body), status=201)

    def _put(self, path: str, body: Document) -> web.Response:
        if self.objects[path]["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"]:
            return status(409, "Conflict", "the object has been modified")
        return web.json_response(self.put(path, body))

    def _patch(self, path: str, body: Document) -> web.Response:
        path = path.removesuffix("/status")
        old = self.objects.get(path, {})
        merged = {**old, **body, "metadata": {**old.get("metadata", {}), **body["metadata"]}}
        return web.json_response(self.put(path, merged))

    def _delete(self, path: str, _: Document) -> web.Response:
        if path not in self.objects:
            return status(404, "NotFound", "gone")
        self.remove(path)
        return web.json_response({})

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.streams.append((request.path, queue))
        while (line := await queue.get()) is not None:
            await response.write(line)
        return response


def status(code: int, reason: str, message: str, **headers: str) -> web.Response:
    body = {"kind": "Status", "code": code, "reason": reason, "message": message}
    return web.json_response(
        body, status=code, headers={key.replace("_", "-"): value for key, value in headers.items()}
    )


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    fake = FakeApi()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", fake.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    fake.url = "http://{}:{}".format(*runner.addresses[0])
    yield fake
    fake.cut()
    await runner.cleanup()


@pytest.fixture
def error_status() -> Callable[..., web.Response]:
    return status


@pytest.fixture
async def client(api) -> AsyncIterator[Client]:
    async with Client(Connection(api.url, ssl.create_default_context(), lambda: "a-token")) as opened:
        yield opened


@pytest.fixture
def wait_until() -> Callable[[Callable[[], Any]], Any]:
    async def wait(condition: Callable[[], Any], seconds: float = 5.0) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.005)

    return wait


@pytest.fixture
def observe(deployment_document) -> Callable[..., tuple[Observed, Plan]]:
    """Make the picture of a deployment with `replicas` wanted, from pods and children."""

    def make(
        *pods: Pod,
        workload: Document | None = None,
        hpa: Document | None = None,
        status: Document | None = None,
        **spec: Any,
    ) -> tuple[Observed, Plan]:
        document = deployment_document(**spec) | {"status": status or {}}
        children = {
            ("v1", kind, "phone"): child | {"kind": kind}
            for kind, child in (("Deployment", workload), ("HorizontalPodAutoscaler", hpa))
            if child is not None
        }
        observed = Observed(Deployment.parse(document), children, pods, frozenset(), NOW)
        return observed, make_plan(observed, Images())

    return make


@pytest.fixture
def workload() -> Callable[..., Document]:
    def make(template: str = "new", **conditions: tuple[str, str, str]) -> Document:
        return {
            "metadata": {"name": "phone", "generation": 2},
            "spec": {
                "template": {
                    "metadata": {"annotations": {names.ANNOTATION_TEMPLATE: template}},
                    "spec": {"containers": [{"name": names.ENGINE_CONTAINER, "resources": {}}]},
                }
            },
            "status": {
                "observedGeneration": 2,
                "conditions": [
                    {"type": kind, "status": value, "reason": reason, "message": message}
                    for kind, (value, reason, message) in conditions.items()
                ],
            },
        }

    return make

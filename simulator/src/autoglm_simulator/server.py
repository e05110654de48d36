"""The HTTP server: vLLM's endpoints in front of the driver."""

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web
from prometheus_client import exposition

from autoglm_simulator.api import CHAT, COMPLETION, ApiError, Call, Dialect, read_call
from autoglm_simulator.driver import Driver, Stream
from autoglm_simulator.faults import InvalidFaultError, change
from autoglm_simulator.flags import Settings
from autoglm_simulator.metrics import EngineMetrics, registry
from autoglm_simulator.model import Engine
from autoglm_simulator.tracing import Tracing

VLLM_VERSION: Final = "0.33.0"
"""The release whose behaviour, flags and metrics are simulated."""

_MAX_BODY_BYTES: Final = 32 * 2**20  # a chat with ten base64 screenshots

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """The endpoints of one simulated engine."""

    def __init__(self, settings: Settings) -> None:
        engine = Engine(settings.limits, settings.profile.speed)
        self._settings = settings
        self._metrics = EngineMetrics(settings, engine)
        self._registry = registry(self._metrics)
        self._rng = random.Random(settings.seed)
        self._started = int(time.time())
        self._calls = 0
        self._draining = False
        self._tracing = Tracing(settings.otlp_traces_endpoint) if settings.otlp_traces_endpoint else None
        self.driver = Driver(engine, self._metrics, max_model_len=settings.max_model_len)

    def app(self) -> web.Application:
        """Return the application; to be run with handler cancellation, so that a client's leaving frees its blocks."""
        app = web.Application(client_max_size=_MAX_BODY_BYTES, middlewares=[_errors])
        app.on_response_prepare.append(self._close_while_draining)
        app.router.add_get("/health", _ok)
        app.router.add_route("*", "/ping", _ok)
        app.router.add_get("/metrics", self._scrape)
        app.router.add_get("/version", self._version)
        app.router.add_get("/load", self._load)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/completions", self._completion)
        if self._settings.enable_fault_injection:
            app.router.add_post("/faults", self._faults)
        return app

    async def drain(self) -> None:
        """Refuse new requests, let the running ones end within the shutdown timeout, and abort the rest."""
        self._draining = True
        await self.driver.drain(self._settings.shutdown_timeout)

    async def _close_while_draining(self, _: web.Request, response: web.StreamResponse) -> None:
        if self._draining:
            response.headers["Connection"] = "close"
            response.force_close()

    async def _scrape(self, _: web.Request) -> web.Response:
        self.driver.catch_up()
        body = exposition.generate_latest(self._registry)
        return web.Response(body=body, headers={"Content-Type": exposition.CONTENT_TYPE_LATEST})

    async def _version(self, _: web.Request) -> web.Response:
        return web.json_response({"version": VLLM_VERSION})

    async def _load(self, _: web.Request) -> web.Response:
        return web.json_response({"server_load": self.driver.in_flight})

    async def _models(self, _: web.Request) -> web.Response:
        settings = self._settings
        models = [
            {
                "id": name,
                "object": "model",
                "created": self._started,
                "owned_by": "vllm",
                "root": settings.model,
                "parent": None,
                "max_model_len": settings.max_model_len,
            }
            for name in settings.served_model_names
        ]
        return web.json_response({"object": "list", "data": models})

    async def _chat(self, http: web.Request) -> web.StreamResponse:
        return await self._generate(http, CHAT)

    async def _completion(self, http: web.Request) -> web.StreamResponse:
        return await self._generate(http, COMPLETION)

    async def _generate(self, http: web.Request, dialect: Dialect) -> web.StreamResponse:
        body = await _json(http)
        if self._draining:
            raise ApiError(503, "The server is shutting down: it finishes running requests and takes no new ones.")
        self._calls += 1
        now = self.driver.now()
        call = read_call(dialect, body, self._settings, number=self._calls, arrival=now, created=int(time.time()))
        self._check_queue()
        if self.driver.faults.fails(self._rng):
            self._metrics.finished["error"] += 1
            self._trace(http, call, "injected_fault")
            raise ApiError(500, "Injected fault: errorRate.")
        stream = self.driver.submit(call.request, each_token=call.stream)
        try:
            if call.stream:
                return await self._write_stream(http, call, stream)
            generated = await stream.more_than(call.request.output_tokens)
            return web.json_response(call.answer(generated, str(stream.finish_reason)))
        finally:
            self.driver.leave(stream)
            self._trace(http, call)

    def _trace(self, http: web.Request, call: Call, error: str = "") -> None:
        if self._tracing is not None:
            self._tracing.record(http.headers, call, error)

    async def close(self) -> None:
        """Stop the model and export what is left of the spans."""
        self.driver.stop()
        if self._tracing is not None:
            await asyncio.to_thread(self._tracing.close)

    def _check_queue(self) -> None:
        limit = self._settings.max_num_queued_reqs
        if limit is not None and self.driver.waiting >= limit:
            self._metrics.rejected += 1
            raise ApiError(503, f"{self.driver.waiting} requests wait and --max-num-queued-reqs is {limit}: try later.")

    async def _write_stream(self, http: web.Request, call: Call, stream: Stream) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(http)
        sent = 0
        while stream.finish_reason is None:
            done = await stream.more_than(sent)
            events = call.chunk(sent, done, stream.finish_reason)
            if stream.finish_reason:
                events += call.closing(done)
            sent = done
            await response.write(events.encode())
        if self._draining:
            response.force_close()
        await response.write_eof()
        return response

    async def _faults(self, http: web.Request) -> web.Response:
        try:
            faults, hang_seconds = change(self.driver.faults, await _json(http))
        except InvalidFaultError as error:
            raise ApiError(400, str(error)) from error
        self.driver.apply(faults, hang_seconds)
        return web.json_response(
            {"errorRate": faults.error_rate, "kvExhaustion": faults.kv_exhaustion, "slowdown": faults.slowdown}
        )


async def _ok(_: web.Request) -> web.Response:
    return web.Response()


async def _json(http: web.Request) -> Any:
    try:
        return json.loads(await http.read())
    except ValueError as error:
        raise ApiError(400, f"the body is not JSON: {error}") from error


@web.middleware
async def _errors(request: web.Request, handler: _Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except ApiError as error:
        return web.json_response(error.body(), status=error.status)

"""Logs, traces and the health endpoints that both processes share."""

import json
import logging
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from aiohttp import web
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

from autoglm_operator import __version__
from autoglm_operator.trace_export import TIMEOUT_SECONDS, Count, Export
from autoglm_operator.tracing import current_span

#: Says why a process is not alive or not ready; `None` if it is.
Check = Callable[[], str | None]
#: Returns content type and body of `/metrics` for the `Accept` header of the request.
Render = Callable[[str], tuple[str, bytes]]

_RECORD_FIELDS: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
#: `logging` keeps `name` for the logger, so that callers name the object by what it is; in the line it is the name.
_KEYS: Final = {"deployment": "name", "benchmark": "name"}


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, the `extra` fields, and the ids of the active span.

    The message is the constant name of what happened; what varies is in the fields: `namespace` and `name` of the
    object, `reason`, numbers. It is the same in every program of the project.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line for `record`."""
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {
            _KEYS.get(key, key): value
            for key, value in record.__dict__.items()
            if key not in _RECORD_FIELDS and key[0] != "_"
        }
        context = current_span().get_span_context()
        if context.is_valid:
            line |= {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def setup_logging(level: str) -> None:
    """Send every log record to standard error as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("kopf", "aiohttp.access", "httpx", "asyncio"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))


def setup_tracing(
    service: str, endpoint: str | None, count: Count, *, ratio: float, namespace: str, pod: str
) -> Callable[[], None]:
    """Install the tracer provider and return the function that ends it within a few seconds at exit.

    Args:
        service: `service.name` of the spans.
        endpoint: OTLP/HTTP endpoint, such as http://otel-collector:4318; `None` leaves tracing off, at no cost.
        count: told what became of each span.
        ratio: share of the traces that is made, 0 to 1.
        namespace: of our pod.
        pod: name of our pod.
    """
    if not endpoint:
        return lambda: None
    # Imported here: protobuf and the exporter cost 9 MB, which a cluster without a collector should not pay.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter,
    )

    resource = Resource.create(
        {
            "service.name": service,
            "service.version": __version__,
            "service.instance.id": pod,
            "k8s.namespace.name": namespace,
            "k8s.pod.name": pod,
        }
    )
    provider = TracerProvider(resource=resource, sampler=ParentBased(TraceIdRatioBased(ratio)))
    url = f"{endpoint.rstrip('/')}/v1/traces"
    provider.add_span_processor(Export(OTLPSpanExporter(url, timeout=TIMEOUT_SECONDS), url, count))
    trace.set_tracer_provider(provider)
    return provider.shutdown


def health_app(live: Check, ready: Check, render: Render) -> web.Application:
    """Return the application with `/livez`, `/readyz` and `/metrics`."""

    def answer(check: Check) -> Callable[[web.Request], Any]:
        async def handler(_: web.Request) -> web.Response:
            problem = check()
            return web.Response(status=503 if problem else 200, text=f"{problem or 'ok'}\n")

        return handler

    async def metrics(request: web.Request) -> web.Response:
        content_type, body = render(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    app = web.Application()
    app.router.add_get("/livez", answer(live))
    app.router.add_get("/readyz", answer(ready))
    app.router.add_get("/metrics", metrics)
    return app


async def serve_health(
    port: int,
    live: Check,
    ready: Check,
    render: Render,
    host: str = "0.0.0.0",  # noqa: S104  # kubelet
) -> web.AppRunner:
    """Serve the health endpoints; call `cleanup()` of the result to stop."""
    runner = web.AppRunner(health_app(live, ready, render), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner

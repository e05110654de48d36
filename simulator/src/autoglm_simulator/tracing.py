"""One span for each request, as vLLM makes it. OpenTelemetry is imported only where an endpoint is given."""

import asyncio
import importlib
import logging
import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from autoglm_simulator.api import Call
from autoglm_simulator.requests import Request

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

#: vLLM's name of the span.
SPAN: Final = "llm_request"
_NANOSECONDS: Final = 1_000_000_000
_EXPORT_SECONDS: Final = 2.0
_EXPORTERS: Final = {
    "grpc": "opentelemetry.exporter.otlp.proto.grpc.trace_exporter",
    "http/protobuf": "opentelemetry.exporter.otlp.proto.http.trace_exporter",
}


class TracingError(Exception):
    """Spans were asked for and cannot be made."""


class Tracing:
    """Makes the spans of one engine.

    The service, the sampler and the protocol are those of OpenTelemetry's own variables, as with vLLM; gRPC is the
    default.

    Args:
        endpoint: of the collector: `http://otel-collector:4317`, or for HTTP a URL with its path.

    Raises:
        TracingError: OpenTelemetry is not installed, or the protocol is unknown.
    """

    def __init__(self, endpoint: str) -> None:
        try:
            from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
            from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

            exporter = _exporter(endpoint)
        except ImportError as error:
            text = f"--otlp-traces-endpoint needs OpenTelemetry ({error}); install autoglm-simulator[otlp]"
            raise TracingError(text) from error
        # A collector that is away is no news for each batch, and nothing here can mend it.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        self._provider = TracerProvider()
        self._provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=1000))
        self._tracer = self._provider.get_tracer("autoglm_simulator")

    def record(self, headers: Mapping[str, str], call: Call, error: str = "") -> None:
        """Make the span of a request that has ended.

        Args:
            headers: of the request: `traceparent` and `tracestate` name its parent.
            call: the request.
            error: why it failed; empty if it did not.
        """
        from opentelemetry.trace import SpanKind, Status, StatusCode  # noqa: PLC0415
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

        # The engine's clock is the loop's; a collector wants that of the wall.
        offset = time.time() - asyncio.get_running_loop().time()
        request = call.request
        context = TraceContextTextMapPropagator().extract({key.lower(): value for key, value in headers.items()})
        span = self._tracer.start_span(
            SPAN, context, SpanKind.SERVER, attributes(call), start_time=int((offset + request.arrival) * _NANOSECONDS)
        )
        if error:
            span.set_attribute("error.type", error)
            span.set_status(Status(StatusCode.ERROR, error))
        span.end(int((offset + (request.finished_at or request.arrival)) * _NANOSECONDS))

    def close(self) -> None:
        """Export what is left."""
        self._provider.shutdown()


def _exporter(endpoint: str) -> "SpanExporter":
    protocol = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or "grpc"
    if protocol not in _EXPORTERS:
        known = " or ".join(_EXPORTERS)
        raise TracingError(f"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL={protocol!r}: expected {known}")
    # Imported by name: neither is needed where the other is asked for, and gRPC is 20 MB.
    module = importlib.import_module(_EXPORTERS[protocol])
    made: SpanExporter = module.OTLPSpanExporter(endpoint, timeout=_EXPORT_SECONDS)
    return made


def attributes(call: Call) -> dict[str, Any]:
    """Return what a span says: OpenTelemetry's present names, and vLLM's own older ones."""
    request, operation = call.request, "chat" if call.dialect.chat else "text_completion"
    return {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": "autoglm_simulator",
        "gen_ai.request.model": call.model,
        "gen_ai.request.stream": call.stream,
        "gen_ai.response.model": call.model,
        "gen_ai.response.id": call.id,
        "gen_ai.response.finish_reasons": [request.finish_reason],
        "gen_ai.usage.input_tokens": request.prompt_tokens,
        "gen_ai.usage.cache_read.input_tokens": request.cached_tokens,
        "gen_ai.usage.output_tokens": request.generated,
        "gen_ai.request.id": call.id,
        "gen_ai.usage.prompt_tokens": request.prompt_tokens,
        "gen_ai.usage.completion_tokens": request.generated,
        **_latencies(request),
    }


def _latencies(request: Request) -> dict[str, float]:
    """Return vLLM's `gen_ai.latency.*`, of the stages that the request came to."""
    arrival, scheduled = request.arrival, request.scheduled_at
    first, end = request.first_token_at, request.finished_at
    stages = {
        "time_in_queue": (arrival, scheduled),
        "time_to_first_token": (arrival, first),
        "time_in_model_prefill": (scheduled, first),
        "time_in_model_decode": (first, end),
        "time_in_model_inference": (scheduled, end),
        "e2e": (arrival, end),
    }
    return {
        f"gen_ai.latency.{name}": until - since
        for name, (since, until) in stages.items()
        if since is not None and until is not None
    }

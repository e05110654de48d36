"""A root span for each request, exported by OTLP over HTTP; OpenTelemetry is imported only for that."""

import logging
import time
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit

from autoglm_bench import __version__
from autoglm_bench.result import Answer

if TYPE_CHECKING:
    from opentelemetry.trace import Span

_PATH: Final = "/v1/traces"
_QUEUE: Final = 65_536
_NANO: Final = 1_000_000_000


class TracingError(Exception):
    """Spans were asked for and cannot be made."""


class Tracing:
    """Makes the spans of requests and exports them; nothing that is wrong with the collector slows the load.

    Args:
        endpoint: of the collector, such as `http://otel-collector:4318`.
        url, model: the target.

    Raises:
        TracingError: OpenTelemetry is not installed.
    """

    def __init__(self, endpoint: str, url: str, model: str) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
            from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
            from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
            from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
        except ImportError as error:
            raise TracingError(f"--otlp-endpoint needs OpenTelemetry ({error}); install autoglm-bench[otlp]") from error
        # What cannot be exported is counted here; the library would write a line for each attempt.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        address = endpoint if endpoint.rstrip("/").endswith(_PATH) else endpoint.rstrip("/") + _PATH
        self._exporter = _Counting(OTLPSpanExporter(address, timeout=5))
        resource = Resource.create({"service.name": "autoglm-bench", "service.version": __version__})
        self._provider = TracerProvider(resource=resource)
        self._provider.add_span_processor(BatchSpanProcessor(cast("Any", self._exporter), max_queue_size=_QUEUE))
        self._tracer = self._provider.get_tracer("autoglm-bench", __version__)
        parts = urlsplit(url)
        self._name = f"chat {model}"
        self._attributes: dict[str, str | int | bool] = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": model,
            "gen_ai.request.stream": True,
            "server.address": parts.hostname or "",
            "server.port": parts.port or (443 if parts.scheme == "https" else 80),
        }
        #: Between the clock of the spans and that of the answers.
        self._offset = time.time_ns() - time.monotonic_ns()
        self.spans = 0

    def begin(self, session: int, step: int) -> tuple["Span", str]:
        """Return the span of a request that begins now, and the `traceparent` to send."""
        from opentelemetry.trace import SpanKind  # noqa: PLC0415  loaded by now

        self.spans += 1
        attributes = self._attributes | {"gen_ai.conversation.id": str(session), "autoglm.bench.step": step}
        span = self._tracer.start_span(self._name, kind=SpanKind.CLIENT, attributes=attributes)
        context = span.get_span_context()
        return span, f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"

    def end(self, span: "Span", answer: Answer) -> None:
        """End the span of a request with what came back."""
        from opentelemetry.trace import Status, StatusCode  # noqa: PLC0415

        attributes: dict[str, Any] = {"gen_ai.usage.output_tokens": answer.tokens}
        if answer.prompt_tokens is not None:
            attributes["gen_ai.usage.input_tokens"] = answer.prompt_tokens
        if answer.cached_tokens is not None:
            attributes["gen_ai.usage.cache_read.input_tokens"] = answer.cached_tokens
        if answer.finish_reason:
            attributes["gen_ai.response.finish_reasons"] = [answer.finish_reason]
        if answer.tokens_at:
            attributes["gen_ai.response.time_to_first_chunk"] = answer.tokens_at[0] - answer.sent
        if answer.cause:
            attributes["error.type"] = answer.cause.value
            span.set_status(Status(StatusCode.ERROR, answer.detail))
        span.set_attributes(attributes)
        span.end(int(answer.finished * _NANO) + self._offset)

    def close(self) -> str:
        """Export what is left, and return what the result has to say of it; empty if all went well."""
        self._provider.shutdown()
        lost = self.spans - self._exporter.exported
        return f"{lost} of {self.spans} spans were not exported: {self._exporter.why}" if lost else ""


class _Counting:
    """Counts what an exporter exports, and swallows what goes wrong: the load matters more than its spans."""

    def __init__(self, exporter: Any) -> None:
        self._exporter = exporter
        self.exported = 0
        self.why = "they were more than the queue holds"

    def export(self, spans: Any) -> Any:
        """Export spans; the processor calls it from its own thread."""
        from opentelemetry.sdk.trace.export import SpanExportResult  # noqa: PLC0415

        try:
            result = self._exporter.export(spans)
        except Exception as error:  # noqa: BLE001  counted and said; see above
            self.why = repr(error)
            return SpanExportResult.FAILURE
        if result is SpanExportResult.SUCCESS:
            self.exported += len(spans)
        else:
            self.why = "the collector did not take them"
        return result

    def shutdown(self) -> None:
        """End the exporter."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing is held here."""
        del timeout_millis
        return True

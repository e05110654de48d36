"""The trace of a decision: one span for the tick that made it, and what of its scrapes was slow or failed."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from autoglm_operator.autoscaler.pods import Target
from autoglm_operator.decide.scaling import Decision
from autoglm_operator.tracing import tracer

#: A scrape that takes longer is worth a look; most take milliseconds.
SLOW_NANOSECONDS: Final = 500_000_000


@dataclass(frozen=True, slots=True)
class Scrape:
    """One scrape of an engine.

    Attributes:
        pod: name of the pod.
        start: nanoseconds since the epoch.
        end: as `start`.
        error: why it failed; empty if it did not.
    """

    pod: str
    start: int
    end: int
    error: str

    @property
    def is_worth_a_span(self) -> bool:
        """Whether it failed or was slow."""
        return bool(self.error) or self.end - self.start >= SLOW_NANOSECONDS


@contextmanager
def decision_span(
    target: Target, before: int, decision: Decision, start: int, scrapes: Sequence[Scrape]
) -> Iterator[Span]:
    """Run the block in the span of a decision.

    Args:
        target: what it is about.
        before: replicas wanted until now.
        decision: what is wanted since.
        start: when the tick began, in nanoseconds since the epoch.
        scrapes: of this tick.
    """
    with tracer.start_as_current_span("scale", start_time=start) as span:
        if span.is_recording():
            _describe(span, target, before, decision)
            for scrape in scrapes:
                if scrape.is_worth_a_span:
                    _trace_scrape(target, scrape)
        yield span


def _describe(span: Span, target: Target, before: int, decision: Decision) -> None:
    span.set_attributes(
        {
            "k8s.namespace.name": target.namespace,
            "autoglm.deployment.name": target.name,
            "autoglm.decision.from": before,
            "autoglm.decision.to": decision.to,
            "autoglm.decision.reason": decision.reason.value,
        }
    )
    span.add_event(
        "decision",
        {
            "sentence": decision.message,
            "causes": [need.because for need in decision.causes],
            "candidates": [f"{need.reason.value}={need.replicas}" for need in decision.causes],
        },
    )


def _trace_scrape(target: Target, scrape: Scrape) -> None:
    attributes = {"k8s.namespace.name": target.namespace, "k8s.pod.name": scrape.pod}
    span: Span = tracer.start_span("scrape", kind=SpanKind.CLIENT, start_time=scrape.start, attributes=attributes)
    if scrape.error:
        span.set_status(Status(StatusCode.ERROR, scrape.error))
    span.end(scrape.end)

"""The trace of a decision: one span for the tick that changed the number, and what of its scrapes was slow or failed.

Decisions that leave the number as it is are no spans of their own: the next span tells of them, one event for each time
that other causes came up.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Final

from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from autoglm_operator.autoscaler.pods import Target
from autoglm_operator.decide.scaling.rule import Decision
from autoglm_operator.tracing import tracer

#: A scrape that takes longer is worth a look; most take milliseconds.
SLOW_NANOSECONDS: Final = 500_000_000
#: Decisions since the last change of the number that are told: the newest.
_MOST: Final = 64


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


class Course:
    """What was decided since the number changed: the first decision for each set of causes."""

    def __init__(self) -> None:
        self.decisions: deque[tuple[int, Decision]] = deque(maxlen=_MOST)

    def note(self, decision: Decision, time: int) -> None:
        """Take over a decision, made at `time` in nanoseconds since the epoch, unless it is the last one once more."""
        if not self.decisions or _causes(self.decisions[-1][1]) != _causes(decision):
            self.decisions.append((time, decision))

    def clear(self) -> None:
        """Begin anew."""
        self.decisions.clear()


def _causes(decision: Decision) -> tuple[object, ...]:
    return decision.to, decision.reason, tuple(cause for cause, _ in decision.candidates)


@contextmanager
def decision_span(target: Target, before: int, course: Course, start: int, scrapes: Sequence[Scrape]) -> Iterator[Span]:
    """Run the block in the span of a decision.

    Args:
        target: what it is about.
        before: replicas wanted until now.
        course: what was decided since that changed; last, what is wanted now.
        start: when the tick began, in nanoseconds since the epoch.
        scrapes: of this tick.
    """
    with tracer.start_as_current_span("scale", start_time=start) as span:
        if span.is_recording():
            _describe(span, target, before, course)
            for scrape in scrapes:
                if scrape.is_worth_a_span:
                    _trace_scrape(target, scrape)
        yield span


def _describe(span: Span, target: Target, before: int, course: Course) -> None:
    decision = course.decisions[-1][1]
    span.set_attributes(
        {
            "k8s.namespace.name": target.namespace,
            "autoglm.deployment.name": target.name,
            "autoglm.decision.from": before,
            "autoglm.decision.to": decision.to,
            "autoglm.decision.reason": decision.reason.value,
            "autoglm.decision.candidates": _candidates(decision),
        }
    )
    if decision.forecast is not None:
        told = asdict(decision.forecast)
        span.set_attributes({f"autoglm.forecast.{name}": value for name, value in told.items()})
    for time, made in course.decisions:
        span.add_event(
            "decision",
            {
                "sentence": made.message,
                "replicas": made.to,
                "reason": made.reason.value,
                "causes": [need.because for need in made.causes],
                "candidates": _candidates(made),
            },
            timestamp=time,
        )


def _candidates(decision: Decision) -> list[str]:
    return [f"{cause}={replicas:.4g}" for cause, replicas in decision.candidates]


def _trace_scrape(target: Target, scrape: Scrape) -> None:
    attributes = {"k8s.namespace.name": target.namespace, "k8s.pod.name": scrape.pod}
    span: Span = tracer.start_span("scrape", kind=SpanKind.CLIENT, start_time=scrape.start, attributes=attributes)
    if scrape.error:
        span.set_status(Status(StatusCode.ERROR, scrape.error))
    span.end(scrape.end)

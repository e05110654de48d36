"""The spans of operator and autoscaler: passes and their steps, references and links between traces.

Most passes find everything as it should be. A span for each of their steps would cost more than the steps, and bury the
passes that did something; so the spans of a pass are made when something happens in it, with the times at which things
began, and never if nothing does.
"""

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, Protocol

from opentelemetry import trace
from opentelemetry.trace import Link, Span, SpanContext, Status, StatusCode, TraceFlags

tracer: Final = trace.get_tracer("autoglm_operator")

#: W3C Trace Context, version 00.
_TRACEPARENT: Final = re.compile(r"00-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})")
DECISION_TRACE: Final = "autoglm.decision.trace_id"
#: A pass that takes longer is worth a look, whatever it did.
_SLOW_NANOSECONDS: Final = 1_000_000_000


def traceparent(span: Span) -> str | None:
    """Return the W3C reference of a span; `None` if nobody will ever see that span."""
    context = span.get_span_context()
    if not (context.is_valid and context.trace_flags.sampled):
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def link(reference: object, attributes: Mapping[str, str]) -> Link | None:
    """Return a link to the span that a `traceparent` names; `None` if it names none."""
    found = _TRACEPARENT.fullmatch(reference) if isinstance(reference, str) else None
    if found is None:
        return None
    flags = TraceFlags(int(found["flags"], 16))
    context = SpanContext(int(found["trace"], 16), int(found["span"], 16), is_remote=True, trace_flags=flags)
    return Link(context, attributes) if context.is_valid else None


class Told(Protocol):
    """Something that is over, of which a span tells."""

    def make(self, parent: Span) -> None:
        """Make its span below `parent`."""


class Pass:
    """One pass over one object.

    Args:
        name: of the span.
        start: when it began, in nanoseconds since the epoch.
        attributes: of the span; more may be added until the end.
        links: to what caused it.
    """

    def __init__(self, name: str, start: int, attributes: dict[str, str | int], links: tuple[Link, ...]) -> None:
        self.attributes = attributes
        self._name = name
        self._start = start
        self._links = links
        self._root: Span | None = None
        self._done: list[tuple[str, int, int]] = []
        self._step: tuple[str, int] | None = None
        self._open: Span | None = None
        self._told: list[Told] = []

    @property
    def root(self) -> Span:
        """Return the span of the pass; it and those of the steps until now are made if they were not."""
        if self._root is None:
            self._root = tracer.start_span(self._name, links=self._links, start_time=self._start)
            for name, start, end in self._done:
                self._child(name, start).end(end)
        return self._root

    @property
    def span(self) -> Span:
        """Return the span of the step that is under way, or that of the pass."""
        root = self.root
        if self._step is None:
            return root
        if self._open is None:
            self._open = self._child(*self._step)
        return self._open

    @property
    def if_made(self) -> Span:
        """Return the span of the pass, or one that is not recorded as long as nothing happened."""
        return self._root or trace.INVALID_SPAN

    def _child(self, name: str, start: int) -> Span:
        return tracer.start_span(name, trace.set_span_in_context(self.root), start_time=start)

    def tell(self, told: Told) -> None:
        """Keep what is over until its step is."""
        self._told.append(told)

    def _make_told(self) -> None:
        if self._told:
            parent = self.span
            for told in self._told:
                told.make(parent)
            self._told.clear()

    def begin(self, name: str, start: int | None) -> None:
        """Begin a step."""
        self._step = (name, start or time.time_ns())

    def finish(self) -> None:
        """Finish the step."""
        if self._step is None:
            return
        now = time.time_ns()
        self._make_told()
        if self._open is not None:
            self._open.end(now)
        elif self._root is not None:
            self._child(*self._step).end(now)
        else:
            self._done.append((*self._step, now))
        self._step = self._open = None

    def end(self) -> None:
        """End the pass."""
        now = time.time_ns()
        self._make_told()
        if self._root is None and now - self._start < _SLOW_NANOSECONDS:
            return
        self.root.set_attributes(self.attributes)
        self.root.end(now)


_pass: ContextVar[Pass | None] = ContextVar("pass", default=None)


@contextmanager
def passing(name: str, start: int, attributes: dict[str, str | int], links: tuple[Link, ...] = ()) -> Iterator[Pass]:
    """Run the block as one pass; an error that leaves it is the status of its span. See `Pass`."""
    made = Pass(name, start, attributes, links)
    token = _pass.set(made)
    try:
        yield made
    except Exception as error:
        fail(made.root, error)
        raise
    finally:
        _pass.reset(token)
        made.end()


@contextmanager
def step(name: str, start: int | None = None, refusal: type[Exception] | None = None) -> Iterator[None]:
    """Run the block as a step of the pass.

    An error is the status of its span; a refusal is none, and the span around it tells.

    Args:
        name: of the span.
        start: nanoseconds since the epoch, if it began before.
        refusal: what is raised when the step has done its work and says no.
    """
    made = _pass.get()
    if made is None:
        raise RuntimeError(f"step {name} outside of a pass")
    made.begin(name, start)
    try:
        yield
    except Exception as error:
        if refusal is None or not isinstance(error, refusal):
            fail(made.span, error)
        raise
    finally:
        made.finish()


def current_span() -> Span:
    """Return the span to tell of what happens now; in a pass, that makes the spans of the pass."""
    span = trace.get_current_span()
    made = _pass.get()
    return span if span.is_recording() or made is None else made.span


def surrounding_span() -> Span:
    """Return the span that something is told in when it is over; in a pass, that makes the span of the pass."""
    span = trace.get_current_span()
    made = _pass.get()
    return span if span.is_recording() or made is None else made.root


def tell(told: Told) -> None:
    """Make the span of what is over: at once, or with the step of the pass that it is part of."""
    made = _pass.get()
    if made is None:
        told.make(trace.get_current_span())
    else:
        made.tell(told)


def fail(span: Span, error: Exception) -> None:
    """Give a span the status of an error, in one sentence; stack traces are for the log."""
    span.set_attribute("error.type", type(error).__name__)
    span.set_status(Status(StatusCode.ERROR, str(error)))

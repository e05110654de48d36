"""Takes ended spans to the collector, on a thread of its own: one that is absent, slow or wrong delays nothing."""

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Final, Literal
from urllib.parse import urlsplit

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

logger = logging.getLogger(__name__)

#: Of one request, retries included.
TIMEOUT_SECONDS: Final = 2.0
#: About 5 MB of spans; more are dropped.
_MOST_WAITING: Final = 2048
_BATCH: Final = 512
_EVERY_SECONDS: Final = 2.0
#: Given to the last spans at the end of the process: far less than the grace period of a pod.
_EXIT_SECONDS: Final = 3.0
_REASON_LENGTH: Final = 300

Result = Literal["ok", "failed", "dropped"]
#: Told of spans: what became of them, and how many.
Count = Callable[[Result, int], None]


class _Reason(logging.Filter):
    """Keeps what the exporter says of a failure, and keeps it out of the log: one line tells each change of state."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""

    def filter(self, record: logging.LogRecord) -> bool:
        """Remember the message."""
        # Of several, the first has the cause; the others tell of retries.
        self.text = self.text or record.getMessage()[:_REASON_LENGTH]
        return False


class Export(SpanProcessor):
    """Queues sampled spans and exports them in batches.

    Args:
        exporter: sends a batch; may block for its own timeout.
        endpoint: where it sends to, for the log.
        count: told what became of the spans.
        every: seconds between two batches.
    """

    def __init__(self, exporter: SpanExporter, endpoint: str, count: Count, *, every: float = _EVERY_SECONDS) -> None:
        self._exporter = exporter
        self._endpoint = _without_credentials(endpoint)
        self._count = count
        self._every = every
        self._waiting: deque[ReadableSpan] = deque()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._ended = False
        self._down = False
        self._lost = 0
        self._reason = _Reason()
        # Before the exporter's own filter, which hides what it has said within the last seconds.
        logging.getLogger(type(exporter).__module__).filters.insert(0, self._reason)
        # A daemon: a request that hangs must not keep the process.
        self._thread = threading.Thread(target=self._run, name="trace-export", daemon=True)
        self._thread.start()

    def on_end(self, span: ReadableSpan) -> None:
        """Queue a span; never blocks for longer than another thread takes to do the same."""
        if span.context is None or not span.context.trace_flags.sampled:
            return
        with self._lock:
            if full := self._ended or len(self._waiting) >= _MOST_WAITING:
                self._lost += 1
            else:
                self._waiting.append(span)
            enough = len(self._waiting) >= _BATCH
        if full:
            self._count("dropped", 1)
        elif enough:
            self._wake.set()

    def shutdown(self) -> None:
        """Export what waits for at most a few seconds, and drop the rest."""
        with self._lock:
            if self._ended:
                return
            self._ended = True
        self._wake.set()
        self._thread.join(_EXIT_SECONDS)
        with self._lock:
            left = len(self._waiting)
            self._waiting.clear()
        if left:
            self._count("dropped", left)
            logger.warning("traces lost at exit", extra={"endpoint": self._endpoint, "spans": left})
        # Ends a retry that is under way; what the exporter says of that stays out of the log too.
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002  # the interface
        """Wake the thread; it is never waited for."""
        self._wake.set()
        return True

    def _run(self) -> None:
        while not self._ended:
            self._wake.wait(self._every)
            self._wake.clear()
            while batch := self._next():
                self._send(batch)

    def _next(self) -> list[ReadableSpan]:
        with self._lock:
            return [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]

    def _send(self, batch: list[ReadableSpan]) -> None:
        self._reason.text = ""
        try:
            taken = self._exporter.export(batch) is SpanExportResult.SUCCESS
        except Exception as error:  # noqa: BLE001  # whatever it is, it must not end the thread, and one line tells it
            taken, self._reason.text = False, f"{type(error).__name__}: {error}"[:_REASON_LENGTH]
        self._count("ok" if taken else "failed", len(batch))
        self._tell(len(batch), taken=taken)

    def _tell(self, spans: int, *, taken: bool) -> None:
        """Log a change of state, once."""
        if not taken:
            with self._lock:
                self._lost += spans
        if taken and self._down:
            with self._lock:
                lost, self._lost = self._lost, 0
            logger.info("collector takes traces again", extra={"endpoint": self._endpoint, "lost_spans": lost})
        elif not taken and not self._down:
            consequence = "spans are dropped and counted until it does; nothing else is affected"
            fields = {"endpoint": self._endpoint, "error": self._reason.text, "consequence": consequence}
            logger.warning("collector takes no traces", extra=fields)
        self._down = not taken


def _without_credentials(endpoint: str) -> str:
    parts = urlsplit(endpoint)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()

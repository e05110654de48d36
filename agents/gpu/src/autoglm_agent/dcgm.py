"""GPU figures from the node's dcgm-exporter, of this pod's devices only."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from autoglm_agent.dcgm_text import Pod, Scrape, parse
from autoglm_agent.device import Reading, SourceName, XidEvent
from autoglm_agent.engine.http import Http
from autoglm_agent.engine.sample import ScrapeError
from autoglm_agent.source import exporter_address

#: The exporter itself collects every 30 s unless told otherwise, and answers with everything it has.
EVERY_SECONDS: Final = 5.0
#: First and longest wait after a failure; the longest keeps recovery under 15 s.
_BACK_OFF_SECONDS: Final = (1.0, 8.0)
_TIMEOUT_SECONDS: Final = 3.0
#: 16 GPUs of seven MIG devices with all of DCGM's counters stay below these.
MOST_BYTES: Final = 8 << 20
MOST_LINES: Final = 20_000
_LINE_BYTES: Final = 1 << 16


class DcgmSource:
    """Scrapes dcgm-exporter, at most every five seconds: the last answer is shown in between.

    Args:
        url: address of its metrics, such as `http://10.0.0.5:9400/metrics`.
        pod: whose devices to take.
        clock: monotonic time in seconds.
        why: why it is this source, for people.
    """

    name: SourceName = "dcgm"

    def __init__(self, url: str, pod: Pod, clock: Callable[[], float], why: str = "dcgm was asked for") -> None:
        base, self._path = exporter_address(url)
        self._http = Http(base, clock)
        self._pod = pod
        self._clock = clock
        self.why = why
        self._next = clock()
        self._wait = _BACK_OFF_SECONDS[0]
        self._last = Reading()
        self._last_xids: dict[str, int] = {}
        self._xid_counts: dict[tuple[str, str, int], float] | None = None

    def read(self) -> Reading:
        """Return the devices as the exporter last told them."""
        now = self._clock()
        if now < self._next:
            return Reading(self._last.samples, (), (), self._last.down, self._last.driver)
        try:
            with self._http.body(self._path, _TIMEOUT_SECONDS) as chunks:
                scrape = parse(lines(chunks), self._pod, now)
        except ScrapeError as error:
            return self._failed(error.reason)
        if not scrape.samples:
            return self._failed("no_series_of_this_pod" if scrape.series else "no_series")
        self._wait = _BACK_OFF_SECONDS[0]
        self._next = now + EVERY_SECONDS
        errors = ("invalid_value",) * scrape.invalid
        self._last = Reading(tuple(scrape.samples), errors, self._new_xids(scrape, now), "", scrape.driver)
        return self._last

    def close(self) -> None:
        """Do nothing: no connection is held."""

    def _failed(self, reason: str) -> Reading:
        self._next = self._clock() + self._wait
        self._wait = min(2 * self._wait, _BACK_OFF_SECONDS[1])
        self._last = Reading((), (reason,), (), reason, self._last.driver)
        return self._last

    def _new_xids(self, scrape: Scrape, now: float) -> tuple[XidEvent, ...]:
        """Return what is new; at the first scrape nothing is, since the exporter shows old errors for ever."""
        before, self._xid_counts = self._xid_counts, scrape.xid_counts
        last, self._last_xids = self._last_xids, scrape.last_xids
        if before is None:
            return ()
        if scrape.xid_counts or before:
            rises = {(u, x): v - before.get((m, u, x), 0.0) for (m, u, x), v in scrape.xid_counts.items()}
            return tuple(XidEvent(uuid, xid, now) for (uuid, xid), rise in rises.items() if rise > 0)
        changed = ((uuid, xid) for uuid, xid in scrape.last_xids.items() if xid and xid != last.get(uuid, xid))
        return tuple(XidEvent(uuid, xid, now) for uuid, xid in changed)


def lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of a text that comes in chunks.

    Raises:
        ScrapeError: there are more bytes or lines than an exporter has, or a line is too long.
    """
    rest, size, count = b"", 0, 0
    for chunk in chunks:
        size += len(chunk)
        *rows, rest = (rest + chunk).split(b"\n")
        count += len(rows)
        if size > MOST_BYTES or count > MOST_LINES:
            raise ScrapeError("too_large", f"the exporter answers more than {MOST_BYTES} bytes or {MOST_LINES} lines")
        if len(rest) > _LINE_BYTES:
            raise ScrapeError("malformed", f"the exporter answers a line of more than {_LINE_BYTES} bytes")
        yield from rows
    if rest:
        yield rest

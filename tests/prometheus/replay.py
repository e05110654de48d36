"""Serves recorded expositions as an exporter would: counters go on at the rate between two recordings."""

import math
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.utils import floatToGoString

#: Between two recordings of one program, in the load that they were made under.
SECONDS = 300.0

Series = tuple[str, tuple[tuple[str, str], ...]]


class Recording:
    """What one program exposed at two moments."""

    def __init__(self, first: str, second: str) -> None:
        self._begin = time.monotonic()
        before = {series: value for series, value, _, _ in _samples(first)}
        self._types = {name: kind for _, _, name, kind in _samples(second)}
        self._series = [
            (family, series, before[series], (value - before[series]) / SECONDS if kind != "gauge" else 0.0)
            for series, value, family, kind in _samples(second)
            if series in before
        ]

    def text(self) -> str:
        """Return the exposition of this moment."""
        seconds = time.monotonic() - self._begin
        lines, last = [], ""
        for family, (name, labels), value, rate in self._series:
            if family != last:
                lines.append(f"# TYPE {family} {self._types[family]}")
                last = family
            shown = ",".join(f'{key}="{text}"' for key, text in labels)
            # Whole numbers, as of requests: a share of a request is in no bucket.
            now = value + rate * seconds if name.endswith("_sum") else value + math.floor(rate * seconds)
            lines.append(f"{name}{{{shown}}} {floatToGoString(now)}")
        return "\n".join(lines) + "\n"


def _samples(text: str) -> Iterator[tuple[Series, float, str, str]]:
    for family in text_string_to_metric_families(text):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        for sample in family.samples:
            yield (sample.name, tuple(sorted(sample.labels.items()))), sample.value, name, family.type


def recordings(folder: Path) -> dict[str, Recording]:
    """Return the recordings of a folder by the name of their program: files NAME-1.txt and NAME-2.txt."""
    return {
        first.name.removesuffix("-1.txt"): Recording(
            first.read_text(), first.with_name(first.name.replace("-1.txt", "-2.txt")).read_text()
        )
        for first in sorted(folder.glob("*-1.txt"))
    }


def serve(expositions: dict[str, Recording]) -> ThreadingHTTPServer:
    """Serve each exposition under /NAME/metrics on a free port of loopback, in a thread of its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = expositions.get(self.path.removesuffix("/metrics").strip("/"))
            body = found.text().encode() if found else b""
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing: a scrape each few seconds is no news."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server

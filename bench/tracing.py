"""What tracing costs a reconcile, on a real API server: off, with a collector that takes everything, and without one.

Reconciles alternate between traced and not traced in one process, so that a slow moment of the machine hits both; what
is compared is a pair of neighbours. The CPU time of the event loop's thread is what a reconcile waits for; that of the
thread that exports is added to it, although it works between reconciles. Two sorts are measured: one that makes all
children, and one that finds everything as it should be, which makes no request.
"""

import argparse
import asyncio
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from harness import ControlPlane, control_plane, record
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import NoOpTracer, Tracer
from operator_scale import example, install_crd, make_namespace

from autoglm_operator import tracing
from autoglm_operator.apply.sync import Synchroniser
from autoglm_operator.kube import spans
from autoglm_operator.kube.client import Client
from autoglm_operator.kube.connection import Connection
from autoglm_operator.lookups import Lookups
from autoglm_operator.observe.caches import Caches
from autoglm_operator.reconcile import Reconciler
from autoglm_operator.report.reporter import Reporter
from autoglm_operator.settings import Images
from autoglm_operator.trace_export import TIMEOUT_SECONDS, Export

BAR: Final = 0.02
#: Pairs of each sort.
CREATED: Final = 40
UNCHANGED: Final = 400
#: Nobody listens to the discard port.
ABSENT: Final = "http://127.0.0.1:9"
#: More than a batch waits for.
_FLUSH_SECONDS: Final = 5.0


class Figures:
    """Seconds of pairs of neighbours: (not traced, traced), of the wall and of the event loop's CPU."""

    def __init__(self) -> None:
        self.wall: list[tuple[float, float]] = []
        self.cpu: list[tuple[float, float]] = []
        self.export = 0.0

    def shown(self) -> dict[str, Any]:
        """Return medians in milliseconds and the share of the reconcile that tracing takes."""
        off, wall = (statistics.median(pair[0] for pair in pairs) for pairs in (self.cpu, self.wall))
        more = sorted(after - before for before, after in self.cpu)
        added, quarter = statistics.median(more), len(more) // 4
        return {
            "off: wall, ms": round(1000 * wall, 2),
            "off: CPU of the loop, ms": round(1000 * off, 3),
            "tracing: CPU of the loop, us": round(1e6 * added),
            "tracing: its middle half, us": [round(1e6 * more[quarter]), round(1e6 * more[-quarter - 1])],
            "tracing: CPU of the export, us": round(1e6 * self.export),
            "of the wall time, loop": round(added / wall, 4),
            "of the wall time, loop and export": round((added + self.export) / wall, 4),
            "of the CPU time, loop and export": round((added + self.export) / off, 4),
            "pairs": len(more),
        }


@contextmanager
def traced_by(tracer: Tracer) -> Iterator[None]:
    """Make spans with `tracer` in the block."""
    modules: tuple[Any, ...] = (tracing, spans)
    before = [module.tracer for module in modules]
    for module in modules:
        module.tracer = tracer
    try:
        yield
    finally:
        for module, tracer_before in zip(modules, before, strict=True):
            module.tracer = tracer_before


class Bench:
    """One namespace with a reconciler of its own."""

    def __init__(self, client: Client, namespace: str, endpoint: str) -> None:
        self._client, self._namespace = client, namespace
        self._caches = Caches(client, (namespace,), (), lambda _: None)
        may_write = list
        reporter = Reporter(client, "bench", may_write)
        self._reconciler = Reconciler(self._caches, Lookups(), Synchroniser(client, may_write), reporter, Images())
        self._provider = TracerProvider(shutdown_on_exit=False)
        url = f"{endpoint}/v1/traces"
        export = Export(OTLPSpanExporter(url, timeout=TIMEOUT_SECONDS), url, lambda *_: None)
        self._provider.add_span_processor(export)
        self._tracers = (NoOpTracer(), self._provider.get_tracer("bench"))

    async def run(self) -> dict[str, Any]:
        """Measure both sorts."""
        await make_namespace(self._client, self._namespace)
        watches = [asyncio.create_task(reflector.run()) for reflector in self._caches.reflectors]
        for reflector in self._caches.reflectors:
            await reflector.wait_synced()
        keys = []
        for number in range(2 * CREATED):
            name = f"phone-{number:03d}"
            self._caches.store(await self._client.create(example(name, self._namespace)))
            keys.append((self._namespace, name))
        created = await self._measure(keys)
        # Until the status is written and nothing is left to do.
        for _ in range(4):
            await asyncio.sleep(2.0)
            with traced_by(self._tracers[0]):
                for key in keys[:2]:
                    await self._reconciler.reconcile(key)
        unchanged = await self._measure([keys[0]] * (2 * UNCHANGED))
        for watch in watches:
            watch.cancel()
        await asyncio.gather(*watches, return_exceptions=True)
        await asyncio.to_thread(self._provider.shutdown)
        return {"created": created.shown(), "unchanged": unchanged.shown()}

    async def _measure(self, keys: list[tuple[str, str]]) -> Figures:
        found, of_others = Figures(), time.process_time() - time.thread_time()
        for number in range(0, len(keys), 2):
            # The first of a pair is traced in every second pair.
            order = (0, 1) if number % 4 else (1, 0)
            pair = {kind: await self._one(key, kind) for kind, key in zip(order, keys[number:], strict=False)}
            found.wall.append((pair[0][0], pair[1][0]))
            found.cpu.append((pair[0][1], pair[1][1]))
        await asyncio.sleep(_FLUSH_SECONDS)
        found.export = (time.process_time() - time.thread_time() - of_others) / (len(keys) / 2)
        return found

    async def _one(self, key: tuple[str, str], kind: int) -> tuple[float, float]:
        with traced_by(self._tracers[kind]):
            wall, cpu = time.perf_counter(), time.thread_time()
            await self._reconciler.reconcile(key)
            return time.perf_counter() - wall, time.thread_time() - cpu


@contextmanager
def collector() -> Iterator[str]:
    """Take everything, at once; its CPU time is counted as the export's."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


async def measure(plane: ControlPlane, url: str) -> dict[str, Any]:
    """Return the figures with either collector."""
    figures = {}
    async with Client(Connection.from_kubeconfig(plane.kubeconfig), user_agent="bench") as client:
        await install_crd(client)
        for kind, endpoint in (("present", url), ("absent", ABSENT)):
            found = await Bench(client, kind, endpoint).run()
            figures |= {f"{sort}, collector {kind}": shown for sort, shown in found.items()}
    return figures


def main() -> int:
    """Measure, and print what is over the bar."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    with control_plane("bench-tracing") as plane, collector() as url:
        figures = asyncio.run(measure(plane, url))
    lines: dict[str, Any] = {
        f"{what}: {name}": value for what, shown in figures.items() for name, value in shown.items()
    }
    over = [what for what, shown in figures.items() if shown["of the wall time, loop"] > BAR]
    record("tracing", lines | {"bar": BAR, "over the bar": ", ".join(over) or "none"})

    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())

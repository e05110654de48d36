"""The agent's own cost, replaying 8 GPUs: memory, CPU at 1 Hz, time of a scrape, cost of a read, growth.

The agent runs as it does in a pod, with and without an engine beside it (the simulator under load); CPU is what the
kernel charged to the process. Where nvidia-smi is, the same machine is polled by it once a second for comparison.
"""

import contextlib
import http.client
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, cast

from harness import record, resident_mib, spread
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from autoglm_agent.collector import rows
from autoglm_agent.engine.exposition import parse
from autoglm_agent.engine.health import EngineState, EngineStatus
from autoglm_agent.sampler import Sampler
from autoglm_agent.server import Routes
from autoglm_agent.signals.memory import MemorySignals, MemoryWatch
from autoglm_agent.source import Request, choose
from autoglm_agent.state import State

GPUS = 8
RUNS = 3
RUN_SECONDS = 30.0
SCRAPES = 500
SERIES = 600
SAMPLES = 1_000_000
READS = 300
#: What has to be reached: figure → most.
BARS = {
    "RSS, MiB": 40.0,
    "CPU at 1 Hz without an engine, % of a core": 0.3,
    "scrape of 600 series, P99 ms": 5.0,
    "growth over 10^6 samples, MiB": 1.0,
}


def main() -> int:
    """Measure, print and record; return 1 if a bar is missed."""
    figures: dict[str, Any] = {
        "GPUs replayed": GPUS,
        "CPUs": os.cpu_count(),
        "load average at the start": os.getloadavg(),
    }
    figures |= at_rest()
    figures |= scrapes()
    figures |= call_costs()
    figures |= growth()
    figures |= nvidia_smi(figures["CPU at 1 Hz without an engine, % of a core"])
    missed = [name for name, most in BARS.items() if figures[name] > most]
    figures["bars missed"] = missed
    record("agent", figures)
    print("\n" + "\n".join(f"  {name:<46}{figures[name]:>8.2f} of {most:g}" for name, most in BARS.items()))
    return 1 if missed else 0


@contextlib.contextmanager
def agent(engine: int) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run the agent as it runs in a pod; yield its process and its port."""
    command = [sys.executable, "-m", "autoglm_agent", "--source", "replay", "--gpus", str(GPUS), "--interval", "1"]
    command += ["--engine-url", f"http://127.0.0.1:{engine}", "--listen", "127.0.0.1:0"]
    # As in its image.
    environment = os.environ | {"MALLOC_ARENA_MAX": "1"}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        log = cast("IO[str]", process.stderr)
        port = next(json.loads(line)["port"] for line in log if '"serving"' in line)
        threading.Thread(target=log.read, daemon=True).start()
        yield process, port
    finally:
        process.terminate()
        process.wait(timeout=15)


@contextlib.contextmanager
def engine(port: int) -> Iterator[None]:
    """Run the simulated engine with four requests in its batch."""
    command = [sys.executable, "-m", "autoglm_simulator", "serve", "m", "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(command)
    stop = threading.Event()
    try:
        for _ in range(4):
            threading.Thread(target=_load, args=(port, stop), daemon=True).start()
        yield
    finally:
        stop.set()
        process.terminate()
        process.wait(timeout=15)


def _load(port: int, stop: threading.Event) -> None:
    body = json.dumps({"model": "m", "prompt": "a b c", "max_tokens": 500, "ignore_eos": True})
    while not stop.wait(0.2):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("POST", "/v1/completions", body, {"Content-Type": "application/json"})
            connection.getresponse().read()
        connection.close()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def cpu_seconds(process: int) -> float:
    """Return the CPU time of all threads of a process, to the nanosecond where the kernel keeps it so."""
    threads = Path(f"/proc/{process}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


def at_rest() -> dict[str, Any]:
    """Measure memory and CPU at 1 Hz, without and with an engine, and under a scrape each 15 s."""
    figures: dict[str, Any] = {}
    for name, beside in (("without an engine", False), ("beside a busy engine", True)):
        shares = []
        for _ in range(RUNS):
            port = free_port()
            with engine(port) if beside else contextlib.nullcontext(), agent(port) as (process, own):
                time.sleep(8)
                get(own, "/metrics")
                began, used = time.monotonic(), cpu_seconds(process.pid)
                time.sleep(RUN_SECONDS)
                shares.append(100 * (cpu_seconds(process.pid) - used) / (time.monotonic() - began))
                figures["RSS, MiB"] = max(figures.get("RSS, MiB", 0.0), round(resident_mib(process.pid), 1))
        figures[f"CPU at 1 Hz {name}, % of a core"] = round(statistics.median(shares), 3)
        figures[f"CPU at 1 Hz {name}, spread"] = spread(shares)
    return figures


def get(port: int, path: str) -> bytes:
    """Return the body of a GET from the agent."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    finally:
        connection.close()


def series(body: bytes) -> int:
    """Return how many series an exposition has."""
    return sum(1 for line in body.splitlines() if line and not line.startswith(b"#"))


def scrapes() -> dict[str, Any]:
    """Measure the time of a scrape over HTTP, and of rendering alone, of an agent with about 600 series."""
    clock = time.monotonic
    gpus = GPUS
    state = state_of(gpus, clock)
    while len(list(rows(state()))) < SERIES:
        gpus += 1
        state = state_of(gpus, clock)
    routes = Routes(state, clock())
    reference = CollectorRegistry(auto_describe=False)
    reference.register(Library(state))
    rendered = timed(lambda: routes.answer("/metrics", ""), SCRAPES)
    openmetrics = timed(lambda: routes.answer("/metrics", "application/openmetrics-text; version=1.0.0"), SCRAPES)
    charged = timed(lambda: routes.answer("/metrics", ""), SCRAPES, time.thread_time)
    library = timed(lambda: generate_latest(reference), SCRAPES)
    count = series(routes.answer("/metrics", "")[2])
    from autoglm_agent.server import AgentServer  # noqa: PLC0415  # measured in-process, so after the agent's own runs

    server = AgentServer(("127.0.0.1", 0), routes, clock)
    server.start()
    over_http = timed(lambda: get(server.port, "/metrics"), SCRAPES)
    server.stop()
    return {
        "series in the scrape": count,
        "GPUs in the scrape": gpus,
        "scrape of 600 series, P50 ms": percentile(rendered, 50),
        "scrape of 600 series, P99 ms": percentile(rendered, 99),
        # What a scrape takes of a core, whatever else the machine does: others' time slices are in the P99 above.
        "the same in CPU time, P99 ms": percentile(charged, 99),
        "the same as OpenMetrics, P99 ms": percentile(openmetrics, 99),
        "the same by prometheus-client's encoder, P50 ms": percentile(library, 50),
        "prometheus-client over the agent, P50": round(percentile(library, 50) / percentile(rendered, 50), 1),
        "scrape of 600 series over HTTP with its client, P50 ms": percentile(over_http, 50),
        "scrape of 600 series over HTTP with its client, P99 ms": percentile(over_http, 99),
        "/state of them, P50 ms": percentile(timed(lambda: routes.answer("/state", ""), SCRAPES), 50),
    }


class Library(Collector):
    """The agent's rows as prometheus-client's families."""

    def __init__(self, state: Callable[[], State]) -> None:
        self._state = state

    def collect(self) -> Iterable[Family]:
        """Return the families."""
        families: dict[str, Any] = {}
        for metric, labels, value in rows(self._state()):
            families.setdefault(metric.name, metric.family()).add_metric(labels, value)
        return families.values()


def state_of(gpus: int, clock: Callable[[], float]) -> Callable[[], State]:
    """Return a state with a fresh sample of each replayed GPU."""
    sampler = Sampler(choose(Request("replay", gpus=gpus), clock), clock, gpus)
    sampler.sample()
    snapshot, now = sampler.snapshot, clock()
    status = EngineStatus(EngineState.ALIVE, "", now, now)
    return lambda: State(snapshot, status, now, memory=MemorySignals())


def timed(action: Callable[[], object], times: int, clock: Callable[[], float] = time.perf_counter) -> list[float]:
    """Return the milliseconds of each call, after ten that do not count."""
    for _ in range(10):
        action()
    taken = []
    for _ in range(times):
        start = clock()
        action()
        taken.append((clock() - start) * 1000)
    return taken


def percentile(values: Sequence[float], rank: int) -> float:
    """Return a percentile, rounded."""
    return round(statistics.quantiles(values, n=100)[rank - 1], 3)


def call_costs() -> dict[str, Any]:
    """Measure a read of the source, a judgement, and reading an engine's metrics; and NVML where there is one."""
    clock = time.monotonic
    sampler, watch = Sampler(choose(Request("replay", gpus=GPUS), clock), clock, GPUS), MemoryWatch()
    figures: dict[str, Any] = {
        f"read and judge {GPUS} replayed GPUs, P50 ms": percentile(timed(sampler.sample, READS), 50),
        "memory signals of them, P50 ms": percentile(
            timed(lambda: watch.update(sampler.snapshot.fresh(clock()), clock(), settled=True), READS), 50
        ),
    }
    port = free_port()
    with engine(port):
        body = wait_for(port)
    figures[f"parse {len(body) // 1024} KiB of engine metrics, P50 ms"] = percentile(
        timed(lambda: parse([body], 0.0), READS), 50
    )
    source = choose(Request("auto"), clock)
    if source.name == "nvml":
        nvml = Sampler(source, clock)
        figures["read all GPUs by NVML, P50 ms"] = percentile(timed(nvml.sample, READS), 50)
    else:
        figures["NVML"] = f"not measured: {source.why}"
    source.close()
    return figures


def wait_for(port: int) -> bytes:
    """Return the metrics of an engine once it answers."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            time.sleep(2)
            return get(port, "/metrics")
    raise SystemExit(f"no engine answers on port {port} within 20 s")


def growth() -> dict[str, Any]:
    """Take a million samples on a clock that runs ahead; return what memory grew by after the first ten thousand."""
    ticks = iter(range(10**9))
    now = [0.0]

    def clock() -> float:
        return now[0]

    sampler, watch = Sampler(choose(Request("replay", gpus=1), clock), clock, 1), MemoryWatch()

    def run(times: int) -> None:
        for _ in range(times):
            now[0] = float(next(ticks))
            sampler.sample()
            watch.update(sampler.snapshot.fresh(clock()), clock(), settled=True)

    run(10_000)
    before = resident_mib(os.getpid())
    start = time.monotonic()
    run(SAMPLES - 20_000)
    took, after = time.monotonic() - start, resident_mib(os.getpid())
    tracemalloc.start()
    run(1_000)
    low = tracemalloc.get_traced_memory()[0]
    run(9_000)
    high = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return {
        "samples": SAMPLES,
        "growth over 10^6 samples, MiB": round(after - before, 2),
        "growth of Python objects over the last 9,000, KiB": round((high - low) / 1024, 2),
        "samples per second": round((SAMPLES - 20_000) / took),
    }


def nvidia_smi(own: float) -> dict[str, Any]:
    """Measure nvidia-smi once a second beside it, where it is."""
    if shutil.which("nvidia-smi") is None:
        return {"nvidia-smi": "not compared: there is none on this machine"}
    query = ["nvidia-smi", "--query-gpu=memory.used,utilization.gpu,power.draw,temperature.gpu", "--format=csv"]
    before = os.times()
    began = time.monotonic()
    for _ in range(int(RUN_SECONDS)):
        subprocess.run(query, check=True, stdout=subprocess.DEVNULL)
        time.sleep(1)
    after, took = os.times(), time.monotonic() - began
    used = after.children_user + after.children_system - before.children_user - before.children_system
    share = 100 * used / took
    return {"nvidia-smi at 1 Hz, % of a core": round(share, 3), "nvidia-smi over the agent": round(share / own, 1)}


if __name__ == "__main__":
    sys.exit(main())

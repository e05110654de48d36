"""What a scrape of operator and autoscaler costs, with every series that their catalogues allow.

The event loop stands still while the text is made, so that is what the bar is about, in CPU time: other programs on the
machine do not count. A GET over loopback is shown beside it, by the clock on the wall. Between two scrapes one
deployment in a hundred changes, and of the autoscaler's counters all of them.
"""

import asyncio
import itertools
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from aiohttp import ClientSession, web
from harness import record, resident_mib
from prometheus_client.exposition import choose_encoder

from autoglm_operator.autoscaler.metrics import Metrics as AutoscalerMetrics
from autoglm_operator.exposition import Key, ObjectSeries
from autoglm_operator.metric import DEPLOYMENT, Label
from autoglm_operator.metrics import Metrics as OperatorMetrics
from autoglm_operator.telemetry import health_app

DEPLOYMENTS: Final = (1000, 5000)
ROUNDS: Final = 5
#: In one round.
SCRAPES: Final = 20
BAR_MS: Final = 100
#: What Prometheus 3 sends.
OPENMETRICS: Final = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.2"
)
TEXT: Final = "text/plain;version=0.0.4"

Metrics = OperatorMetrics | AutoscalerMetrics
PROCESSES: Final[dict[str, type[OperatorMetrics] | type[AutoscalerMetrics]]] = {
    "operator": OperatorMetrics,
    "autoscaler": AutoscalerMetrics,
}


def keys(count: int) -> list[Key]:
    """Return names as long as people's are."""
    return [(f"team-{number % 50:02d}", f"autoglm-phone-{number:05d}") for number in range(count)]


def own_labels(series: ObjectSeries) -> Iterator[tuple[str, ...]]:
    """Return every combination of label values that one deployment can have."""
    labels = series.metric.labels[len(DEPLOYMENT) :]
    return itertools.product(*map(values, labels))


def values(label: Label) -> Sequence[str]:
    """Return the values of a label; invented ones where any may come."""
    return label.bound if isinstance(label.bound, tuple) else [f"{label.name}-{n:02d}" for n in range(label.most)]


def deployment_series(metrics: Metrics) -> list[ObjectSeries]:
    """Return the metrics of which each deployment has series."""
    return [each for each in vars(metrics).values() if isinstance(each, ObjectSeries)]


def fill(metrics: Metrics, deployments: Sequence[Key], value: float) -> None:
    """Give deployments every series that they can have."""
    for series in deployment_series(metrics):
        own = list(own_labels(series))
        for key in deployments:
            series.replace(key, dict.fromkeys(own, value))


def change(metrics: Metrics, deployments: Sequence[Key], turn: int) -> None:
    """Change what changes between two scrapes."""
    fill(metrics, deployments[turn % 100 :: 100], float(turn + 2))
    for series in deployment_series(metrics):
        if series.metric.type == "counter":
            own = list(own_labels(series))
            for key in deployments:
                for labels in own:
                    series.add(key, 1.5, *labels)


def timed(work: Callable[[], object], clock: Callable[[], float] = time.thread_time) -> float:
    """Return how long `work` took, in milliseconds: of CPU, so that other programs on the machine do not count."""
    start = clock()
    work()
    return (clock() - start) * 1000


def in_words(rounds: Sequence[Sequence[float]]) -> str:
    """Return median and 99th percentile of all rounds, each with the spread between rounds."""
    middle = [statistics.median(taken) for taken in rounds]
    worst = [statistics.quantiles(taken, n=100)[98] for taken in rounds]
    return (
        f"P50 {statistics.median(middle):.1f} ({min(middle):.1f} to {max(middle):.1f}), "
        f"P99 {statistics.median(worst):.1f} ({min(worst):.1f} to {max(worst):.1f})"
    )


def rendering(metrics: Metrics, deployments: Sequence[Key], accept: str) -> list[list[float]]:
    """Return the milliseconds of each rendering, by round."""
    rounds = []
    for _ in range(ROUNDS):
        taken = []
        for turn in range(SCRAPES):
            change(metrics, deployments, turn)
            taken.append(timed(lambda: metrics.exposition.render(accept)))
        rounds.append(taken)
    return rounds


async def get(metrics: Metrics) -> list[list[float]]:
    """Return the milliseconds of each GET over loopback, by round."""
    runner = web.AppRunner(health_app(lambda: None, lambda: None, metrics.exposition.render), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    try:
        async with ClientSession() as http:
            return [
                [await _one_get(http, f"http://{host}:{port}/metrics") for _ in range(SCRAPES)] for _ in range(ROUNDS)
            ]
    finally:
        await runner.cleanup()


async def _one_get(http: ClientSession, url: str) -> float:
    start = time.perf_counter()
    async with http.get(url, headers={"Accept": OPENMETRICS}) as response:
        await response.read()
    return (time.perf_counter() - start) * 1000


def measure(name: str, count: int) -> dict[str, Any]:
    """Return the figures of one process."""
    metrics = PROCESSES[name]()
    before = resident_mib(os.getpid())
    deployments = keys(count)
    fill(metrics, deployments, 1.0)
    first = timed(lambda: metrics.exposition.render(OPENMETRICS))
    body = metrics.exposition.render(OPENMETRICS)[1]
    memory = resident_mib(os.getpid()) - before
    rounds = {accept: rendering(metrics, deployments, accept) for accept in (OPENMETRICS, TEXT)}
    encoder = choose_encoder(OPENMETRICS)[0]
    what = f"{name}, {count} deployments"
    return {
        f"{what}: series": sum(not line.startswith(b"#") for line in body.splitlines()),
        f"{what}: size, MB": round(len(body) / 1e6, 2),
        f"{what}: memory of the series, MiB": round(memory, 1),
        f"{what}: OpenMetrics, CPU ms (bar {BAR_MS} at 1000)": in_words(rounds[OPENMETRICS]),
        f"{what}: text, CPU ms (bar {BAR_MS} at 1000)": in_words(rounds[TEXT]),
        f"{what}: first scrape, every line new, CPU ms": round(first, 1),
        f"{what}: GET over loopback, ms": in_words(asyncio.run(get(metrics))),
        f"{what}: by prometheus-client, CPU ms": round(timed(lambda: encoder(metrics.registry)), 1),
        f"raw {what}": rounds,
    }


def main() -> int:
    """Measure and record; return 1 if the bar is missed."""
    figures: dict[str, Any] = {}
    # Each in a process of its own: memory that one gave back would hide what the next takes.
    fresh = multiprocessing.get_context("spawn")
    for count, kind in itertools.product(DEPLOYMENTS, PROCESSES):
        with fresh.Pool(1) as pool:
            figures |= pool.apply(measure, (kind, count))
    record("metrics", figures)
    raw = figures[f"raw operator, {DEPLOYMENTS[0]} deployments"]
    return int(any(statistics.quantiles(taken, n=100)[98] > BAR_MS for rounds in raw.values() for taken in rounds))


if __name__ == "__main__":
    raise SystemExit(main())

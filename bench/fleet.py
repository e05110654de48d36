"""The series of a fleet: 8 pods of each deployment, and two replicas each of operator and autoscaler.

Engine and agent are run under load and scraped; of operator and autoscaler there is every series that their catalogues
allow, because what a fleet of 100 deployments makes them count is not to be had on one machine.
"""

import contextlib
import http.client
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import product
from typing import Any, Final

from remote_write import Series, Template, scrape, series, templates

from autoglm_operator import metrics as operator_metrics
from autoglm_operator.autoscaler import metrics as autoscaler_metrics
from autoglm_operator.metric import Metric, Per

PODS: Final = 8
NAMESPACES: Final = 10
_MODEL: Final = "zai-org/AutoGLM-Phone-9B"
_CLIENTS: Final = 6
#: Names that a label with a bare number as its bound stands for here.
_MADE_UP: Final = 4
_SYSTEM: Final = "autoglm-system"
_UP: Final = Template("up", {}, 1.0, None, whole=True)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def programs() -> tuple[list[Template], list[Template]]:
    """Run engine and agent under load and return the series of each."""
    engine, agent = free_port(), free_port()
    python = [sys.executable, "-m"]
    served = [
        *python,
        "autoglm_simulator",
        "serve",
        _MODEL,
        "--host",
        "127.0.0.1",
        "--port",
        str(engine),
    ]
    replayed = [
        *python,
        "autoglm_agent",
        "--source",
        "replay",
        "--gpus",
        "1",
        "--engine-url",
        f"http://127.0.0.1:{engine}",
    ]
    processes = [
        subprocess.Popen(served),
        subprocess.Popen([*replayed, "--listen", f"127.0.0.1:{agent}"], stderr=subprocess.DEVNULL),
    ]
    stop = threading.Event()
    clients = [threading.Thread(target=_load, args=(engine, number, stop)) for number in range(_CLIENTS)]
    try:
        for client in clients:
            client.start()
        time.sleep(10)
        first = [scrape(f"http://127.0.0.1:{port}/metrics") for port in (engine, agent)]
        time.sleep(20)
        second = [scrape(f"http://127.0.0.1:{port}/metrics") for port in (engine, agent)]
    finally:
        stop.set()
        for client in clients:
            client.join()
        for process in processes:
            process.terminate()
            process.wait(timeout=15)
    both = [templates(a, b, later - earlier) for (earlier, a), (later, b) in zip(first, second, strict=True)]
    return both[0], both[1]


def _load(port: int, number: int, stop: threading.Event) -> None:
    size = 20
    while not stop.wait(0.1):
        size = size * 7 % 397 + 5
        prompt = f"client {number} asks " + "word " * size
        body = json.dumps({"model": _MODEL, "prompt": prompt, "max_tokens": size, "ignore_eos": True})
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("POST", "/v1/completions", body, {"Content-Type": "application/json"})
            connection.getresponse().read()
        connection.close()


def whole_fleet(deployments: int, engine: list[Template], agent: list[Template]) -> Iterator[Series]:
    """Yield every series: of each pod, and of two replicas each of operator and autoscaler."""
    owners = [(f"team-{number % NAMESPACES}", f"model-{number:03}") for number in range(deployments)]
    for (namespace, name), pod in product(owners, range(PODS)):
        address = f"10.1.{int(name[-3:])}.{pod}"
        common = {
            "namespace": namespace,
            "pod": f"{name}-5d9f7c4b8-{pod:05x}",
            "job": f"{namespace}/{name}",
            "autoglm_io_deployment": name,
        }
        for container, endpoint, port, found in (("engine", "http", 8000, engine), ("agent", "agent", 9410, agent)):
            target = {**common, "container": container, "endpoint": endpoint, "instance": f"{address}:{port}"}
            yield from (series(template, target) for template in (*found, _UP))
    # Of the operator only the leader publishes; both replicas of the autoscaler do.
    processes = (
        ("operator", 1, operator_metrics.CATALOGUE),
        ("autoscaler", 2, autoscaler_metrics.CATALOGUE),
    )
    for component, replicas, catalogue in processes:
        for replica in range(replicas):
            target = {"namespace": _SYSTEM, "pod": f"autoglm-{component}-{replica}", "container": component}
            target |= {"job": f"{_SYSTEM}/autoglm-control-plane", "endpoint": "http"}
            target |= {"instance": f"10.0.0.{replica}:8080"}
            yield series(_UP, target)
            for metric in catalogue:
                yield from (series(template, target) for template in catalogued(metric, owners))


def catalogued(metric: Metric, owners: list[tuple[str, str]]) -> Iterator[Template]:
    """Yield every series that a metric may have, on one process."""
    own = [label for label in metric.labels if label.name not in {"namespace", "name"}]
    choices = [_values(label.bound) for label in own]
    for owner in owners if metric.per is Per.DEPLOYMENT else [None]:
        base = dict(zip(("namespace", "name"), owner, strict=True)) if owner else {}
        for combination in product(*choices):
            labels = base | dict(zip((label.name for label in own), combination, strict=True))
            yield from _lines(metric, labels)


def _values(bound: Any) -> tuple[str, ...]:
    if isinstance(bound, tuple):
        return bound
    return tuple(f"value-{number}" for number in range(min(bound, _MADE_UP))) if isinstance(bound, int) else ("1",)


def _lines(metric: Metric, labels: dict[str, str]) -> Iterator[Template]:
    if metric.type == "histogram":
        bounds = [*(f"{bound:g}" for bound in metric.buckets), "+Inf"]
        for number, bound in enumerate(bounds, 1):
            share = number / len(bounds)
            yield Template(f"{metric.name}_bucket", {**labels, "le": bound}, 1000 * share, 5 * share, whole=True)
        yield Template(f"{metric.name}_count", labels, 1000, 5, whole=True)
        yield Template(f"{metric.name}_sum", labels, 100, 0.5, whole=False)
    elif metric.type == "counter":
        yield Template(metric.name, labels, 1000, 2, whole=True)
    else:
        yield Template(metric.name, labels, 1.0, None, whole=metric.type == "info")

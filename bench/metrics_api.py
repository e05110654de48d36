"""The metrics API under the load of 5,000 HPAs: directly as the front proxy, and through the real aggregation layer.

333 GETs a second, each at a time fixed beforehand, are what the HPA controller would send for 5,000 objects each 15 s.
Latency counts from that time, so a server that falls behind shows it. A bare aiohttp server with the same TLS, in the
same run, directly and behind the same layer, is what cannot be undercut in this language; figures are given beside it.
"""

import asyncio
import base64
import os
import random
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from typing import Any

import aiohttp
from harness import control_plane, record, resident_mib, spread

from autoglm_operator.kube.client import Client
from autoglm_operator.kube.connection import Connection
from localcluster.pki import Authority, Identity

DEPLOYMENTS = 5000
RATE = 333.0
SECONDS = 20.0
RUNS = 3
GROUP = "custom.metrics.k8s.io"
VERSION = "v1beta2"
#: Of the bare server behind the aggregation layer: what that layer costs by itself.
BARE_GROUP = "bare.bench.autoglm.io"
OBJECT = f"{VERSION}/namespaces/bench/autoglmdeployments.autoglm.io/d-{{:04d}}/autoglm_desired_replicas"
HPA = "system:serviceaccount:kube-system:horizontal-pod-autoscaler"
HPA_GROUP = "system:serviceaccounts"
BARS = {"direct, P99 ms": 5.0, "through the aggregator, P99 ms": 15.0, "CPU-ms per GET": 1.0, "RSS, MiB": 100.0}


@dataclass(frozen=True)
class Load:
    """What one run measured: latencies in ms, failures, and CPU seconds of the server."""

    latencies: list[float]
    failed: int
    cpu: float

    def percentile(self, percent: int) -> float:
        """Return a percentile of the latency in ms."""
        return quantiles(self.latencies, n=100)[percent - 1]


async def drive(get: Callable[[int], Awaitable[int]], pid: int, seed: int) -> Load:
    """Send the load and return what it measured."""
    rng = random.Random(seed)
    loop = asyncio.get_running_loop()
    latencies: list[float] = []
    failed = 0

    async def one(due: float, index: int) -> None:
        nonlocal failed
        ok = await get(index) == 200  # noqa: PLR2004  # HTTP
        latencies.append((loop.time() - due) * 1000)
        failed += not ok

    before, start = cpu_seconds(pid), loop.time() + 0.5
    async with asyncio.TaskGroup() as tasks:
        for number in range(int(RATE * SECONDS)):
            due = start + number / RATE
            if (pause := due - loop.time()) > 0:
                await asyncio.sleep(pause)
            tasks.create_task(one(due, rng.randrange(DEPLOYMENTS)))
    return Load(latencies, failed, cpu_seconds(pid) - before)


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def getter(
    session: aiohttp.ClientSession, base: str, headers: dict[str, str] | None = None, group: str = GROUP
) -> Callable[[int], Any]:
    """Return a function that reads the metric of one deployment."""

    async def get(index: int) -> int:
        async with session.get(f"{base}/apis/{group}/{OBJECT.format(index)}", headers=headers) as answer:
            await answer.read()
            return answer.status

    return get


async def available(get: Callable[[int], Awaitable[int]]) -> None:
    """Return once the aggregation layer passes requests on."""
    for _ in range(120):
        if await get(0) == 200:  # noqa: PLR2004  # HTTP
            return
        await asyncio.sleep(0.5)
    raise SystemExit("the API server passes nothing on to the metrics API")


async def register(client: Client, name: str, group: str, address: tuple[str, int], authority: bytes) -> None:
    """Make the server at `address` the backend of an API group."""
    host, port = address
    service = {"metadata": {"name": name}, "spec": {"ports": [{"port": 443}]}}
    await client.request("POST", "/api/v1/namespaces/bench/services", body=service)
    endpoints = {
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [host], "conditions": {"ready": True}}],
        "ports": [{"port": port, "protocol": "TCP"}],
    }
    await client.request("POST", "/apis/discovery.k8s.io/v1/namespaces/bench/endpointslices", body=endpoints)
    spec = {
        "group": group,
        "version": VERSION,
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
        "service": {"namespace": "bench", "name": name, "port": 443},
        "caBundle": base64.b64encode(authority).decode(),
    }
    body = {"metadata": {"name": f"{VERSION}.{group}"}, "spec": spec}
    await client.request("POST", "/apis/apiregistration.k8s.io/v1/apiservices", body=body)


@dataclass(frozen=True)
class Place:
    """Where everything is.

    Attributes:
        port: of the metrics API; the bare server has the next one.
        folder: with the serving certificates.
    """

    kubeconfig: Path
    host: str
    port: int
    folder: Path


def measure(kubeconfig: Path, host: str, folder: Path) -> dict[str, Any]:
    """Run everything and return the figures."""
    port = random.randint(20000, 32000)
    authority = Authority(folder, "serving-ca", "bench-ca")
    authority.issue("server", Identity("metrics", hosts=("metrics.bench.svc", "bare.bench.svc", host)))
    bare = subprocess.Popen([sys.executable, __file__, "bare", host, str(port + 1), str(folder)])
    command = [sys.executable, str(Path(__file__).with_name("metrics_api_server.py"))]
    command += [str(kubeconfig), host, str(port), str(folder), str(DEPLOYMENTS)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None  # noqa: S101  # a pipe was asked for
        if server.stdout.readline().strip() != b"ready":
            raise SystemExit("the metrics API did not start")
        return asyncio.run(runs(Place(kubeconfig, host, port, folder), server.pid, bare.pid))
    finally:
        for process in (server, bare):
            process.terminate()
            process.wait(10)


async def runs(place: Place, pid: int, bare: int) -> dict[str, Any]:
    """Measure each way in turn, several times."""
    proxy = ssl.create_default_context(cafile=str(place.folder / "serving-ca.crt"))
    pki = place.kubeconfig.parent / "pki"
    proxy.load_cert_chain(pki / "front-proxy-client.crt", pki / "front-proxy-client.key")
    headers = {"X-Remote-User": HPA, "X-Remote-Group": HPA_GROUP}
    connection = Connection.from_kubeconfig(place.kubeconfig)
    async with Client(connection, user_agent="bench") as client:
        await client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "bench"}})
        authority = (place.folder / "serving-ca.crt").read_bytes()
        await register(client, "metrics", GROUP, (place.host, place.port), authority)
        await register(client, "bare", BARE_GROUP, (place.host, place.port + 1), authority)
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=proxy, limit=32)) as direct,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=connection.ssl_context, limit=32)) as admin,
    ):
        caller = {"Impersonate-User": HPA, "Impersonate-Group": HPA_GROUP}
        through = getter(admin, connection.server, caller)
        # Of a group that the HPA controller may not read; what it costs to be let in is the same.
        bare_through = getter(admin, connection.server, None, BARE_GROUP)
        for get in (through, bare_through):
            await available(get)
        ways = {
            "bare aiohttp": (getter(direct, f"https://{place.host}:{place.port + 1}", headers), bare),
            "direct": (getter(direct, f"https://{place.host}:{place.port}", headers), pid),
            "bare aiohttp, through the aggregator": (bare_through, bare),
            "through the aggregator": (through, pid),
        }
        found: dict[str, list[Load]] = {name: [] for name in ways}
        for number in range(RUNS):
            for name, (get, process) in ways.items():
                print(f"run {number + 1}/{RUNS}: {name}, {SECONDS:.0f} s ...", flush=True)
                found[name].append(await drive(get, process, number))
    figures: dict[str, Any] = {"objects": DEPLOYMENTS, "GETs a second": RATE, "load average": os.getloadavg()}
    for name, loads in found.items():
        for percent in (50, 99):
            values = [load.percentile(percent) for load in loads]
            figures[f"{name}, P{percent} ms"] = round(sorted(values)[len(values) // 2], 2)
            figures[f"{name}, P{percent} ms, spread"] = spread(values)
        figures[f"{name}, failed"] = sum(load.failed for load in loads)
        per_get = [load.cpu * 1000 / len(load.latencies) for load in loads]
        figures[f"{name}, CPU-ms per GET, spread"] = spread(per_get)
        if name == "direct":
            figures["CPU-ms per GET"] = round(sorted(per_get)[len(per_get) // 2], 3)
    figures["RSS, MiB"] = round(resident_mib(pid), 1)
    return figures


async def serve_bare(host: str, port: int, folder: str) -> None:
    """Answer every request with the same bytes."""
    from aiohttp import web  # noqa: PLC0415  # only the child needs it

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(Path(folder, "server.crt"), Path(folder, "server.key"))

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * 420, content_type="application/json")

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port, ssl_context=context).start()
    await asyncio.Event().wait()


def main() -> int:
    """Measure, record, and say which bars are met."""
    with control_plane("bench-metrics-api") as plane, tempfile.TemporaryDirectory() as folder:
        time.sleep(5)
        figures = measure(plane.kubeconfig, plane.host_address, Path(folder))
    record("metrics_api", figures)
    missed = [name for name, most in BARS.items() if figures[name] > most]
    failed = sum(value for key, value in figures.items() if key.endswith(", failed"))
    for name, most in BARS.items():
        print(f"  {name:<44} {figures[name]:.2f} of {most:g}{'  MISSED' if name in missed else ''}")
    return 1 if missed or failed else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["bare"]:
        asyncio.run(serve_bare(sys.argv[2], int(sys.argv[3]), sys.argv[4]))
    else:
        sys.exit(main())

"""From a step of demand to the write of `/scale`: by the autoscaler itself, and by the HPA alone.

Operator, autoscaler, API server and controller-manager are real. There is no node: pods are made Ready by hand, and one
stand-in for engines answers the scrapes of all of them with what a real engine said once, each on a loopback address of
its own. A step is 40 requests that wait in one deployment from a moment on; its end is the write as the API server's
audit log has it. For the HPA alone, the right to write `/scale` is taken from the autoscaler.
"""

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from statistics import mean, median
from typing import Any, Final

from autoscaler_process import NAMESPACE, autoscaler, grant, install
from harness import OUTPUT, ControlPlane, control_plane, operator, record, resident_mib
from operator_scale import install_crd, make_namespace
from stand_in_engines import StandInEngines, address, standing_in

from autoglm_operator.api import names
from autoglm_operator.kube import resources
from autoglm_operator.kube.client import Client, Document
from autoglm_operator.kube.connection import Connection
from autoglm_operator.settings import Settings

_WAITING: Final = 40
_MOST: Final = 10
#: Seconds that a step may take at most: an HPA of 1,000 is visited each 50 s.
_PATIENCE: Final = 180.0
_IN_FLIGHT: Final = 16
BAR_SECONDS: Final = 3.0


def deployment(number: int) -> Document:
    """Return one AutoGLMDeployment."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": f"d-{number:04d}", "namespace": NAMESPACE},
        "spec": {
            "model": {"source": {"huggingFace": "zai-org/AutoGLM-Phone-9B"}},
            "engine": {"type": "Simulator", "batching": {"maxNumSeqs": 16}},
            "resources": {"gpu": {"count": 0}},
            "autoscaling": {"maxReplicas": _MOST},
        },
    }


async def at_once(calls: list[Callable[[], Any]]) -> None:
    """Make calls, some at a time."""
    gate = asyncio.Semaphore(_IN_FLIGHT)

    async def one(call: Callable[[], Any]) -> None:
        async with gate:
            await call()

    await asyncio.gather(*(one(call) for call in calls))


def still_run(processes: list[subprocess.Popen[bytes]]) -> None:
    """End if a program has ended: on a machine that is too busy the operator loses its Lease."""
    if any(process.poll() is not None for process in processes):
        raise SystemExit(f"operator or autoscaler has ended; see the logs in {OUTPUT}")


async def fill(client: Client, deployments: int, processes: list[subprocess.Popen[bytes]]) -> dict[str, str]:
    """Create the deployments, wait for their pods and make these Ready; return the address of each one's pod."""
    await at_once([lambda number=number: client.create(deployment(number)) for number in range(deployments)])  # type: ignore[misc]
    path, ready, last = resources.path("v1", "Pod", NAMESPACE), {}, time.monotonic()
    while len(ready) < deployments:
        pods, _ = await client.list_all(path)
        new = [pod for pod in pods if pod["metadata"]["labels"][names.LABEL_DEPLOYMENT] not in ready]
        calls = []
        for pod in new:
            name = pod["metadata"]["labels"][names.LABEL_DEPLOYMENT]
            ready[name] = address(len(ready))
            calls.append(lambda pod=pod, ip=ready[name]: make_ready(client, pod, ip))
        await at_once(calls)  # type: ignore[arg-type]
        last = time.monotonic() if new else last
        if time.monotonic() - last > _PATIENCE:
            raise SystemExit(f"{len(ready)} of {deployments} pods were made; see {OUTPUT / 'operator.log'}")
        still_run(processes)
        print(f"{len(ready)} of {deployments} pods", flush=True)
        await asyncio.sleep(2.0)
    return ready


async def make_ready(client: Client, pod: Document, ip: str) -> None:
    """Say of a pod what a kubelet says once its containers answer."""
    status = {
        "phase": "Running",
        "podIP": ip,
        "podIPs": [{"ip": ip}],
        "conditions": [{"type": "Ready", "status": "True"}],
    }
    path = resources.path("v1", "Pod", NAMESPACE, pod["metadata"]["name"], "status")
    await client.request("PATCH", path, body={"status": status}, content_type="application/merge-patch+json")


async def settled(client: Client, deployments: int, processes: list[subprocess.Popen[bytes]]) -> None:
    """Return once every deployment says that its HPA writes replicas, and every HPA reads the metric."""
    start = time.monotonic()
    while True:
        documents, _ = await client.list_all(resources.path(names.API_VERSION, names.KIND, NAMESPACE))
        conditions = [
            item["status"]
            for document in documents
            for item in document.get("status", {}).get("conditions", [])
            if item["type"] == "ScalingActive"
        ]
        told = sum(document.get("status", {}).get("actuation", {}).get("path") == "HPA" for document in documents)
        active = conditions.count("True")
        print(f"{told} of {deployments} by HPA, {active} active", flush=True)
        if told == active == deployments:
            return
        still_run(processes)
        if time.monotonic() - start > 10 * _PATIENCE:
            raise SystemExit("not every HPA reads the metric; see the logs in .local/bench/")
        await asyncio.sleep(5.0)


class Writes:
    """Reads the writes of `/scale` from the audit log, from the moment this was made."""

    def __init__(self, log: Path) -> None:
        self._log, self._offset = log, log.stat().st_size

    def new(self) -> Iterator[tuple[str, str, float]]:
        """Yield name, user and Unix time of receipt of each write that succeeded since the last call."""
        with self._log.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                if b"/scale" not in line:
                    continue
                event = json.loads(line)
                done = event["stage"] == "ResponseComplete" and event["responseStatus"]["code"] == 200  # noqa: PLR2004
                if done and event["verb"] in {"patch", "update"} and event["objectRef"].get("subresource") == "scale":
                    at = datetime.fromisoformat(event["requestReceivedTimestamp"]).timestamp()
                    yield event["objectRef"]["name"], event["user"]["username"], at


async def run_steps(
    writes: Writes, engines: StandInEngines, pods: dict[str, str], span: float, rng: random.Random
) -> list[dict[str, Any]]:
    """Let requests wait in each of `pods`, all within `span` seconds; return how long each took to be written.

    Deployments do not wait for each other: some of many that step at the same time are no more load than one.
    """
    for _ in writes.new():
        pass
    begin = time.time()
    due = sorted((begin + rng.uniform(0.0, span), name) for name in pods)
    started: dict[str, float] = {}
    found: list[dict[str, Any]] = []
    while len(found) < len(due) and time.time() < begin + span + _PATIENCE:
        while len(started) < len(due) and due[len(started)][0] <= time.time():
            name = due[len(started)][1]
            started[name] = time.time()
            engines.waiting[pods[name]] = _WAITING
        await asyncio.sleep(0.05)
        for name, user, at in writes.new():
            if (start := started.get(name)) is not None and all(item["deployment"] != name for item in found):
                found.append({"deployment": name, "by": user.rpartition(":")[2], "seconds": round(at - start, 3)})
                print(found[-1], flush=True)
    written = {item["deployment"] for item in found}
    return found + [{"deployment": name, "by": "nobody", "seconds": None} for name in pods if name not in written]


def hpa_period(hpas: int) -> float:
    """Return how often the HPA controller visits an HPA, in seconds: 20 a second at most, by its defaults."""
    return max(15.0, hpas / 20)


def cpu_seconds(process: int) -> float:
    """Return the CPU time of a process so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def summary(steps: list[dict[str, Any]]) -> dict[str, Any]:
    """Return mean, median and longest of the steps, and who wrote."""
    times = [item["seconds"] for item in steps if item["seconds"] is not None]
    by = {user: sum(item["by"] == user for item in steps) for user in sorted({item["by"] for item in steps})}
    if not times:
        return {"steps": len(steps), "by": by}
    return {
        "steps": len(steps),
        "mean": round(mean(times), 3),
        "median": round(median(times), 3),
        "longest": max(times),
        "by": by,
    }


async def measure(plane: ControlPlane, deployments: int, steps: int, folder: Path) -> dict[str, Any]:
    """Run everything and return the figures."""
    rng = random.Random(deployments)
    async with (
        Client(Connection.from_kubeconfig(plane.kubeconfig), user_agent="bench") as client,
        standing_in() as engines,
    ):
        await install_crd(client)
        await make_namespace(client, NAMESPACE)
        kubeconfig = await install(client, plane, folder)
        environment = {"METRICS_API_SERVICE": f"{NAMESPACE}/autoscaler"}
        with (
            autoscaler(kubeconfig, folder) as process,
            operator(plane, OUTPUT / "operator.log", **environment) as operating,
        ):
            pods = await fill(client, deployments, [process, operating])
            await settled(client, deployments, [process, operating])
            before, start, scraped = cpu_seconds(process.pid), time.monotonic(), engines.scrapes
            writes, found = Writes(plane.audit_log), {}
            chosen = rng.sample(sorted(pods), 2 * steps)
            for way, part in (("itself", chosen[:steps]), ("HPA alone", chosen[steps:])):
                await grant(client, scale=way == "itself")
                # The API server's authorizer learns of a right that is taken within a second.
                await asyncio.sleep(5.0)
                print(way, flush=True)
                # At any moment of the writer's period, and not all in one scrape.
                period = steps * Settings().scrape_interval if way == "itself" else hpa_period(deployments)
                found[way] = await run_steps(writes, engines, {name: pods[name] for name in part}, period, rng)
                still_run([process, operating])
            passed = time.monotonic() - start
            return {
                "deployments": deployments,
                "scrape interval, s": Settings().scrape_interval,
                "load average": os.getloadavg(),
                "step to /scale, s": summary(found["itself"]),
                "step to /scale by the HPA alone, s": summary(found["HPA alone"]),
                "autoscaler, share of a core": round((cpu_seconds(process.pid) - before) / passed, 3),
                "autoscaler RSS, MiB": round(resident_mib(process.pid), 1),
                "scrapes a second": round((engines.scrapes - scraped) / passed, 1),
                "raw": found,
            }


def main() -> int:
    """Measure, record, and say whether the bar is met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deployments", type=int, default=1000, help="at least twice the steps")
    parser.add_argument("--steps", type=int, default=20, help="of each way")
    options = parser.parse_args()
    if options.deployments < 2 * options.steps:
        parser.error(f"--deployments {options.deployments}: each of 2 * {options.steps} steps takes a deployment")
    OUTPUT.mkdir(parents=True, exist_ok=True)
    # Pods have loopback addresses, which the API server refuses as endpoints: it would be asked again for ever.
    controllers = "--controller-manager-arg=--controllers=*,-endpoints-controller,-endpointslice-controller"
    with control_plane("bench-reaction", controllers) as plane, tempfile.TemporaryDirectory() as folder:
        figures = asyncio.run(measure(plane, options.deployments, options.steps, Path(folder)))
    record("reaction", figures)
    for way in ("step to /scale, s", "step to /scale by the HPA alone, s"):
        print(f"  {way:<44} {figures[way]}")
    longest = figures["step to /scale, s"].get("longest")
    own = figures["step to /scale, s"]["by"].get("autoscaler", 0) == options.steps
    return 0 if own and longest is not None and longest <= BAR_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())

"""The demo from warm caches, as a user runs it, and what its processes cost while they run."""

import asyncio
import json
import re
import statistics
import subprocess
import time
from pathlib import Path

import httpx
from harness import BIN, ROOT, record

from autoglm_demo.settings import NAMESPACE, SYSTEM_NAMESPACE
from autoglm_operator.api import names
from autoglm_operator.api.signals import DESIRED_REPLICAS
from autoglm_operator.kube import resources
from autoglm_operator.kube.client import Client
from autoglm_operator.kube.connection import Connection

GETS = 500


def main() -> None:
    """Run the demo, measure on its cluster, take it down, and record."""
    demo = str(BIN / "autoglm-demo")
    subprocess.run([demo, "down"], check=True)
    start = time.monotonic()
    subprocess.run([demo, "up"], check=True)
    duration = time.monotonic() - start
    try:
        command = [str(BIN / "localcluster"), "kubeconfig", "--name", "autoglm"]
        kubeconfig = Path(subprocess.check_output(command, text=True).strip())
        costs = asyncio.run(measure(kubeconfig))
    finally:
        subprocess.run([demo, "down"], check=True)
    summary = json.loads((ROOT / ".local/demo/summary.json").read_text())
    record("demo", {"make demo, warm caches, s": round(duration, 1), **summary, **costs})


async def measure(kubeconfig: Path) -> dict[str, object]:
    """Return the memory of each process and the time of a metric read through the aggregation layer."""
    async with Client(Connection.from_kubeconfig(kubeconfig)) as client:
        pods, _ = await client.list_all(resources.path("v1", "Pod", SYSTEM_NAMESPACE))
        memory = {_process(pod): _resident_mib(pod["status"]["podIP"]) for pod in pods}
        path = f"/apis/custom.metrics.k8s.io/v1beta2/namespaces/{NAMESPACE}/{names.PLURAL}.{names.GROUP}"
        seconds = []
        for _ in range(GETS):
            start = time.perf_counter()
            await client.request("GET", f"{path}/autoglm-phone/{DESIRED_REPLICAS.name}")
            seconds.append(time.perf_counter() - start)
    cuts = statistics.quantiles(seconds, n=100)
    figures: dict[str, object] = {f"RSS of {name}, MiB": value for name, value in sorted(memory.items())}
    figures["GET of a metric through the aggregator, P50 ms"] = round(cuts[49] * 1000, 2)
    figures["GET of a metric through the aggregator, P99 ms"] = round(cuts[98] * 1000, 2)
    return figures


def _process(pod: dict[str, dict[str, str]]) -> str:
    return pod["metadata"]["name"].removeprefix("autoglm-")


def _resident_mib(address: str) -> float:
    text = httpx.get(f"http://{address}:8080/metrics", timeout=10).text
    found = re.search(r"^process_resident_memory_bytes (\S+)", text, re.MULTILINE)
    if found is None:
        raise SystemExit(f"{address} does not tell its memory")
    return round(float(found[1]) / 2**20, 1)


if __name__ == "__main__":
    main()

"""How long each dashboard query takes with 100 deployments of 8 pods, as Grafana sends it, on a real Prometheus.

An hour of the whole fleet (`fleet.py`) goes into a Prometheus of its own, the recording rules are reckoned over it, and
each query is sent for that hour at 1000 pixels. Exit status 1 if one takes longer than the bar.
"""

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import remote_write
import yaml
from fleet import PODS, free_port, programs, whole_fleet
from harness import BIN, ROOT, record

from autoglm_demo import grafana
from autoglm_demo.promapi import Prometheus

DEPLOYMENTS: Final = 100
SCRAPE_SECONDS: Final = 15.0
HISTORY_SECONDS: Final = 3600.0
RUNS: Final = 5
BAR_MS: Final = 200.0
BOARDS: Final = ROOT / "dashboards"
RULES: Final = ROOT / "dashboards/alerts/autoglm.rules.yaml"
#: What a link from the overview chooses.
ONE: Final = {"namespace": "team-0", "deployment": "model-000"}
#: Prometheus looks for new blocks once a minute.
_BLOCKS_SECONDS: Final = 75.0


@dataclass(frozen=True, slots=True)
class Server:
    """A Prometheus of its own, and where its data lie."""

    url: str
    folder: Path
    process: int


def main() -> int:
    """Fill a Prometheus, time every query, record, and return 1 if one is over the bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deployments", type=int, default=DEPLOYMENTS)
    parser.add_argument("--slowest", type=int, default=10, help="how many to print; default %(default)s")
    arguments = parser.parse_args()
    engine, agent = programs()
    with prometheus() as server, Prometheus(server.url) as client:
        end = time.time() // SCRAPE_SECONDS * SCRAPE_SECONDS
        view = grafana.View(end - HISTORY_SECONDS, end, scrape_seconds=SCRAPE_SECONDS)
        series = list(whole_fleet(arguments.deployments, engine, agent))
        began = time.monotonic()
        samples = remote_write.write(server.url, series, view.start, view.end, SCRAPE_SECONDS)
        print(f"{len(series)} series, {samples} samples in {time.monotonic() - began:.0f} s", flush=True)
        reckon(server, client, view)
        taken = timings(server, client, view, {})
        one = timings(server, client, view, ONE)
        rules = sorted(client.rules(), key=lambda rule: -rule["evaluationTime"])
    slowest = sorted(taken, key=lambda item: -item["ms"])
    over = [item for item in taken if item["ms"] > BAR_MS]
    figures = {
        "deployments": arguments.deployments,
        "load average at the start": os.getloadavg()[0],
        "pods of each": PODS,
        "series": len(series),
        "queries": len(taken),
        "queries without an answer": sum(not item["series"] for item in taken),
        f"queries over {BAR_MS:g} ms": len(over),
        f"queries over {BAR_MS:g} ms of CPU time": sum(item["CPU ms"] > BAR_MS for item in taken),
        "slowest query, ms": slowest[0]["ms"],
        "median query, ms": statistics.median(item["ms"] for item in taken),
        "slowest query of one deployment, ms": max(item["ms"] for item in one),
        "slowest query of one deployment, ms of CPU time": max(item["CPU ms"] for item in one),
        "rules": len(rules),
        "slowest rule, ms": round(rules[0]["evaluationTime"] * 1000, 1) if rules else None,
        "all rules together, ms": round(sum(rule["evaluationTime"] for rule in rules) * 1000, 1),
        "raw": slowest,
        "raw of one deployment": sorted(one, key=lambda item: -item["ms"]),
        "raw rules": {f"{rule['name']} {rule['query']}": rule["evaluationTime"] for rule in rules},
    }
    record("dashboards", figures)
    for item in slowest[: arguments.slowest]:
        print(f"  {item['ms']:8.1f} ms, {item['CPU ms']:8.1f} of CPU  {item['query']}")
    return 1 if over else 0


@contextlib.contextmanager
def prometheus() -> Iterator[Server]:
    """Run an empty Prometheus that takes remote writes."""
    folder = Path(tempfile.mkdtemp(prefix="autoglm-dashboards-"))
    # The rules come after the history: what they record now would make Prometheus refuse what is an hour old.
    (folder / "prometheus.yml").write_text("{}\n")
    url = f"http://127.0.0.1:{free_port()}"
    command = [_tool("prometheus"), f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    command += [f"--web.listen-address={url.removeprefix('http://')}", "--web.enable-remote-write-receiver"]
    command += ["--web.enable-lifecycle"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stderr=log)
    try:
        with Prometheus(url) as client:
            while not client.is_ready():
                if process.poll() is not None:
                    raise SystemExit(f"Prometheus ended: {(folder / 'log').read_text()[-2000:]}")
                time.sleep(0.2)
        yield Server(url, folder, process.pid)
    finally:
        process.terminate()
        process.wait(timeout=60)
        shutil.rmtree(folder)


def cpu_seconds(process: int) -> float:
    """Return the CPU time of all threads of a process."""
    threads = Path(f"/proc/{process}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


def _tool(name: str) -> str:
    return subprocess.check_output([str(BIN / "localcluster"), "tool", name], text=True).strip()


def reckon(server: Server, client: Prometheus, view: grafana.View) -> None:
    """Write what the recording rules would have recorded in the range, which panels may read, and let the rules run."""
    (server.folder / "prometheus.yml").write_text(yaml.safe_dump({"rule_files": [str(RULES)]}))
    client.reload()
    command = [_tool("promtool"), "tsdb", "create-blocks-from", "rules", f"--url={server.url}"]
    command += [f"--start={view.start:.0f}", f"--end={view.end:.0f}", f"--output-dir={server.folder}/data", str(RULES)]
    answer = subprocess.run(command, check=False, capture_output=True, text=True)
    if answer.returncode:
        raise SystemExit(f"promtool could not reckon the recording rules: {answer.stderr[-2000:]}")
    time.sleep(_BLOCKS_SECONDS)


def timings(server: Server, client: Prometheus, view: grafana.View, chosen: dict[str, str]) -> list[dict[str, Any]]:
    """Send each query `RUNS` times, with some variables chosen, and return what each took and its answer's size."""
    taken = []
    for path in sorted(BOARDS.glob("*.json")):
        dashboard = json.loads(path.read_text())
        values = grafana.variables(dashboard, client, view, chosen)
        taken += [timed(server, client, query) for query in grafana.queries(dashboard, values, view)]
    return taken


def timed(server: Server, client: Prometheus, query: grafana.Query) -> dict[str, Any]:
    """Return what one query took, the median of its runs: on the wall clock, and of Prometheus' CPU time.

    CPU time says what a query costs where others use the machine too; the bar is on the wall clock.
    """
    view, milliseconds, processor, answer = query.view, [], [], []
    for _ in range(RUNS):
        start, used = time.perf_counter(), cpu_seconds(server.process)
        if query.instant:
            answer = client.instant(query.expression, view.end)
        else:
            step = view.interval
            answer = client.range(query.expression, view.start // step * step, view.end // step * step, step)
        milliseconds.append((time.perf_counter() - start) * 1000)
        processor.append((cpu_seconds(server.process) - used) * 1000)
        if milliseconds[0] > 10 * BAR_MS:
            break
    return {
        "query": query.name,
        "ms": round(statistics.median(milliseconds), 1),
        "CPU ms": round(statistics.median(processor), 1),
        "runs, ms": [round(value, 1) for value in milliseconds],
        "series": len(answer),
        "expression": query.expression,
    }


if __name__ == "__main__":
    sys.exit(main())

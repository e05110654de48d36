"""The demo's Prometheus: that of a demo which runs, or of one that is brought up and taken down again."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from autoglm_demo import grafana, monitoring
from autoglm_demo.promapi import Prometheus
from autoglm_demo.settings import NAMESPACE, OUTPUT, SCRAPE_INTERVAL, Load, Target

sys.path.append(str(Path(__file__).parent))  # tests are not a package
import events
import replay

HERE = Path(__file__).parent
DEMO = Path(sys.executable).parent / "autoglm-demo"
#: Name of the deployment that a recorded engine stands for.
RECORDED = "recorded"
_SCRAPES = 8


@dataclass(frozen=True)
class Monitored:
    """A Prometheus that has seen the demo.

    Attributes:
        client: asks it.
        view: the range from just before the demo's load to now.
        busy: a moment in the middle of the spike.
    """

    client: Prometheus
    view: grafana.View
    busy: float


@pytest.fixture(scope="session")
def demo() -> Iterator[str]:
    """Bring the demo up unless its Prometheus answers already, and yield the URL."""
    cluster = Target().cluster
    url = monitoring.url(cluster)
    if url is not None:
        with Prometheus(url) as client:
            if client.is_ready():
                yield url
                return
    subprocess.run([DEMO, "up", "--prometheus"], check=True)
    try:
        found = monitoring.url(cluster)
        assert found is not None
        yield found
    finally:
        subprocess.run([DEMO, "down"], check=True)


@pytest.fixture(scope="session")
def monitored(demo: str) -> Iterator[Monitored]:
    """Let Prometheus scrape the recordings beside the demo for a while."""
    expositions = replay.recordings(HERE / "recordings")
    expositions |= {name: replay.Recording(text, text) for name, text in events.EXPORTERS.items()}
    expositions["events"] = replay.Recording(*events.expositions(RECORDED))
    server = replay.serve(expositions)
    file = monitoring.home(Target().cluster) / "more/recordings.yaml"
    file.write_text(yaml.safe_dump(_jobs(list(expositions), server.server_address[1])))
    try:
        with Prometheus(demo) as client:
            client.reload()
            time.sleep(_SCRAPES * grafana.duration_seconds(SCRAPE_INTERVAL))
            started = json.loads((OUTPUT / "load.json").read_text())["startedAt"]
            view = grafana.View(started - 60, time.time(), scrape_seconds=grafana.duration_seconds(SCRAPE_INTERVAL))
            load = Load()
            yield Monitored(client, view, started + load.spike_start + load.spike_duration)
    finally:
        file.unlink()
        with Prometheus(demo) as client:
            client.reload()
        server.shutdown()


def _jobs(names: list[str], port: int) -> dict:
    def job(name: str) -> dict:
        labels = {"namespace": NAMESPACE, "pod": f"{name}-0", "container": "engine", "endpoint": "http"}
        labels |= {"job": f"{NAMESPACE}/{RECORDED}", "autoglm_io_deployment": RECORDED}
        targets = [{"targets": [f"127.0.0.1:{port}"], "labels": labels}]
        return {
            "job_name": f"recorded-{name}",
            "metrics_path": f"/{name}/metrics",
            "honor_labels": True,
            "static_configs": targets,
        }

    return {"scrape_configs": [job(name) for name in names]}

"""A real Prometheus beside the demo's cluster: it scrapes what the rendered PodMonitors select and evaluates the rules.

It runs on this machine and not in a pod, because it is built from its Go module like the rest of the cluster; the pods'
network is reachable from here. It belongs to the cluster: `localcluster down` ends it and removes its data.
"""

import json
import time
from pathlib import Path
from typing import Any, Final

import yaml

from autoglm_demo import monitors
from autoglm_demo.commands import DemoError, run, tool
from autoglm_demo.promapi import Prometheus, QueryError
from autoglm_demo.settings import ROOT, SCRAPE_INTERVAL, Target
from localcluster import network, processes, toolchain
from localcluster.paths import ClusterPaths

_CRDS: Final = Path(__file__).parent / "monitoring-crds.yaml"
_START_SECONDS: Final = 30.0
_PORT: Final = 9090


def wanted(target: Target, asked: bool | None) -> bool:
    """Whether the demo gets a Prometheus: if asked for, and unasked where its program is built already.

    Raises:
        DemoError: asked for beside a cluster whose pods this machine need not reach.
    """
    if target.kubeconfig is not None:
        if asked:
            raise DemoError("--prometheus is for the local cluster; on another one use the Prometheus that it has")
        return False
    return not toolchain.missing(["prometheus"]) if asked is None else asked


def make_kinds(kubeconfig: Path) -> None:
    """Make PodMonitor and PrometheusRule known to the cluster; before the chart, which asks for them."""
    run(tool("kubectl"), "apply", "-f", str(_CRDS.relative_to(ROOT)), kubeconfig=kubeconfig)
    kinds = ("podmonitors", "prometheusrules")
    names = [f"crd/{kind}.monitoring.coreos.com" for kind in kinds]
    run(tool("kubectl"), "wait", "--for=condition=Established", "--timeout=30s", *names, kubeconfig=kubeconfig)


def follow(target: Target, kubeconfig: Path) -> str:
    """Make Prometheus scrape and evaluate what the cluster's objects say now; start it if need be; return its URL."""
    folder = home(target.cluster)
    for name in ("rules", "more"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    content = monitors.configuration(
        _objects(kubeconfig, "podmonitors"),
        kubeconfig=str(kubeconfig),
        interval=SCRAPE_INTERVAL,
        rules=str(folder / "rules/*.yaml"),
        more=str(folder / "more/*.yaml"),
    )
    (folder / "prometheus.yml").write_text(yaml.safe_dump(content, sort_keys=False))
    files = monitors.rule_files(_objects(kubeconfig, "prometheusrules"))
    for old in (folder / "rules").iterdir():
        if old.name not in files:
            old.unlink()
    for name, rules in files.items():
        (folder / "rules" / name).write_text(yaml.safe_dump(rules, sort_keys=False))
    return _run(target.cluster)


def home(cluster: str) -> Path:
    """Return the folder of the Prometheus of a cluster; what lies in its folder `more` is scraped too."""
    return ClusterPaths.of(cluster).root / "prometheus"


def url(cluster: str) -> str | None:
    """Return the URL of the Prometheus of a cluster, or `None` where none was started."""
    file = home(cluster) / "url"
    return file.read_text().strip() if file.exists() else None


def _run(cluster: str) -> str:
    present = url(cluster)
    if present is not None:
        with Prometheus(present) as client:
            if client.is_ready():
                try:
                    client.reload()
                except QueryError as error:
                    raise DemoError(str(error)) from error
                return present
    paths, folder = ClusterPaths.of(cluster), home(cluster)
    address = f"127.0.0.1:{network.free_ports({'prometheus': _PORT}, ['127.0.0.1'])['prometheus']}"
    toolchain.ensure(["prometheus"])
    command = [
        str(toolchain.path("prometheus")),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
        "--web.enable-lifecycle",
        "--enable-feature=exemplar-storage",
    ]
    pid = processes.start(paths.root, "prometheus", command, paths.log("prometheus"))
    deadline = time.monotonic() + _START_SECONDS
    with Prometheus(f"http://{address}") as client:
        while not client.is_ready():
            if processes.has_ended(pid) or time.monotonic() > deadline:
                raise DemoError(f"Prometheus did not come up:\n{paths.log('prometheus').read_text()[-2000:]}")
            time.sleep(0.2)
    (folder / "url").write_text(f"http://{address}\n")
    return f"http://{address}"


def _objects(kubeconfig: Path, kind: str) -> list[dict[str, Any]]:
    text = run(tool("kubectl"), "get", kind, "--all-namespaces", "-o", "json", kubeconfig=kubeconfig)
    found: list[dict[str, Any]] = json.loads(text)["items"]
    return found

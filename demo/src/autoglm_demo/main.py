"""`autoglm-demo up|down`: what `make demo` and `make demo-down` run."""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.live import Live

from autoglm_demo import monitoring, steps
from autoglm_demo.commands import DemoError
from autoglm_demo.observe import Observer, Sample
from autoglm_demo.plot import plot
from autoglm_demo.settings import OUTPUT, Load, Target
from autoglm_demo.summary import summarise
from autoglm_demo.table import line, table

Result = TypeVar("Result")
_SAMPLE_SECONDS = 0.5
_LINE_SECONDS = 5.0


def main() -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(prog="autoglm-demo", description="See the operator work on a real cluster.")
    parser.add_argument("command", choices=["up", "down"])
    parser.add_argument(
        "--prometheus",
        action=argparse.BooleanOptionalAction,
        help="a Prometheus beside the cluster, for dashboards and alerts; default: if its program is built already",
    )
    arguments = parser.parse_args()
    console = Console(soft_wrap=True)
    target = Target.from_environ()
    try:
        if arguments.command == "down":
            steps.tear_down(target)
        else:
            _up(console, target, prometheus=monitoring.wanted(target, arguments.prometheus))
    except DemoError as error:
        console.print(f"[red]demo stopped:[/red] {error}", highlight=False)
        return 1
    except KeyboardInterrupt:
        console.print("stopped; `make demo-down` removes the cluster")
        return 130
    return 0


def _step(console: Console, title: str, work: Callable[[], Result]) -> Result:
    start = time.monotonic()
    console.print(f"[bold]{title}[/bold]")
    result = work()
    console.print(f"  done in {time.monotonic() - start:.1f} s", highlight=False)
    return result


def _up(console: Console, target: Target, *, prometheus: bool) -> None:
    load = Load()
    kubeconfig = _step(console, "cluster", lambda: steps.bring_up_cluster(target))
    _step(console, "images", lambda: steps.build_images(target))
    if prometheus:
        monitoring.make_kinds(kubeconfig)
    _step(console, "helm install", lambda: steps.install_chart(target, kubeconfig))
    if prometheus:
        _step(console, "Prometheus", lambda: monitoring.follow(target, kubeconfig))
    observer, ready_seconds = _step(
        console, "kubectl apply -f examples/autoglm.yaml", lambda: steps.apply_example(kubeconfig)
    )
    if prometheus:
        # Once more: now there are the monitor and the rules of the deployment too.
        url = monitoring.follow(target, kubeconfig)
        console.print(f"  Prometheus scrapes and evaluates: {url}", highlight=False)
    console.print("[bold]traffic[/bold]: steady, then a spike, then quiet")
    steps.start_load(target, kubeconfig, load)
    samples = _follow(console, observer, kubeconfig, load)
    report = steps.load_report(kubeconfig)
    _report(console, ready_seconds, samples, report, load)
    console.print(f"The cluster goes on: export KUBECONFIG={kubeconfig}; `make demo-down` removes it.", highlight=False)


def _follow(console: Console, observer: Observer, kubeconfig: Path, load: Load) -> list[Sample]:
    """Sample until the load generator has ended, and show what is seen."""
    samples: list[Sample] = []
    start = last_line = last_check = time.monotonic()
    with Live(console=console, refresh_per_second=2, transient=True) as live:
        while True:
            sample = observer.sample()
            samples.append(sample)
            now = time.monotonic()
            phase = load.phase_at(now - start)
            if console.is_terminal:
                live.update(table(sample, now - start, phase))
            elif now - last_line >= _LINE_SECONDS:
                console.print(line(sample, now - start, phase), highlight=False)
                last_line = now
            if now - start > load.duration and now - last_check > 2:  # noqa: PLR2004  # seconds between two looks
                last_check = now
                if steps.load_finished(kubeconfig):
                    return samples
            time.sleep(_SAMPLE_SECONDS)


def _report(console: Console, ready_seconds: float, samples: list[Sample], report: dict[str, Any], load: Load) -> None:
    spike_start = float(report["startedAt"]) + load.spike_start
    summary = summarise(ready_seconds, samples, report, spike_start)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    (OUTPUT / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    (OUTPUT / "samples.json").write_text(json.dumps([sample.as_json() for sample in samples]) + "\n")
    (OUTPUT / "load.json").write_text(json.dumps(report) + "\n")
    plot(samples, (spike_start, spike_start + load.spike_duration), steps.objective_seconds(), OUTPUT / "demo.png")
    console.print("[bold]summary[/bold]")
    for key, value in summary.items():
        console.print(f"  {key:<18} {value}", highlight=False)
    console.print(f"  written to {OUTPUT}: summary.json, demo.png, samples.json, load.json", highlight=False)


if __name__ == "__main__":
    sys.exit(main())

"""The picture of one demo run."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from autoglm_demo.observe import Sample


def plot(samples: Sequence[Sample], spike: tuple[float, float], objective_seconds: float, file: Path) -> None:
    """Draw replicas, queue, P99 and memory over time, with the spike shaded, and write it as PNG.

    Args:
        samples: in order of time.
        spike: its start and end, in seconds since the epoch.
        objective_seconds: the P99 TTFT promised.
        file: where the picture goes.
    """
    mpl.use("Agg")
    figure = Figure(figsize=(10, 9), layout="constrained")
    axes: Sequence[Axes] = figure.subplots(4, 1, sharex=True)
    start = samples[0].time
    times = [sample.time - start for sample in samples]
    _replicas(axes[0], times, samples)
    _lines(axes[1], times, {"waiting": [s.queue for s in samples], "running": [s.running for s in samples]}, "requests")
    _lines(axes[2], times, {"P99 TTFT": [s.ttft_p99 for s in samples]}, "seconds")
    axes[2].axhline(objective_seconds, color="tab:red", linestyle="--", linewidth=1, label="objective")
    memory = {
        "KV cache": [_percent(s.kv_cache) for s in samples],
        "GPU memory": [_percent(s.gpu_memory) for s in samples],
    }
    _lines(axes[3], times, memory, "percent")
    axes[3].set_xlabel("seconds")
    for axis in axes:
        axis.axvspan(spike[0] - start, spike[1] - start, color="tab:orange", alpha=0.12)
        axis.legend(loc="upper right", fontsize=8)
        axis.grid(alpha=0.3)
        axis.set_ylim(bottom=0)
    axes[0].set_title("AutoGLM operator demo: the spike is shaded")
    figure.savefig(file, dpi=110)


def _replicas(axis: Axes, times: Sequence[float], samples: Sequence[Sample]) -> None:
    axis.step(times, [sample.wanted for sample in samples], where="post", label="ordered")
    axis.step(times, [sample.ready for sample in samples], where="post", label="ready")
    axis.set_ylabel("replicas")


def _lines(axis: Axes, times: Sequence[float], lines: dict[str, list[float | None]], unit: str) -> None:
    for name, values in lines.items():
        axis.plot(times, [float("nan") if value is None else value for value in values], label=name)
    axis.set_ylabel(unit)


def _percent(ratio: float | None) -> float | None:
    return None if ratio is None else ratio * 100

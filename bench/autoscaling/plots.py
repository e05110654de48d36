"""The cost of each policy over its attainment, drawn."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from figures import Row, mean

_LEAST_SHOWN = 0.95
_LEAST_COST, _MOST_COST = 0.7, 1.8
"""Over ours, what is shown."""


def plot(row: Row, folder: Path) -> None:
    """Draw one case into a file of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    pyplot = _pyplot()
    figure, axes = pyplot.subplots(figsize=(7, 4.5))
    _draw(axes, row)
    axes.legend(fontsize=7)
    name = f"{row['case']}-{row['cold_start']:.0f}".replace("/", "-").replace(" ", "-").replace(",", "")
    _save(pyplot, figure, folder / f"{name}.png")


def overview(rows: Sequence[Row], path: Path) -> None:
    """Draw several cases into one file."""
    pyplot = _pyplot()
    figure, grid = pyplot.subplots((len(rows) + 1) // 2, 2, figsize=(11, 4 * ((len(rows) + 1) // 2)), squeeze=False)
    for axes, row in zip(grid.flat, rows, strict=False):
        _draw(axes, row)
    grid.flat[0].legend(fontsize=7)
    _save(pyplot, figure, path)


def _pyplot() -> Any:
    import matplotlib as mpl  # noqa: PLC0415 (only the bench needs it)

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    return plt


def _draw(axes: Any, row: Row) -> None:
    for name, points in row["peers"].items():
        shown = sorted(
            (100 * p["slo_attainment"], p["gpu_hours"]) for p in points if p["slo_attainment"] >= _LEAST_SHOWN
        )
        if shown:
            axes.plot(*zip(*shown, strict=True), "o-", markersize=3, linewidth=0.8, label=name)
    ours = [*row["ours"], *(point for points in row["goals"].values() for point in points)]
    axes.plot([100 * p["slo_attainment"] for p in ours], [p["gpu_hours"] for p in ours], "k*", label="autoglm")
    title = f"{row['case']}, {row['cold_start']:.0f} s"
    axes.set(xlabel="requests within both objectives, %", ylabel="GPU-hours", title=title)
    axes.axvline(99, color="grey", linewidth=0.6)
    cost = mean(row["ours"], "gpu_hours")
    axes.set_ylim(_LEAST_COST * cost, _MOST_COST * cost)


def _save(pyplot: Any, figure: Any, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, dpi=90)
    pyplot.close(figure)

"""Tables, plots and bars of the autoscaling bench, from its raw data."""

import json
import math
import statistics
from pathlib import Path
from typing import Any

from compiled import ROOT

OUTPUT = ROOT / ".local/bench"
_REFERENCE = ("oracle",)
#: Attainment that our law must hold by itself.
HELD = (0.989, 0.995)
MOST_CHANGES = 25.0
LLMD_DEFAULT = (0.55, 0.40)


def mean(points: list[dict[str, Any]], key: str) -> float:
    """Return the mean of one measure over replays."""
    return statistics.fmean(point[key] for point in points)


def best_peer(row: dict[str, Any], level: str = "0.99") -> tuple[str, float]:
    """Return the peer with the fewest GPU-hours at an attainment, tuned for this case."""
    found = [
        (name, hours) for name, hours in row["at"][level].items() if name not in _REFERENCE and not math.isnan(hours)
    ]
    return min(found, key=lambda item: item[1], default=("none", math.nan))


def hours_of(row: dict[str, Any], peer: str, target: tuple[float, ...]) -> float:
    """Return the GPU-hours of a peer at one target, whatever it attains."""
    points = [
        point
        for point in row["peers"][peer]
        if all(math.isclose(a, b) for a, b in zip(point["target"], target, strict=True))
    ]
    return mean(points, "gpu_hours") if points else math.nan


def line(row: dict[str, Any]) -> str:
    """Return one case as a line of the table."""
    ours, (peer, hours) = row["ours"], best_peer(row)
    cost = mean(ours, "gpu_hours")
    at = row["at"]["0.99"]
    cells = (
        row["case"],
        f"{row['cold_start']:.0f} s",
        f"{100 * mean(ours, 'slo_attainment'):.2f} %",
        f"{cost:.0f}",
        f"{mean(ours, 'direction_changes_per_day'):.0f}",
        f"{mean(ours, 'lost_requests'):.0f}",
        f"{peer} {hours:.0f}",
        _ratio(cost, hours),
        _ratio(cost, at["llmd-slo"]),
        _ratio(cost, at["keda-inflight"]),
        _ratio(cost, at["dynamo"]),
        _ratio(cost, at["static"]),
        _ratio(cost, hours_of(row, "llmd-slo", LLMD_DEFAULT)),
        _ratio(cost, at["oracle"]),
    )
    return "| " + " | ".join(cells) + " |"


def _ratio(cost: float, other: float) -> str:
    return f"{cost / other:.2f}" if other > 0 else "-"


def table(rows: list[dict[str, Any]]) -> str:
    """Return the table in Markdown."""
    head = (
        "| case | cold start | attainment | GPU-hours | changes/day | lost | best tuned peer at 99 % | ours / best "
        "| / llm-d | / KEDA | / Dynamo | / static | / llm-d default | / oracle |\n|" + "---|" * 14 + "\n"
    )
    parts = [head + "\n".join(line(row) for row in rows)]
    with_parts = [row for row in rows if row["ablations"]]
    if with_parts:
        parts.append("\n\n| ablation | GPU-hours over the law's | attainment | changes/day |\n|---|---|---|---|")
        for name in with_parts[0]["ablations"]:
            picked = [(row["ablations"][name], row["ours"]) for row in with_parts]
            cost = statistics.fmean(mean(points, "gpu_hours") / mean(ours, "gpu_hours") for points, ours in picked)
            shares = [100 * mean(points, "slo_attainment") for points, _ in picked]
            changes = [mean(points, "direction_changes_per_day") for points, _ in picked]
            held = f"{min(shares):.2f}-{max(shares):.2f} %"
            parts.append(f"| {name} | {cost:.3f} | {held} | {min(changes):.0f}-{max(changes):.0f} |")
    return "\n".join(parts) + "\n"


def write(rows: list[dict[str, Any]]) -> None:
    """Write the raw data, the table and a plot for each case."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    (OUTPUT / "autoscaling.json").write_text(json.dumps(rows) + "\n")
    (OUTPUT / "autoscaling.md").write_text(table(rows))
    plot(rows[-1], OUTPUT / "autoscaling")


def plot(row: dict[str, Any], folder: Path) -> None:
    """Draw the cost of each policy over its attainment."""
    import matplotlib as mpl  # noqa: PLC0415 (only the bench needs it)

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    folder.mkdir(parents=True, exist_ok=True)
    title = f"{row['case']}, {row['cold_start']:.0f} s"
    figure, axes = plt.subplots(figsize=(7, 4.5))
    for name, points in row["peers"].items():
        shown = sorted((100 * p["slo_attainment"], p["gpu_hours"]) for p in points if p["slo_attainment"] >= 0.95)  # noqa: PLR2004
        if shown:
            axes.plot(*zip(*shown, strict=True), "o-", markersize=3, linewidth=0.8, label=name)
    axes.plot(
        [100 * p["slo_attainment"] for p in row["ours"]], [p["gpu_hours"] for p in row["ours"]], "k*", label="autoglm"
    )
    axes.set(
        xlabel="requests within both objectives, %",
        ylabel="GPU-hours",
        title=title,
    )
    axes.axvline(99, color="grey", linewidth=0.6)
    axes.legend(fontsize=7)
    figure.tight_layout()
    name = f"{row['case']}-{row['cold_start']:.0f}".replace("/", "-").replace(" ", "-").replace(",", "")
    figure.savefig(folder / f"{name}.png", dpi=110)
    plt.close(figure)


def judge(rows: list[dict[str, Any]]) -> int:
    """Print each bar that is missed and return the exit status."""
    missed = []
    for row in rows:
        label = f"{row['case']}/{row['cold_start']:.0f} s"
        ours, (peer, hours) = row["ours"], best_peer(row)
        cost, share = mean(ours, "gpu_hours"), mean(ours, "slo_attainment")
        bars = [
            (f"attainment {100 * share:.2f} %, at least {100 * HELD[0]:.1f}", share >= HELD[0]),
            (f"{mean(ours, 'lost_requests'):.0f} lost requests", mean(ours, "lost_requests") == 0),
        ]
        keda, llmd, oracle = (row["at"]["0.99"][name] for name in ("keda-inflight", "llmd-slo", "oracle"))
        if row["kind"] == "trace":
            changes = mean(ours, "direction_changes_per_day")
            bars += [
                (f"attainment {100 * share:.2f} %, at most {100 * HELD[1]:.1f}", share <= HELD[1]),
                (f"{cost / hours:.3f} x {peer}, at most 1.00", not cost > hours),
                (f"{cost / keda:.3f} x KEDA, at most 0.90", not cost > 0.9 * keda),
                (f"{cost / oracle:.3f} x oracle, at most 1.05", not cost > 1.05 * oracle),
                (f"{changes:.1f} changes of direction a day, at most 25", changes <= MOST_CHANGES),
            ]
        elif row["kind"] == "drift":
            bars += [
                (f"{cost / keda:.3f} x KEDA, at most 0.85", not cost > 0.85 * keda),
                (f"{cost / llmd:.3f} x llm-d, at most 1.00", not cost > llmd),
            ]
        else:
            bars.append((f"{cost / hours:.3f} x {peer}, at most 1.00", not cost > hours))
        missed += [f"{label}: {text}" for text, good in bars if not good]
    print("\n" + table(rows))
    for text in missed:
        print(f"MISSED {text}")
    return 1 if missed else 0

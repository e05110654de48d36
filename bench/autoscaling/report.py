"""Tables and plots of the autoscaling bench, and its verdict."""

import json
import math
import statistics
from collections.abc import Sequence
from typing import Any

from compiled import ROOT
from figures import LLMD_DEFAULT, Points, Row, bars, best_peer, hours_of, losses, mean, one_setting
from plots import overview, plot
from speed import MOST_SECONDS

OUTPUT = ROOT / ".local/bench"
PAGE = ROOT / "docs/reference/replay.md"
_BEGIN, _END = "<!-- figures of make bench-autoscaling: begin -->", "<!-- end -->"
_TITLES = {
    "trace": "ServeGen's two traces, 14 days at a mean of 20 requests/s, the second week counted",
    "drift": "Made up: the token mix drifts there and back in two days",
    "other": "Made up: a ramp",
    "period": "Made up: what repeats",
    "varied": "Varied from the shared traces, and an office",
}


def line(row: Row) -> str:
    """Return one case as a line of the table."""
    ours, (peer, hours) = row["ours"], best_peer(row)
    cost, at = mean(ours, "gpu_hours"), row["at"]["0.99"]
    cells = (
        row["case"],
        f"{row['cold_start']:.0f} s",
        _spread(ours, "slo_attainment", 100, 2),
        f"{cost:.0f}",
        f"{mean(ours, 'direction_changes_per_day'):.0f}",
        f"{mean(ours, 'lost_requests'):.0f}",
        f"{mean(ours, 'reaction_seconds'):.0f} s",
        f"{mean(ours, 'overshoot'):.2f}",
        f"{peer} {hours:.0f}",
        *(_ratio(cost, other) for other in (hours, at["llmd-slo"], at["keda-inflight"], at["dynamo"], at["static"])),
        _ratio(cost, hours_of(row, "llmd-slo", LLMD_DEFAULT)),
        _ratio(cost, at["oracle"]),
        _ratio(row["ours_at"] or 0.0, best_peer(row, "0.999")[1]) if row["ours_at"] else "",
    )
    return "| " + " | ".join(cells) + " |"


def _ratio(cost: float, other: float) -> str:
    return f"{cost / other:.3f}" if cost > 0 and other > 0 else "-"


def _spread(points: Points, key: str, factor: float, digits: int) -> str:
    values = [factor * point[key] for point in points]
    middle = f"{statistics.fmean(values):.{digits}f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def table(rows: Sequence[Row]) -> str:
    """Return the cases as tables in Markdown, one for each kind."""
    columns = (
        "case",
        "cold start",
        "attainment %",
        "GPU-hours",
        "changes/day",
        "lost",
        "reaction",
        "overshoot",
        "best tuned peer",
        "ours / best",
        "/ llm-d",
        "/ KEDA",
        "/ Dynamo",
        "/ static",
        "/ llm-d default",
        "/ oracle",
        "ours / best at 99.9 %",
    )
    parts = []
    for kind, title in _TITLES.items():
        picked = [row for row in rows if row["kind"] == kind]
        if picked:
            seeds = f"{len(picked[0]['ours'])} of ours, {_peer_seeds(picked[0])} of peers"
            head = f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}\n"
            parts.append(f"{title}; seeds: {seeds}.\n\n{head}")
            parts.append("\n".join(line(row) for row in picked) + "\n\n")
    return "".join(parts)


def _peer_seeds(row: Row) -> str:
    counts = sorted({len({point["seed"] for point in points}) for points in row["peers"].values() if points})
    return " or ".join(map(str, counts))


def settings_table(rows: Sequence[Row]) -> str:
    """Return what peers cost that are held at one setting for all traces."""
    traces = [row for row in rows if row["kind"] == "trace"]
    if len(traces) < 2 or not (found := one_setting(traces)):  # noqa: PLR2004 (one case is its own setting)
        return ""
    lines = [
        f"| {peer} | {':'.join(f'{number:g}' for number in target)} | {100 * low:.2f}-{100 * high:.2f} % | {cost:.3f} |"
        for peer, target, cost, low, high in found
    ]
    head = "| peer held at one setting | setting | attainment | ours / peer |\n|---|---|---|---|\n"
    return head + "\n".join(lines) + "\n\n"


def ablations_table(rows: Sequence[Row]) -> str:
    """Return what each part of the law is worth, over the cases that have ablations."""
    picked = [row for row in rows if row["ablations"]]
    if not picked:
        return ""
    parts = ["| changed | GPU-hours over the law's | attainment | changes/day |\n|---|---|---|---|"]
    for name in picked[0]["ablations"]:
        pairs = [(row["ablations"][name], row["ours"]) for row in picked]
        cost = statistics.fmean(
            mean(points, "gpu_hours") / mean(ours[: len(points)], "gpu_hours") for points, ours in pairs
        )
        shares = [100 * mean(points, "slo_attainment") for points, _ in pairs]
        changes = [mean(points, "direction_changes_per_day") for points, _ in pairs]
        held = f"{min(shares):.2f}-{max(shares):.2f} %"
        parts.append(f"| {name} | {cost:.3f} | {held} | {min(changes):.0f}-{max(changes):.0f} |")
    return "\n".join(parts) + "\n\n"


def speed_table(speed: dict[str, float]) -> str:
    """Return what replays take."""
    lines = [f"| {name} | {seconds:.1f} s | {MOST_SECONDS:.0f} s |" for name, seconds in speed.items()]
    return (
        "| replay, not compiled, one core | CPU | bar |\n|---|---|---|\n" + "\n".join(lines) + "\n\n" if speed else ""
    )


def text_of(rows: Sequence[Row], speed: dict[str, float]) -> str:
    """Return all tables."""
    lost = "".join(f"- {text}\n" for text in losses(rows))
    missed = "".join(f"- {label}: {text}\n" for label, text, good in bars(rows) if not good)
    return (
        table(rows)
        + settings_table(rows)
        + ablations_table(rows)
        + speed_table(speed)
        + (f"Where it loses:\n\n{lost}\n" if lost else "")
        + (f"Bars that are missed:\n\n{missed}\n" if missed else "")
    )


def summary(rows: Sequence[Row], speed: dict[str, float]) -> dict[str, object]:
    """Return the figures of the tables without the replays behind them."""
    keep = ("case", "kind", "cold_start", "ours", "at", "ours_at")
    return {
        "cases": [{key: _whole(row[key]) for key in keep} for row in rows],
        "bars": [{"case": label, "found": text, "met": good} for label, text, good in bars(rows)],
        "cpu_seconds": speed,
    }


def _whole(value: Any) -> Any:
    """Return JSON's null for what is not a number."""
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


def write(rows: Sequence[Row], speed: dict[str, float]) -> None:
    """Write the raw data, the tables and a plot of the latest case."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    (OUTPUT / "autoscaling.json").write_text(json.dumps(rows) + "\n")
    (OUTPUT / "autoscaling.md").write_text(text_of(rows, speed))
    plot(rows[-1], OUTPUT / "autoscaling")


def document(rows: Sequence[Row], speed: dict[str, float]) -> None:
    """Put tables, figures and a plot into the documentation."""
    text = PAGE.read_text()
    before, _, rest = text.partition(_BEGIN)
    _, found, after = rest.partition(_END)
    if not found:
        raise ValueError(f"{PAGE}: has no lines {_BEGIN} and {_END}: there the tables go")
    PAGE.write_text(f"{before}{_BEGIN}\n\n{text_of(rows, speed)}{_END}{after}")
    PAGE.with_suffix(".json").write_text(json.dumps(summary(rows, speed), indent=1) + "\n")
    overview([row for row in rows if row["kind"] == "trace"], PAGE.with_suffix(".png"))


def judge(rows: Sequence[Row], speed: dict[str, float]) -> int:
    """Print the tables and each bar that is missed, and return the exit status."""
    missed = [f"{label}: {text}" for label, text, good in bars(rows) if not good]
    missed += [f"{name}: {seconds:.0f} s of CPU" for name, seconds in speed.items() if seconds > MOST_SECONDS]
    print("\n" + text_of(rows, speed))
    for text in missed:
        print(f"MISSED {text}")
    return 1 if missed else 0

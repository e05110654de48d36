"""`make bench-autoscaling`: our law against every peer tuned for each case, and what each part of the law is worth.

Raw data go to `.local/bench/autoscaling.json`, tables and plots beside it; a whole run also writes those of the
documentation. Replays of peers are kept in `.local/bench/peers.jsonl` and not repeated while the simulator is the same.
"""

import argparse
import math
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from compiled import ROOT, compile_modules  # noqa: E402 (beside this file)

compile_modules()

import report  # noqa: E402 (after the modules are compiled)
from cases import Case, cases  # noqa: E402
from kept import Kept  # noqa: E402
from speed import measure_speed  # noqa: E402
from sweep import GRIDS, NEAR, Bench, Point, as_json, best_hours  # noqa: E402

from autoglm_operator.decide.law.parameters import Parameters  # noqa: E402

TRACES = ROOT.parent / "shared/traces"
PEERS = ROOT / ".local/bench/peers.jsonl"
LEVELS = (0.99, 0.999)
SEEDS = 5
FEW_SEEDS = 2
"""Of peers that do not come near."""
ABLATED = 240.0
"""Cold start at which parts of the law are left out, with one seed."""

#: Peers in the cases that are varied from others: none of the rest came near anywhere.
SHOWN = (*NEAR, "static")

#: Our law with another goal: what it costs at 99.9 %.
GOALS: tuple[float, ...] = (0.003, 0.0008, 0.0002)

ABLATIONS: dict[str, dict[str, Any]] = {
    "reactive: no lead, no period, no season": {"reactive": True},
    "no forecast model but persistence": {"parameters": replace(Parameters(), believe=0.0)},
    "no reserve for drift": {"parameters": replace(Parameters(), drift_share=0.0)},
    "no price feedback": {"parameters": replace(Parameters(), price_limit=0.0)},
    "no band": {"parameters": replace(Parameters(), band_start=0.0)},
    "fixed band": {"parameters": replace(Parameters(), band_gain=0.0)},
    "hold 600 s": {"parameters": replace(Parameters(), hold_seconds=600.0)},
    "orders written by the law itself, not by the HPA": {"direct": True},
    "with un-drain": {"undrain": True},
    "profile 30 % too slow": {"prior": 1.3},
    "profile 30 % too fast": {"prior": 0.7},
}


def main() -> int:
    """Run, record and print; the exit status is 1 if a bar is missed."""
    options = _options()
    kept = Kept(PEERS)
    rows: list[dict[str, Any]] = []
    for case in cases(options.traces, quick=options.quick):
        if options.only and options.only not in case.label:
            continue
        start = time.process_time()
        rows.append(_row(case, kept, options))
        print(f"{report.line(rows[-1])}  ({time.process_time() - start:.0f} s of CPU)", flush=True)
        report.write(rows, {})
    whole = not (options.quick or options.only or options.seed)
    speed = measure_speed(options.traces) if whole else {}
    report.write(rows, speed)
    if whole:
        report.document(rows, speed)
    return report.judge(rows, speed)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one seed; no varied traffic, no ablations")
    parser.add_argument("--seed", type=int, default=0, help="first seed")
    parser.add_argument("--only", help="only cases whose name/cold start contains this")
    parser.add_argument("--traces", type=Path, default=TRACES, help="folder of the shared traces")
    return parser.parse_args()


def _seeds(case: Case, *, quick: bool, near: bool = True) -> int:
    if quick or case.kind != "trace":
        return 1
    return SEEDS if near else FEW_SEEDS


def _row(case: Case, kept: Kept, options: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of one case, as means over the seeds, with the raw data."""
    ours: list[Point] = []
    goals: dict[float, list[Point]] = {share: [] for share in GOALS}
    peers: dict[str, list[Point]] = {name: [] for name in GRIDS}
    ablations: dict[str, list[Point]] = {name: [] for name in ABLATIONS}
    for number in range(_seeds(case, quick=options.quick)):
        bench = Bench(case, options.seed + number, kept)
        ours.append(bench.ours())
        for name, points in peers.items():
            shown = case.kind != "varied" or name in SHOWN
            if shown and number < _seeds(case, quick=options.quick, near=name in NEAR):
                points.extend(bench.peer(name))
        if case.kind == "trace" and not options.quick and not number:
            for share, points in goals.items():
                points.append(bench.ours(replace(Parameters(), late_share=share)))
            if case.cold_start == ABLATED:
                for name, points in ablations.items():
                    points.append(bench.ours(**ABLATIONS[name]))
    return {
        "case": case.name,
        "kind": case.kind,
        "cold_start": case.cold_start,
        "ours": list(as_json(ours)),
        "goals": {f"{share:g}": list(as_json(points)) for share, points in goals.items() if points},
        "ablations": {label: list(as_json(points)) for label, points in ablations.items() if points},
        "peers": {peer: list(as_json(points)) for peer, points in peers.items()},
        "at": {f"{level:g}": {peer: _at(peer, points, level) for peer, points in peers.items()} for level in LEVELS},
        "ours_at": _ours_at(ours, goals),
    }


def _at(peer: str, points: Sequence[Point], level: float) -> float:
    """Return the GPU-hours of a peer tuned for this case, a mean over its seeds."""
    seeds = sorted({point.seed for point in points})
    if not seeds:
        return math.nan
    return statistics.fmean(
        best_hours(peer, [point for point in points if point.seed == seed], level) for seed in seeds
    )


def _ours_at(ours: Sequence[Point], goals: dict[float, list[Point]]) -> float | None:
    """Return our GPU-hours at 99.9 %, a mean over the seeds that have it; `None` without such replays."""
    seeds = sorted({point.seed for points in goals.values() for point in points})
    if not seeds:
        return None
    every = [*ours, *(point for points in goals.values() for point in points)]
    return statistics.fmean(
        best_hours("autoglm", [point for point in every if point.seed == seed], LEVELS[-1]) for seed in seeds
    )


if __name__ == "__main__":
    sys.exit(main())

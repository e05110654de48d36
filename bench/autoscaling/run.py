"""`make bench-autoscaling`: our law against every peer tuned for each case, and what each part of the law is worth.

The results go to `.local/bench/autoscaling.json`, and the table and plots beside it.
"""

import argparse
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from compiled import ROOT, compile_modules  # noqa: E402 (beside this file)

compile_modules()

import report  # noqa: E402 (after the modules are compiled)
from cases import cases  # noqa: E402
from sweep import GRIDS, Bench, Point, as_json, best_hours  # noqa: E402

from autoglm_operator.decide.law.parameters import Parameters  # noqa: E402

TRACES = ROOT.parent / "shared/traces"
LEVELS = (0.99, 0.999)
_FULL_SEEDS = 5

ABLATIONS: dict[str, dict[str, Any]] = {
    "reactive (no lead, no period)": {"reactive": True},
    "no price feedback": {"parameters": replace(Parameters(), price_limit=0.0)},
    "fixed band": {"parameters": replace(Parameters(), band_gain=0.0)},
    "no band": {"parameters": replace(Parameters(), band_start=0.0)},
    "no drift": {"parameters": replace(Parameters(), drift_share=0.0)},
    "hold 600 s": {"parameters": replace(Parameters(), hold_seconds=600.0)},
    "profile 30 % too slow": {"prior": 1.3},
    "profile 30 % too fast": {"prior": 0.7},
}


def main() -> int:
    """Run, record and print; the exit status is 1 if a bar is missed."""
    options = _options()
    seeds = range(options.seed, options.seed + (1 if options.quick else _FULL_SEEDS))
    rows: list[dict[str, Any]] = []
    for case in cases(options.traces, quick=options.quick):
        if options.only and options.only not in f"{case.name}/{case.cold_start:g}":
            continue
        start = time.monotonic()
        ours: list[Point] = []
        peers: dict[str, list[Point]] = {name: [] for name in GRIDS}
        ablations: dict[str, list[Point]] = {name: [] for name in ABLATIONS}
        for seed in seeds:
            bench = Bench(case, seed)
            ours.append(bench.ours())
            for name, points in peers.items():
                points.extend(bench.peer(name))
            if case.kind == "trace" and not options.quick:
                for name, points in ablations.items():
                    points.append(bench.ours(**ABLATIONS[name]))
        rows.append(_row(case.name, case.kind, case.cold_start, ours, peers, ablations))
        print(f"{report.line(rows[-1])}  ({time.monotonic() - start:.0f} s)", flush=True)
        report.write(rows)
    return report.judge(rows)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one seed; no variations, no ablations")
    parser.add_argument("--seed", type=int, default=0, help="first seed")
    parser.add_argument("--only", help="only cases whose name/cold start contains this")
    parser.add_argument("--traces", type=Path, default=TRACES, help="folder of the shared traces")
    return parser.parse_args()


def _row(  # noqa: PLR0917 (what a row is made of)
    name: str,
    kind: str,
    cold: float,
    ours: list[Point],
    peers: dict[str, list[Point]],
    ablations: dict[str, list[Point]],
) -> dict[str, Any]:
    """Return the figures of one case, as means over the seeds, with the raw data."""
    seeds = sorted({point.seed for point in ours})

    def at(peer: str, level: float) -> float:
        return statistics.fmean(
            best_hours(peer, [point for point in peers[peer] if point.seed == seed], level) for seed in seeds
        )

    return {
        "case": name,
        "kind": kind,
        "cold_start": cold,
        "ours": as_json(ours),
        "ablations": {label: as_json(points) for label, points in ablations.items() if points},
        "peers": {peer: as_json(points) for peer, points in peers.items()},
        "at": {f"{level:g}": {peer: at(peer, level) for peer in GRIDS} for level in LEVELS},
    }


if __name__ == "__main__":
    sys.exit(main())

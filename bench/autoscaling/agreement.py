"""Whether the fluid and the request-by-request replay agree: an hour of a trace under several policies, at both.

Prints each comparison. The exit status is 1 if one is outside its bounds: those of `docs/reference/replay-requests.md`.
"""

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoglm_operator.cli.replay_law import LawPolicy
from autoglm_simulator.replay.arrivals import make_traffic
from autoglm_simulator.replay.fluid import FluidPlant
from autoglm_simulator.replay.path import HpaPath
from autoglm_simulator.replay.plant import Plant, Policy
from autoglm_simulator.replay.policies import Conditions, make_policy
from autoglm_simulator.replay.request.calls import sampled_calls
from autoglm_simulator.replay.request.plant import RequestPlant
from autoglm_simulator.replay.request.serving import Serving
from autoglm_simulator.replay.run import Result, replay
from autoglm_simulator.replay.settings import ColdStart, Fleet
from autoglm_simulator.replay.traces import Trace, read_trace

TRACES = Path(__file__).resolve().parents[3] / "shared/traces"
OURS = "autoglm"
SOUND = 0.98
"""Fluid attainment from which on the two must be close; below, the fleet is overloaded."""
CLOSE = (-0.012, 0.012)
OVERLOADED = (-0.012, 0.035)
"""Attainment of single requests less the fluid's: it calls all requests of a bad second late."""
#: Of each policy: its target, and GPU-hours of single requests over the fluid's.
POLICIES: dict[str, tuple[str | None, tuple[float, float]]] = {
    OURS: (None, (0.80, 1.05)),
    "oracle": ("3", (0.98, 1.02)),
    "dynamo": ("2.6", (0.98, 1.02)),
    "llmd-slo": ("0.7:0.6", (0.80, 1.05)),
    "keda-inflight": ("18", (1.00, 1.20)),
}


@dataclass(frozen=True)
class Comparison:
    """One policy at both fidelities."""

    policy: str
    cold_start: float
    seed: int
    fluid: Result
    single: Result

    @property
    def hours(self) -> float:
        """GPU-hours of single requests over the fluid's."""
        return self.single.gpu_hours / self.fluid.gpu_hours

    @property
    def attainment(self) -> float:
        """Attainment of single requests less the fluid's."""
        return self.single.slo_attainment - self.fluid.slo_attainment

    def outside(self) -> Iterator[str]:
        """Yield each bound that is broken."""
        least, most = POLICIES[self.policy][1]
        if not least <= self.hours <= most:
            yield f"GPU-hours x {self.hours:.3f}, expected {least:g} to {most:g}"
        least, most = CLOSE if self.fluid.slo_attainment >= SOUND else OVERLOADED
        if not least <= self.attainment <= most:
            yield f"attainment {100 * self.attainment:+.2f} points, expected {100 * least:+g} to {100 * most:+g}"
        if self.single.requests != self.fluid.requests:
            yield f"{self.single.requests} requests, expected {self.fluid.requests}"


def compare(  # noqa: PLR0917 (what a comparison is made of)
    trace: Trace, mean_rate: float | None, first: int, last: int, cold_start: float, seed: int, policies: Sequence[str]
) -> Iterator[Comparison]:
    """Yield each policy at both fidelities, from second `first` to `last` of a trace; the time before is replayed."""
    fleet = Fleet(ColdStart((cold_start,)))
    traffic = make_traffic(trace, mean_rate, last, seed)
    conditions = Conditions(fleet, traffic, 1000.0, 250.0)
    each = conditions.safe_rate
    initial = max(1, math.ceil(traffic.rate[0] / each / 0.7))
    calls = sampled_calls(trace, [], traffic, seed)
    for name in policies:
        plants: tuple[Plant, Plant] = (
            FluidPlant(fleet, traffic, initial, seed),
            RequestPlant(fleet, Serving(), calls, initial, seed),
        )
        fluid, single = (replay(plant, _policy(name, conditions), traffic.rate, each, first, last) for plant in plants)
        yield Comparison(name, cold_start, seed, fluid, single)


def _policy(name: str, conditions: Conditions) -> Policy:
    if name == OURS:
        return HpaPath(LawPolicy(conditions.fleet))
    return make_policy(name, POLICIES[name][0], conditions)


def main() -> int:
    """Compare and print; the exit status is 1 if a bound is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trace", type=Path, default=TRACES / "servegen-m-large-rate.csv")
    parser.add_argument("--mean-rps", type=float, default=20.0, help="mean of the whole trace")
    parser.add_argument("--hour", type=int, default=1, help="hour of the trace that counts, from 0; default 1")
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    trace = read_trace(options.trace)
    first = options.hour * 3600
    broken = 0
    print("| policy | cold start | seed | fluid | single requests | GPU-hours | attainment |\n|" + "---|" * 7)
    for seed in range(options.seeds):
        for cold in (80.0, 240.0):
            for found in compare(trace, options.mean_rps, first, first + 3600, cold, seed, list(POLICIES)):
                one, two = found.fluid, found.single
                print(
                    f"| {found.policy} | {cold:g} s | {seed} | {100 * one.slo_attainment:.2f} %, {one.gpu_hours:.2f} "
                    f"| {100 * two.slo_attainment:.2f} %, {two.gpu_hours:.2f} | x {found.hours:.3f} "
                    f"| {100 * found.attainment:+.2f} points |",
                    flush=True,
                )
                for text in found.outside():
                    broken += 1
                    print(f"OUTSIDE {found.policy}, {cold:g} s, seed {seed}: {text}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())

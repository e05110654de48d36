"""Every policy over its targets on one case, and the GPU-hours of each at the same attainment."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cases import DAY, Case
from kept import Kept

from autoglm_operator.cli.replay_law import LawPolicy
from autoglm_operator.decide.law.parameters import Parameters
from autoglm_simulator.replay.arrivals import make_traffic
from autoglm_simulator.replay.fluid import FluidPlant
from autoglm_simulator.replay.path import HpaPath
from autoglm_simulator.replay.plant import Policy
from autoglm_simulator.replay.policies import PEERS, Conditions
from autoglm_simulator.replay.run import Result, replay
from autoglm_simulator.replay.settings import ColdStart, Fleet
from autoglm_simulator.replay.traffic import Traffic

Target = tuple[float, ...]

#: Targets of each peer, its vendor's default among them. Those of `static` are shares of the replicas for the peak.
GRIDS: dict[str, Sequence[Target]] = {
    "keda-inflight": [(float(target),) for target in (4, 8, 12, 14, 16, 18, 20, 22, 25)],
    "llmd-slo": [(up, up - gap) for up in (0.35, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8) for gap in (0.1, 0.15)],
    "dynamo": [(rate,) for rate in (1.2, 1.6, 2.0, 2.3, 2.6, 2.9, 3.2)],
    "static": [(share,) for share in (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.4, 1.7, 2.1)],
    "hpa-queue": [(1.0,), (3.0,), (5.0,)],
    "hpa-kv": [(target,) for target in (0.08, 0.12, 0.15, 0.18, 0.25, 0.5)],
    "kpa": [(float(target),) for target in (8, 12, 16, 20, 70)],
    "apa": [(target,) for target in (0.06, 0.1, 0.15, 0.25, 0.5)],
    "wva-v1": [(240.0,)],
    "wva-v2": [(float(batch),) for batch in (15, 20, 25, 30)],
    "oracle": [(rate,) for rate in (2.0, 2.5, 2.9, 3.2, 3.5)],
}
#: Peers that come near the law: they get every seed, and targets between those around 99 %.
NEAR = ("keda-inflight", "llmd-slo", "dynamo", "oracle")
WANTED = 0.99


@dataclass(frozen=True)
class Point:
    """One replay of one policy.

    Attributes:
        target: Numbers of the target; none for ours.
        seed: Of the noise.
        result: What was measured.
    """

    target: Target
    seed: int
    result: Result


class Bench:
    """One case with its traffic, for one seed.

    Args:
        case: The case.
        seed: Of the noise.
        kept: Replays of peers from earlier runs: they do not depend on our law.
    """

    def __init__(self, case: Case, seed: int, kept: Kept) -> None:
        self.case = case
        self.seed = seed
        self._kept = kept
        self._first, self._last = round(case.first * DAY), round(case.last * DAY)
        self._traffic: Traffic | None = None
        self._fleet = Fleet(ColdStart((case.cold_start,)))

    def traffic(self) -> Traffic:
        """Return the traffic; it is made when a replay first needs it."""
        if self._traffic is None:
            self._traffic = make_traffic(self.case.trace, self.case.mean_rate, self._last, self.seed)
        return self._traffic

    def _conditions(self) -> Conditions:
        return Conditions(self._fleet, self.traffic(), 1000.0, 250.0)

    def _replay(self, policy: Policy, conditions: Conditions, *, undrain: bool = False) -> Result:
        rate = conditions.traffic.rate
        each = conditions.safe_rate
        initial = max(1, math.ceil(rate[0] / each / 0.7))
        plant = FluidPlant(self._fleet, conditions.traffic, initial, self.seed, undrain=undrain)
        return replay(plant, policy, rate, each, self._first, self._last)

    def peer(self, name: str) -> list[Point]:
        """Return the replays of a peer over its targets; for the near ones also between those around 99 %."""
        points = [self._point(name, target) for target in GRIDS[name]]
        if name in NEAR:
            for line in families(name, points):
                between = _between(line)
                if between is not None:
                    points.append(self._point(name, between))
        return points

    def _point(self, name: str, target: Target) -> Point:
        found = self._kept.find(self.case, self.seed, name, target)
        if found is None:
            conditions = self._conditions()
            numbers = target
            if name == "static":
                numbers = (float(max(1, round(target[0] * conditions.peak))),)
            found = self._replay(PEERS[name].make(conditions, numbers), conditions)
            self._kept.add(self.case, self.seed, name, target, found)
        return Point(target, self.seed, found)

    def ours(
        self,
        parameters: Parameters | None = None,
        *,
        prior: float = 1.0,
        reactive: bool = False,
        undrain: bool = False,
        direct: bool = False,
    ) -> Point:
        """Return the replay of our law: through the HPA, or with its answers written by itself."""
        law = LawPolicy(self._fleet, parameters, prior, reactive=reactive)
        policy: Policy = law if direct else HpaPath(law)
        return Point((), self.seed, self._replay(policy, self._conditions(), undrain=undrain))


def _between(line: Sequence[Point]) -> Target | None:
    """Return the target in the middle of two neighbours of which one attains what is wanted and the other does not."""
    for one, two in itertools.pairwise(line):
        if (one.result.slo_attainment >= WANTED) != (two.result.slo_attainment >= WANTED):
            return tuple((a + b) / 2 for a, b in zip(one.target, two.target, strict=True))
    return None


def hours_at(points: Sequence[Point], attainment: float) -> float:
    """Return the GPU-hours at an attainment, on straight lines between neighbours; not a number if none gets there.

    A point above the attainment counts as it is, where that is cheaper.
    """
    rows = sorted((point.result.slo_attainment, point.result.gpu_hours) for point in points)
    found = [hours for share, hours in rows if share >= attainment]
    for (low, cheap), (high, dear) in itertools.pairwise(rows):
        if low <= attainment <= high and high > low:
            found.append(cheap + (dear - cheap) * (attainment - low) / (high - low))
    return min(found, default=math.nan)


def families(name: str, points: Sequence[Point]) -> list[list[Point]]:
    """Return the points in lines along which one number changes: a straight line between two others means nothing."""
    if name != "llmd-slo":
        return [list(points)]
    gaps: dict[float, list[Point]] = {}
    for point in points:
        gaps.setdefault(round(point.target[0] - point.target[1], 3), []).append(point)
    return list(gaps.values())


def best_hours(name: str, points: Sequence[Point], attainment: float) -> float:
    """Return the GPU-hours of a peer tuned for this case at an attainment."""
    values = [hours_at(line, attainment) for line in families(name, points)]
    return min((value for value in values if not math.isnan(value)), default=math.nan)


def as_json(points: Sequence[Point]) -> Iterator[dict[str, Any]]:
    """Yield the raw data of the points."""
    for point in points:
        yield {"target": point.target, "seed": point.seed} | asdict(point.result)

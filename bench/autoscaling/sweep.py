"""Every policy over its targets on one case, and the GPU-hours of each at the same attainment."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cases import DAY, Case

from autoglm_operator.cli.replay_law import LawPolicy
from autoglm_operator.decide.law.parameters import Parameters
from autoglm_simulator.replay.arrivals import make_traffic
from autoglm_simulator.replay.fluid import FluidPlant
from autoglm_simulator.replay.plant import Policy
from autoglm_simulator.replay.policies import PEERS, Conditions
from autoglm_simulator.replay.run import Result, replay
from autoglm_simulator.replay.settings import ColdStart, Fleet

Target = tuple[float, ...]

GRIDS: dict[str, Sequence[Target]] = {
    "keda-inflight": [(float(target),) for target in (4, 8, 12, 14, 16, 18, 20, 22, 25)],
    "hpa-queue": [(1.0,), (5.0,)],
    "hpa-kv": [(target,) for target in (0.08, 0.12, 0.15, 0.18, 0.25)],
    "kpa": [(float(target),) for target in (8, 12, 16, 20)],
    "apa": [(target,) for target in (0.06, 0.1, 0.15, 0.25)],
    "wva-v1": [(240.0,)],
    "wva-v2": [(float(batch),) for batch in (15, 20, 25, 30)],
    "llmd-slo": [(up, up - gap) for up in (0.35, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8) for gap in (0.1, 0.15)],
    "dynamo": [(rate,) for rate in (1.2, 1.6, 2.0, 2.3, 2.6, 2.9, 3.2)],
    "static": [(float(replicas),) for replicas in range(4, 25, 2)],
    "oracle": [(rate,) for rate in (2.0, 2.5, 2.9, 3.2, 3.5)],
}


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
    """One case with its traffic, for one seed."""

    def __init__(self, case: Case, seed: int) -> None:
        self.case = case
        self.seed = seed
        self._last = round(case.last * DAY)
        self._traffic = make_traffic(case.trace, case.mean_rate, self._last, seed)
        self._fleet = Fleet(ColdStart((case.cold_start,)))
        self._conditions = Conditions(self._fleet, self._traffic, 1000.0, 250.0)

    def _replay(self, policy: Policy) -> Result:
        rate = self._traffic.rate
        each = self._conditions.safe_rate
        plant = FluidPlant(self._fleet, self._traffic, max(1, math.ceil(rate[0] / each / 0.7)), self.seed)
        return replay(plant, policy, rate, each, round(self.case.first * DAY), self._last)

    def peer(self, name: str) -> Iterator[Point]:
        """Yield the replays of a peer over its targets."""
        for target in GRIDS[name]:
            yield Point(target, self.seed, self._replay(PEERS[name].make(self._conditions, target)))

    def ours(self, parameters: Parameters | None = None, *, prior: float = 1.0, reactive: bool = False) -> Point:
        """Return the replay of our law."""
        policy = LawPolicy(self._fleet, parameters, prior, reactive=reactive)
        return Point((), self.seed, self._replay(policy))


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


def as_json(points: Sequence[Point]) -> list[dict[str, Any]]:
    """Return the raw data of the points."""
    return [{"target": point.target, "seed": point.seed} | asdict(point.result) for point in points]

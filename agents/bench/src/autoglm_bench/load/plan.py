"""What a run does: fixed before the first request is sent. Pure."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Any, Final

from autoglm_bench.load.arrivals import Arrival, Arrivals, Phase, arrivals
from autoglm_bench.load.workload import Session, Workload

#: A closed loop has no times, and its end depends on the answers: so many of its sessions are in the hash.
_CLOSED_SESSIONS: Final = 1000


@dataclass(frozen=True, slots=True)
class ClosedLoop:
    """So many users, each of whom sends the next request when the answer to the last is there.

    Attributes:
        concurrency: the users.
        seconds: after this no further session begins.
    """

    concurrency: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Search:
    """Search for the highest rate inside the objective.

    Attributes:
        lowest: requests a second to begin with.
        highest: where to stop.
        seconds: length of each trial.
        precision: how close to the limit, relative.
    """

    lowest: float
    highest: float
    seconds: float
    precision: float = 0.05


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send.

    Attributes:
        profile: its name on the command line.
        workload: what the requests ask.
        seed: makes arrivals and requests repeatable.
        phases: of an open loop; their names are those of the results. Empty for a closed loop or a search.
        trace: arrivals of a trace, instead of `phases`.
        closed: the closed loop, instead of `phases`.
        search: the search, instead of `phases`.
    """

    profile: str
    workload: Workload
    seed: int
    phases: Sequence[Phase] = ()
    trace: Sequence[Arrival] = ()
    closed: ClosedLoop | None = None
    search: Search | None = None

    @property
    def seconds(self) -> float:
        """Length of the load without the last answers; of one trial for a search."""
        if self.closed:
            return self.closed.seconds
        if self.search:
            return self.search.seconds
        return self.trace[-1].at if self.trace else sum(phase.seconds for phase in self.phases)

    def arrivals(self) -> Sequence[Arrival]:
        """Return when sessions begin; empty for a closed loop."""
        return self.trace or list(arrivals(self.phases, self.seed))

    def trial(self, number: int, rate: float) -> "Plan":
        """Return the plan of one trial of a search: random arrivals at one rate."""
        assert self.search is not None  # noqa: S101  a plan without a search has no trials
        name = f"trial {number}: {rate:.4g}/s"
        phase = Phase(name, rate, self.search.seconds, Arrivals.POISSON)
        return replace(self, phases=(phase,), search=None, seed=self.seed + number)

    def document(self) -> dict[str, Any]:
        """Return what the result says of the plan."""
        document: dict[str, Any] = {"profile": self.profile, "seed": self.seed, "workload": self.workload.document()}
        if self.closed:
            document["closedLoop"] = asdict(self.closed)
        elif self.search:
            document["search"] = asdict(self.search)
        elif self.trace:
            document["trace"] = {"requests": len(self.trace), "seconds": self.seconds}
        document["phases"] = [_phase(phase) for phase in self.phases]
        return document


def _phase(phase: Phase) -> dict[str, Any]:
    document = {"name": phase.name, "rate": phase.rate, "seconds": phase.seconds, "arrivals": phase.arrivals.value}
    if phase.end_rate is not None:
        document["endRate"] = phase.end_rate
    if phase.arrivals is Arrivals.GAMMA:
        document["burstiness"] = phase.burstiness
    return document


def spec_hash(plan: Plan) -> str:
    """Return the hash of what was asked for."""
    return _hash([json.dumps(plan.document(), sort_keys=True)])


def sequence_hash(plan: Plan) -> str:
    """Return the hash of what is sent and when: equal hashes are equal requests at equal times."""
    if plan.closed or plan.search:
        lines = (session.canonical() for session in islice(_sessions(plan, ()), _CLOSED_SESSIONS))
        return _hash([spec_hash(plan), *lines])
    starts = plan.arrivals()
    sessions = zip(starts, _sessions(plan, starts), strict=False)
    return _hash([spec_hash(plan), *(f"{at.at:.6f} {at.phase} {session.canonical()}" for at, session in sessions)])


def _sessions(plan: Plan, starts: Sequence[Arrival]) -> Iterable[Session]:
    if starts:
        return (plan.workload.session(number, arrival.shape) for number, arrival in enumerate(starts))
    return (plan.workload.session(number) for number in range(_CLOSED_SESSIONS))


def _hash(lines: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line.encode() + b"\n")
    return f"sha256:{digest.hexdigest()}"

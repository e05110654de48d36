"""What the kubelet is told of the engine: alive or not, ready or not, and why. Pure."""

from dataclasses import dataclass
from typing import Final

from autoglm_agent.engine.health import EngineState
from autoglm_agent.faults import Fault
from autoglm_agent.state import State
from autoglm_agent.xid import Action

#: An engine that was alive and has not answered for this long is taken for dead; the kubelet then waits for its own
#: failure threshold, two minutes in our pods. A busy engine answers late, and each of its answers ends the wait.
DEAD_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a probe gets.

    Attributes:
        ok: whether it passes.
        reason: why, for people.
    """

    ok: bool
    reason: str


def liveness(state: State) -> Answer:
    """Return whether the engine should go on: it fails only for what a restart cures.

    An engine that is still starting passes, for its start-up is the startup probe's affair. One that nobody checks
    passes too: an agent that is blind must not end an engine.
    """
    engine, verdict = state.engine, state.report.verdict
    if verdict.hung:
        return Answer(ok=False, reason=f"hung: {verdict.reason}")
    if fault := _asking(state, {Action.RESTART}):
        return Answer(ok=False, reason=f"GPU fault {fault.code}: {fault.message}")
    silent = state.now - engine.since
    if engine.state is EngineState.UNREACHABLE and engine.fresh(state.now) and silent > DEAD_SECONDS:
        return Answer(ok=False, reason=f"dead: not reachable for {silent:.0f} s: {engine.reason}")
    return Answer(ok=True, reason=f"{engine.state.value}: {engine.reason}")


def readiness(state: State) -> Answer:
    """Return whether the engine should get requests."""
    engine, report = state.engine, state.report
    if not engine.alive(state.now):
        return Answer(ok=False, reason=f"{engine.state.value}: {engine.reason}")
    if report.verdict.hung:
        return Answer(ok=False, reason=f"hung: {report.verdict.reason}")
    figures = report.fresh(state.now)
    if figures and figures.sample.held:
        return Answer(ok=False, reason=figures.sample.held)
    if fault := _asking(state, {Action.NOT_READY, Action.RESTART, Action.DRAIN}):
        return Answer(ok=False, reason=f"GPU fault {fault.code}: {fault.message}")
    return Answer(ok=True, reason=engine.reason)


def _asking(state: State, actions: set[Action]) -> Fault | None:
    asking = (fault for fault in state.snapshot.faults if fault.action in actions)
    return max(asking, key=lambda fault: fault.action.rank, default=None)

import pytest

from autoglm_agent.engine.health import EngineState, EngineStatus
from autoglm_agent.engine.names import EngineKind
from autoglm_agent.engine.sample import EngineSample
from autoglm_agent.engine.view import Figures
from autoglm_agent.faults import Fault
from autoglm_agent.probes import DEAD_SECONDS, liveness, readiness
from autoglm_agent.report import EngineReport
from autoglm_agent.sampler import Snapshot
from autoglm_agent.signals.progress import Verdict
from autoglm_agent.state import State
from autoglm_agent.xid import Action, Severity

NOW = 1000.0


def state(engine=EngineState.ALIVE, since=0.0, checked=NOW - 1, actions=(), held="", hung=False):
    faults = tuple(
        Fault("GPU-a", Severity.CRITICAL, f"xid-{n}", each, "it is sick", NOW) for n, each in enumerate(actions)
    )
    figures = Figures(EngineSample(NOW - 1, EngineKind.VLLM, 1.0, 0.0, 0.5, held=held))
    report = EngineReport(figures=figures, verdict=Verdict(hung=hung, reason="no token for 40 s"))
    return State(Snapshot("nvml", faults=faults), EngineStatus(engine, "why", since, checked), NOW, report)


def both(of):
    return liveness(of).ok, readiness(of).ok


def test_engine_that_is_well():
    assert both(state()) == (True, True)


def test_engine_that_starts_lives_and_is_not_ready():
    assert both(state(EngineState.STARTING)) == (True, False)


def test_hung_engine_fails_both_with_the_reason():
    assert both(state(hung=True)) == (False, False)
    assert liveness(state(hung=True)).reason == "hung: no token for 40 s"


def test_unreachable_engine_is_dead_only_after_a_while():
    assert both(state(EngineState.UNREACHABLE, since=NOW - DEAD_SECONDS)) == (True, False)
    assert both(state(EngineState.UNREACHABLE, since=NOW - DEAD_SECONDS - 1)) == (False, False)


def test_blind_agent_ends_no_engine():
    blind = state(EngineState.UNREACHABLE, since=0.0, checked=NOW - 60)

    assert both(blind) == (True, False)


@pytest.mark.parametrize(
    ("actions", "expected"),
    [
        ([Action.NONE], (True, True)),
        ([Action.NOT_READY], (True, False)),
        ([Action.DRAIN], (True, False)),
        ([Action.RESTART], (False, False)),
        ([Action.NONE, Action.RESTART, Action.DRAIN], (False, False)),
    ],
)
def test_faults_of_the_gpu_act_as_they_say(actions, expected):
    assert both(state(actions=actions)) == expected


def test_reason_names_the_strongest_fault():
    reason = readiness(state(actions=[Action.NOT_READY, Action.DRAIN, Action.RESTART])).reason

    assert reason == "GPU fault xid-1: it is sick"


def test_sleeping_engine_lives_and_gets_no_requests():
    assert both(state(held="the engine sleeps")) == (True, False)

"""Our control law as a policy of a replay: what a tick of the autoscaler gives it, from what the plant measures."""

from autoglm_operator.decide.law.capacity import Capacity, Speed
from autoglm_operator.decide.law.law import State, decide
from autoglm_operator.decide.law.parameters import Parameters
from autoglm_operator.decide.law.types import Decision, Sample, Target
from autoglm_simulator.replay.plant import Observation
from autoglm_simulator.replay.settings import Fleet

TICK = 5
"""Seconds between two scrapes of the engines, each followed by a decision."""


class LawPolicy:
    """The law, with the profile of the replayed fleet as what it believes at first.

    Args:
        fleet: Replicas, objectives and bounds.
        parameters: Of the law; the one set if left out.
        prior: Factor on the times of the profile: other than 1, the law starts from a wrong one.
        reactive: Whether it goes without forecast.
    """

    def __init__(
        self, fleet: Fleet, parameters: Parameters | None = None, prior: float = 1.0, *, reactive: bool = False
    ) -> None:
        self.period = TICK
        self.lag = TICK
        self._parameters = parameters or Parameters()
        lead = fleet.cold_start.median
        self._target = Target(fleet.ttft, fleet.itl, lead, fleet.min_replicas, fleet.max_replicas, reactive=reactive)
        self.state = State(Capacity(_speed(fleet, prior), _speed(fleet, prior)))
        self.decision: Decision | None = None

    def decide(self, seen: Observation) -> int:
        """Return the replicas wanted."""
        sample = Sample(
            now=seen.now,
            seconds=seen.seconds,
            arrivals=seen.arrivals,
            input_tokens=seen.input_tokens,
            output_tokens=seen.output_tokens,
            waiting=seen.waiting,
            batch=seen.batch,
            prefill_rate=seen.prefill_rate,
            itl=seen.itl,
            requests=seen.requests,
            late=seen.late,
            ready=seen.ready,
            ordered=seen.ordered,
        )
        self.decision = decide(self._parameters, self._target, self.state, sample)
        return self.decision.replicas


def _speed(fleet: Fleet, factor: float) -> Speed:
    return Speed(
        fleet.decode_base * factor,
        fleet.decode_per_sequence * factor,
        fleet.prefill_per_token * factor,
        fleet.max_batch,
        fleet.kv_tokens,
    )

"""Objectives that no number of replicas can meet, by what is learned of one replica: pure.

A request that has a replica to itself gets its tokens one step apart, and its first one when its prompt is computed. No
replica is any faster because there are others, so that none is ordered for an objective below that.
"""

from collections.abc import Collection, Mapping
from typing import Final

from autoglm_operator.api.status import ScalingLimit
from autoglm_operator.decide.law.capacity import Speed
from autoglm_operator.decide.scaling.needs import Signals, Tail, milliseconds

OBJECTIVE_UNREACHABLE: Final = "ObjectiveUnreachable"
TTFT: Final = "TTFT"
ITL: Final = "ITL"
#: Over what a replica reaches at best, from which an objective counts as in reach again: the fit moves by some percent.
_AGAIN: Final = 1.1
_CURE: Final = "raise it, or use a faster GPU, quantization or more tensor parallelism"


def unreachable(
    speed: Speed, prompt: float, objectives: tuple[float, float], signals: Signals, before: Collection[str]
) -> Mapping[str, ScalingLimit]:
    """Return what to say of each objective that is out of reach, by its name.

    Args:
        speed: of a replica, as learned.
        prompt: tokens of the usual prompt that have to be computed.
        objectives: for TTFT and ITL, in seconds.
        signals: what was measured lately contradicts: an objective that is met is in reach.
        before: names that were out of reach until now.
    """
    ttft, itl = objectives
    step, prefill = speed.decode_base + speed.decode_per_sequence, speed.prefill_per_token * prompt
    found = {}
    if _is_out_of_reach(itl, step, signals.itl, again=ITL in before):
        found[ITL] = _limit(
            f"objective.itlP99 of {milliseconds(itl)} is met by no number of replicas: a token takes "
            f"{milliseconds(step)} where a request has a replica to itself"
        )
    if _is_out_of_reach(ttft, prefill, signals.ttft, again=TTFT in before):
        found[TTFT] = _limit(
            f"objective.ttftP99 of {milliseconds(ttft)} is met by no number of replicas: the usual prompt of "
            f"{prompt:,.0f} tokens takes {milliseconds(prefill)} where a request has a replica to itself"
        )
    return found


def _is_out_of_reach(objective: float, best: float, tail: Tail | None, *, again: bool) -> bool:
    # A P99 beyond the last bound of the engine's buckets is told as that bound, which may be the objective.
    if tail is not None and tail.p99 < objective:
        return False
    return objective < best * (_AGAIN if again else 1.0)


def _limit(what: str) -> ScalingLimit:
    return ScalingLimit(reason=OBJECTIVE_UNREACHABLE, message=f"{what}; {_CURE}")

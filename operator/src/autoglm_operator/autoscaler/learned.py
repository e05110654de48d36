"""What is believed and learned of one deployment: the law's state, the replica that it is about, and what it serves."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final, Self

from autoglm_operator.api.status import ScalingLimit
from autoglm_operator.api.types import seconds
from autoglm_operator.api.v1alpha1 import Autoscaling, PredictionMode
from autoglm_operator.autoscaler.pods import Target
from autoglm_operator.decide.bottleneck import Setup
from autoglm_operator.decide.law import store
from autoglm_operator.decide.law.capacity import BELIEVED, SURE, Capacity, guess
from autoglm_operator.decide.law.law import State
from autoglm_operator.decide.law.parameters import Parameters
from autoglm_operator.decide.law.types import Target as Goal
from autoglm_operator.decide.scaling.bounds import Bounds
from autoglm_operator.decide.scaling.needs import Signals
from autoglm_operator.decide.scaling.rule import ASSUMED_BATCH
from autoglm_operator.decide.scaling.unreachable import ITL, TTFT, unreachable

#: Seconds from an order to a replica that serves, until one did: about what a pod takes that pulls its image and the
#: weights of a model of 9B. More than it takes costs a little reserve, less would order too late.
DEFAULT_LEAD: Final = 240.0
#: Over the time of a step with a single request, what is planned for at least: an objective just above it would leave
#: no time for prompts, and order a replica for each request.
_ROOM: Final = 1.25
#: Relative change of an objective or a limit from which the capacity is computed anew.
_ANOTHER: Final = 0.02


@dataclass(slots=True)
class Learned:
    """What is known of one deployment.

    Attributes:
        state: of the law.
        unmet: what to say of each objective that no number of replicas meets, by its name.
        computed: what the capacity was computed for, beside requests and times.
    """

    state: State
    unmet: Mapping[str, ScalingLimit] = field(default_factory=dict)
    computed: tuple[float, ...] = ()

    @classmethod
    def of(cls, target: Target, stored: dict[str, Any]) -> Self:
        """Return what was stored, as far as it is about the replica of `target`; what is believed of it otherwise."""
        return cls(store.load(_begin(target), stored))

    @property
    def sure(self) -> bool:
        """Whether the capacity of a replica is learned."""
        return self.state.capacity.samples >= SURE

    @property
    def counts(self) -> bool:
        """Whether enough is known for the law to count."""
        return self.sure or not self.state.capacity.guessed

    def follow(self, target: Target) -> None:
        """Begin anew with what a replica carries if the spec is about another model or GPU; requests stay the same."""
        begun, capacity = _begin(target), self.state.capacity
        same = store.same(store.times(begun.prior), store.times(capacity.prior))
        if begun.guessed == capacity.guessed and (same or begun.guessed):
            capacity.speed.max_batch, capacity.speed.kv_tokens = begun.prior.max_batch, begun.prior.kv_tokens
            return
        begun.input_tokens, begun.output_tokens = capacity.input_tokens, capacity.output_tokens
        begun.mixed = capacity.mixed
        self.state.capacity = begun

    def goal(self, target: Target, autoscaling: Autoscaling, bounds: Bounds, signals: Signals) -> Goal:
        """Return what the law serves; an objective that no number of replicas meets is none."""
        capacity, speed = self.state.capacity, self.state.capacity.speed
        told = (seconds(autoscaling.objective.ttft_p99), seconds(autoscaling.objective.itl_p99))
        self.unmet = unreachable(speed, capacity.input_tokens, told, signals, self.unmet) if self.sure else {}
        ttft, itl = (math.inf if name in self.unmet else value for name, value in zip((TTFT, ITL), told, strict=True))
        itl = max(itl, _ROOM * (speed.decode_base + speed.decode_per_sequence))
        computed = (ttft, itl, speed.max_batch, speed.kv_tokens)
        if not self.computed or not all(map(_close, computed, self.computed)):
            # The law computes it anew when requests or times change, and knows of nothing else that may.
            self.computed, capacity.rate = computed, 0.0
        reactive = autoscaling.prediction.mode is PredictionMode.REACTIVE
        return Goal(ttft, itl, lead_of(target), bounds.least, bounds.most, reactive=reactive)

    def objectives(self, setup: Setup) -> Setup:
        """Return the setup without objectives that nobody is late by for want of replicas."""
        if not self.unmet:
            return setup
        ttft, itl = None if TTFT in self.unmet else setup.ttft, None if ITL in self.unmet else setup.itl
        return replace(setup, ttft=ttft, itl=itl)

    def mendable(self, signals: Signals) -> Signals:
        """Return the signals without the latencies that no number of replicas brings to their objective."""
        if not self.unmet:
            return signals
        ttft, itl = None if TTFT in self.unmet else signals.ttft, None if ITL in self.unmet else signals.itl
        return replace(signals, ttft=ttft, itl=itl)


def _close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=_ANOTHER)


def batch_of(target: Target) -> int:
    """Return the most requests in the batch of one replica: of the spec, or the engine's default on its GPU."""
    believed = target.spec_prior.max_batch if target.spec_prior else ASSUMED_BATCH
    return target.batch or int(believed)


def lead_of(target: Target) -> float:
    """Return the seconds from an order to a replica that serves, as learned or assumed."""
    return DEFAULT_LEAD if target.lead is None else target.lead


@lru_cache(maxsize=256)
def parameters(hold: float) -> Parameters:
    """Return the numbers of the law with the hold of one spec, in seconds."""
    return replace(Parameters(), hold_seconds=max(1.0, hold))


def _begin(target: Target) -> Capacity:
    """Return what is believed of a replica that nobody has seen."""
    prior = target.spec_prior
    if prior is not None:
        return Capacity(replace(prior), replace(prior), trust=BELIEVED)
    tokens = target.serving.kv_cache_tokens if target.serving else None
    return guess(float(batch_of(target)), float(tokens) if tokens else math.inf)

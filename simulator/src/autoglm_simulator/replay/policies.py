"""The peers by name, and how a target is read for each."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from autoglm_simulator.replay.fluid import safe_rate
from autoglm_simulator.replay.hpa import SYNC
from autoglm_simulator.replay.peers.aibrix import Apa
from autoglm_simulator.replay.peers.dynamo import Dynamo
from autoglm_simulator.replay.peers.knative import Kpa
from autoglm_simulator.replay.peers.llmd import LlmdSlo, WvaV1, WvaV2
from autoglm_simulator.replay.peers.reference import Oracle, Static
from autoglm_simulator.replay.peers.signals import HpaKv, HpaQueue, KedaInflight
from autoglm_simulator.replay.plant import Policy
from autoglm_simulator.replay.settings import Fleet
from autoglm_simulator.replay.traffic import Traffic


class PolicyError(ValueError):
    """A policy or target that there is not: says what was given and what is expected."""


@dataclass(frozen=True)
class Conditions:
    """What a policy may be built from.

    Attributes:
        fleet: The replicas.
        traffic: The traffic; only the oracle and the static policy look.
        input_tokens: Prompt tokens per request at the start.
        output_tokens: Output tokens per request at the start.
    """

    fleet: Fleet
    traffic: Traffic
    input_tokens: float
    output_tokens: float

    @property
    def safe_rate(self) -> float:
        """Requests per second of one replica at which steady traffic just meets the objectives."""
        return safe_rate(self.fleet, self.input_tokens, self.output_tokens)

    @property
    def peak(self) -> int:
        """Replicas that carry the highest expected rate."""
        return max(1, math.ceil(max(self.traffic.rate) / self.safe_rate))


@dataclass(frozen=True)
class Peer:
    """One peer.

    Attributes:
        target: What its target is, with its unit.
        default: The target when none is given, as its vendor ships it; `None` if it follows from the conditions.
        make: Builds the policy for the numbers of a target.
        numbers: How many numbers a target may have.
    """

    target: str
    default: tuple[float, ...] | None
    make: Callable[[Conditions, tuple[float, ...]], Policy]
    numbers: int = 1


_LLMD_GAP: Final = 0.15
"""Between the two thresholds of llm-d's defaults."""
#: Requests in the batch at which a replica of the reference plant saturates.
_WVA_BATCH: Final = 30.0


def _llmd(conditions: Conditions, target: tuple[float, ...]) -> Policy:
    del conditions
    return LlmdSlo(target[0], target[1] if len(target) > 1 else target[0] - _LLMD_GAP)


def _oracle(conditions: Conditions, target: tuple[float, ...]) -> Policy:
    rate = target[0] if target else 0.7 * conditions.safe_rate
    lead = math.ceil(1.1 * conditions.fleet.cold_start.median + SYNC)
    return Oracle(conditions.traffic.rate, lead, rate)


PEERS: Final[Mapping[str, Peer]] = MappingProxyType(
    {
        "keda-inflight": Peer("requests in flight per replica", (16.0,), lambda _, t: KedaInflight(t[0])),
        "hpa-queue": Peer("waiting requests per replica", (3.0,), lambda _, t: HpaQueue(t[0])),
        "hpa-kv": Peer("share of the KV cache in use", (0.5,), lambda _, t: HpaKv(t[0])),
        "kpa": Peer("requests in flight per replica", (70.0,), lambda _, t: Kpa(t[0])),
        "apa": Peer("share of the KV cache in use", (0.5,), lambda _, t: Apa(t[0])),
        "wva-v1": Peer("seconds of the HPA's stabilization window", (240.0,), lambda _, t: WvaV1(int(t[0]))),
        "wva-v2": Peer("requests in a batch that is saturated", (_WVA_BATCH,), lambda c, t: WvaV2(c.fleet, t[0])),
        "llmd-slo": Peer("latency over objective to scale up at, and to scale down at", (0.55, 0.40), _llmd, 2),
        "dynamo": Peer(
            "requests per second of one replica",
            None,
            lambda c, t: Dynamo(c.fleet, t[0] if t else c.safe_rate),
        ),
        "static": Peer("replicas", None, lambda c, t: Static(int(t[0]) if t else c.peak)),
        "oracle": Peer("requests per second of one replica", None, _oracle),
    }
)


def make_policy(name: str, target: str | None, conditions: Conditions) -> Policy:
    """Return the peer `name` with its target, such as `16` or, for two numbers, `0.55:0.40`.

    Raises:
        PolicyError: There is no such peer, or its target is not of this form.
    """
    peer = PEERS.get(name)
    if peer is None:
        raise PolicyError(f"policy {name!r} is not known; expected one of {', '.join(PEERS)}")
    return peer.make(conditions, parse_target(name, peer, target))


def parse_target(name: str, peer: Peer, target: str | None) -> tuple[float, ...]:
    """Return the numbers of a target; the default, or nothing, if none is given."""
    if target is None:
        return peer.default or ()
    try:
        numbers = tuple(float(part) for part in target.split(":"))
    except ValueError:
        numbers = ()
    if not 1 <= len(numbers) <= peer.numbers or any(not math.isfinite(number) or number <= 0 for number in numbers):
        form = "a number above 0" if peer.numbers == 1 else "one or two numbers above 0, such as 0.55:0.40"
        raise PolicyError(f"target of {name}: got {target!r}, expected {form}: {peer.target}")
    return numbers

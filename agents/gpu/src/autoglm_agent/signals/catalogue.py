"""The signals: what they watch and where their thresholds are, once."""

from dataclasses import dataclass
from typing import Final

from autoglm_agent.signals.window import Gate


@dataclass(frozen=True, slots=True)
class Signal:
    """A signal.

    Attributes:
        name: in metrics, `/state` and logs.
        rise: value from which it fires, after three periods.
        fall: value below which it ends, after three periods.
        meaning: what the value is.
    """

    name: str
    rise: float
    fall: float
    meaning: str

    def gate(self) -> Gate:
        """Return a gate for it."""
        return Gate(self.rise, self.fall)


#: Engines take 0.9 to 0.95 of the memory for themselves, and all that comes on top of that comes late.
MEMORY: Final = Signal("memory_pressure", 0.97, 0.95, "share of the GPU memory in use, the fullest GPU")
MEMORY_SOON: Final = Signal("memory_exhaustion", 1 / 120, 1 / 300, "1 over the seconds until GPU memory is used up")
KV: Final = Signal("kv_pressure", 0.9, 0.8, "share of the KV cache in use")
KV_SOON: Final = Signal("kv_exhaustion", 1 / 30, 1 / 120, "1 over the seconds until the KV cache is used up")
#: One in ten seconds: each preempted request is computed again from its first token.
PREEMPTION: Final = Signal("preemption", 0.1, 0.02, "requests that lost their KV blocks, per second")

#: Name of the signal whose thresholds the tolerance sets.
DEVIATION: Final = "deviation"
#: The signals of the GPUs, and those of the engine; `deviation` has thresholds by tolerance.
SIGNALS: Final = (MEMORY, MEMORY_SOON, KV, KV_SOON, PREEMPTION)

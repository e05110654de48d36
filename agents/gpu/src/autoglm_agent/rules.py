"""Conditions of a GPU that are faults, each with the time it must last: one table.

A GPU that is slow still serves, so a slowdown asks for nothing of the pod; it is for the alerts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from autoglm_agent.device import ClockEvent, GpuSample
from autoglm_agent.xid import Action, Remedy, Severity, recovery_name, recovery_remedy

#: A GPU is under load from this utilization on: below it the link may sleep.
_LOAD: Final = 0.3


@dataclass(frozen=True, slots=True)
class Rule:
    """A condition of a sample that is a fault.

    Attributes:
        code: of the fault.
        holds: whether a sample shows it.
        remedy: what to do about it.
        words: what the sample shows, for people.
        after: seconds that it must last without a break.
        until: seconds that it must be gone.
    """

    code: str
    holds: Callable[[GpuSample], bool]
    remedy: Callable[[GpuSample], Remedy]
    words: Callable[[GpuSample], str]
    after: float = 0.0
    until: float = 10.0


def _slowdown(code: str, bit: ClockEvent, words: str, advice: str) -> Rule:
    mask = int(bit)  # a plain number: `&` of flags makes a flag, which takes ten times as long
    return Rule(
        code,
        lambda sample: bool((sample.clock_events or 0) & mask),
        lambda _: Remedy(Severity.WARNING, Action.NONE, advice),
        lambda sample: words + _clock(sample),
        after=10.0,
        until=30.0,
    )


def _clock(sample: GpuSample) -> str:
    figures = []
    if sample.sm_clock_hertz is not None:
        figures.append(f"SM clock {sample.sm_clock_hertz / 1e6:.0f} MHz")
    if sample.temperature_celsius is not None:
        figures.append(f"{sample.temperature_celsius:.0f} °C")
    return f" ({', '.join(figures)})" if figures else ""


def _link_is_slow(sample: GpuSample) -> bool:
    """Tell whether a busy GPU's link is below what GPU and slot can do."""
    pairs = (
        (sample.pcie_generation, sample.pcie_generation_max),
        (sample.pcie_width, sample.pcie_width_max),
    )
    busy = max(sample.utilization or 0.0, sample.sm_utilization or 0.0) >= _LOAD
    return busy and any(now is not None and most is not None and 0 < now < most for now, most in pairs)


#: The table.
RULES: Final = (
    Rule(
        "recovery-action",
        lambda sample: bool(sample.recovery_action),
        lambda sample: recovery_remedy(sample.recovery_action or 0),
        lambda sample: f"the driver asks for {recovery_name(sample.recovery_action or 0)}",
    ),
    Rule(
        "row-remap-failed",
        lambda sample: sample.row_remap_failed is True,
        lambda _: Remedy(Severity.CRITICAL, Action.DRAIN, "drain the GPU and have it replaced"),
        lambda _: "a memory row could not be remapped",
    ),
    Rule(
        "row-remap-pending",
        lambda sample: sample.row_remap_pending is True,
        lambda _: Remedy(Severity.WARNING, Action.NONE, "reset the GPU when it is convenient"),
        lambda _: "a memory row waits to be remapped",
    ),
    _slowdown(
        "hw-thermal-slowdown",
        ClockEvent.HW_THERMAL_SLOWDOWN,
        "the hardware lowers the clocks because it is too hot",
        "check the node's cooling",
    ),
    _slowdown(
        "power-brake",
        ClockEvent.HW_POWER_BRAKE_SLOWDOWN,
        "the hardware lowers the clocks because the power supply asks for it",
        "check the rack's power",
    ),
    Rule(
        "pcie-degraded",
        _link_is_slow,
        lambda _: Remedy(Severity.WARNING, Action.NONE, "reseat the GPU when it is convenient"),
        lambda sample: (
            f"the PCIe link runs at generation {sample.pcie_generation} x{sample.pcie_width}"
            f" under load; expected {sample.pcie_generation_max} x{sample.pcie_width_max}"
        ),
        after=30.0,
        until=30.0,
    ),
)

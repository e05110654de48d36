"""What NVIDIA's XID errors and recovery actions mean for the pod: one table each.

Sources: the catalogue "XID Errors" of NVIDIA's GPU deployment documentation (its column "immediate action", for Ampere
and newer) and nvml.h. The words are ours. What the table does not know asks for nothing: a pod is not taken down for
a number that nobody has looked up.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from autoglm_agent.device import RecoveryAction


class Severity(StrEnum):
    """How much a fault weighs."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Action(StrEnum):
    """What the pod should do, from the mildest to the strongest.

    NONE: serve on. RESTART: restart the engine's container. NOT_READY: take no traffic until the fault clears.
    DRAIN: take no traffic and leave: the GPU or its node has to be reset, which no restart of the pod does.
    """

    NONE = "none"
    RESTART = "restart"
    NOT_READY = "not-ready"
    DRAIN = "drain"

    @property
    def rank(self) -> int:
        """Place in the order; the strongest wins where there are several."""
        return list(Action).index(self)


@dataclass(frozen=True, slots=True)
class Remedy:
    """What to do about an error.

    Attributes:
        severity: how much it weighs.
        action: what the pod should do.
        advice: what a person should do, as the end of a sentence.
    """

    severity: Severity
    action: Action
    advice: str


RESTART_NODE: Final = Remedy(Severity.CRITICAL, Action.DRAIN, "drain the node and restart it")
RESET_GPU: Final = Remedy(Severity.CRITICAL, Action.DRAIN, "drain the GPU and reset it")
CHECK_HARDWARE: Final = Remedy(Severity.CRITICAL, Action.DRAIN, "drain the node and check its power cables")
RESTART_ENGINE: Final = Remedy(Severity.WARNING, Action.RESTART, "the engine restarts")
UPDATE_SOFTWARE: Final = Remedy(Severity.WARNING, Action.NONE, "update the driver or the firmware")
FOLLOW_OTHER: Final = Remedy(Severity.INFO, Action.NONE, "it follows another XID: look for that one")
IGNORE: Final = Remedy(Severity.INFO, Action.NONE, "nothing to do")
LOOK_UP: Final = Remedy(Severity.WARNING, Action.NONE, "look it up in NVIDIA's catalogue of XID errors")


def _numbers(*ranges: int | tuple[int, int]) -> Iterator[int]:
    for each in ranges:
        first, last = each if isinstance(each, tuple) else (each, each)
        yield from range(first, last + 1)


_BY_REMEDY: Final = (
    (RESTART_NODE, _numbers(79, 151)),
    (RESET_GPU, _numbers(46, 48, 62, 64, 74, 95, 109, 110, 119, 120, 136, 140, 143, (144, 150), 155, 156, 158)),
    (CHECK_HARDWARE, _numbers(54)),
    (
        RESTART_ENGINE,
        _numbers(
            8,
            11,
            13,
            25,
            31,
            32,
            (39, 41),
            60,
            (68, 72),
            (75, 77),
            80,
            (82, 86),
            88,
            89,
            94,
            (96, 105),
            (126, 135),
            139,
        ),
    ),
    (UPDATE_SOFTWARE, _numbers(78)),
    (FOLLOW_OTHER, _numbers(45)),
    (
        IGNORE,
        _numbers(14, 37, 38, 43, 44, 63, 66, 67, 92, 93, (106, 108), 121, 137, 141, 152, 153, 154, 157, 160, 161),
    ),
)

#: Remedy of each XID; `remedy` answers for the others.
REMEDIES: Final[Mapping[int, Remedy]] = {xid: remedy for remedy, xids in _BY_REMEDY for xid in xids}

#: What happened, for the errors that people meet; the others are named by their number.
MEANINGS: Final[Mapping[int, str]] = {
    13: "exception in a kernel",
    31: "page fault in GPU memory",
    43: "the GPU stopped processing for one process",
    45: "work was ended before its time",
    46: "the GPU stopped processing",
    48: "double-bit memory error",
    54: "auxiliary power is not connected",
    62: "the power management unit halted",
    63: "a memory row was remapped",
    64: "a memory row could not be remapped",
    74: "NVLink error",
    79: "the GPU has fallen off the bus",
    92: "many single-bit memory errors",
    94: "contained memory error",
    95: "uncontained memory error",
    109: "time-out of a context switch",
    110: "security fault",
    119: "time-out of the GPU's system processor",
    120: "error of the GPU's system processor",
    136: "an NVLink did not train",
    140: "memory error that was not corrected",
    143: "the GPU could not be initialised",
    154: "the recovery action changed",
    155: "NVLink software error",
    156: "a resource was retired",
    158: "fatal time-out",
}

#: What the driver's advice means for the pod; `recovery_remedy` answers for values that are newer than this table.
RECOVERIES: Final[Mapping[int, Remedy]] = {
    RecoveryAction.NONE: IGNORE,
    RecoveryAction.GPU_RESET: RESET_GPU,
    RecoveryAction.NODE_REBOOT: RESTART_NODE,
    RecoveryAction.DRAIN_P2P: Remedy(Severity.CRITICAL, Action.DRAIN, "drain the GPUs that share its NVLinks"),
    RecoveryAction.DRAIN_AND_RESET: RESET_GPU,
    RecoveryAction.RECOVER_IMEX_DOMAIN: Remedy(
        Severity.CRITICAL, Action.NOT_READY, "recover the IMEX domain of the node"
    ),
    RecoveryAction.BUS_RESET: RESET_GPU,
    RecoveryAction.SYSTEM_REBOOT: RESTART_NODE,
}


def remedy(xid: int) -> Remedy:
    """Return what to do about an XID."""
    return REMEDIES.get(xid, LOOK_UP)


def recovery_remedy(value: int) -> Remedy:
    """Return what to do about a recovery action; the driver asks for more than nothing, so an unknown one drains."""
    return RECOVERIES.get(value, Remedy(Severity.CRITICAL, Action.DRAIN, "drain the node and see its driver's log"))


def recovery_name(value: int) -> str:
    """Return the name of a recovery action, such as `gpu-reset`."""
    known = value in RecoveryAction._value2member_map_
    return RecoveryAction(value).name.lower().replace("_", "-") if known else f"unknown-{value}"

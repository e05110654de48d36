"""`--once`: what the agent sees now, for a person with a shell on a GPU machine."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from autoglm_agent.device import ClockEvent, GpuSample
from autoglm_agent.faults import Fault, worst
from autoglm_agent.sampler import Snapshot
from autoglm_agent.state import State, document
from autoglm_agent.xid import Action

#: Exit statuses; 2 is a wrong option.
WELL: Final = 0
NO_GPU: Final = 1
FAULT: Final = 3
#: Between the two samples: the profiler's figures are the difference of two that lie 100 ms apart.
SETTLE_SECONDS: Final = 0.25

_MIB: Final = 1 << 20
_MEGA: Final = 1e6


def run(state: State, output: str, wall_time: float, write: Callable[[str], Any]) -> int:
    """Write the state and return the exit status: 0 if all is well, 1 without a GPU, 3 if a fault asks for something.

    Args:
        state: what was seen.
        output: `json` or `table`.
        wall_time: Unix time of the state.
        write: takes the text.
    """
    if output == "json":
        snapshot = state.snapshot
        shown = document(state, wall_time) | {"sourceReason": snapshot.why, "driver": snapshot.driver}
        write(json.dumps(shown, indent=2) + "\n")
    else:
        write("\n".join(_lines(state)) + "\n")
    if state.snapshot.down or not state.snapshot.fresh(state.now):
        return NO_GPU
    return WELL if worst(state.snapshot.faults) is Action.NONE else FAULT


def _lines(state: State) -> Iterator[str]:
    snapshot = state.snapshot
    yield f"source  {snapshot.source}{f', driver {snapshot.driver}' if snapshot.driver else ''}"
    yield f"why     {snapshot.why}"
    if snapshot.down:
        yield f"down    {snapshot.down}"
    if snapshot.errors:
        yield "errors  " + ", ".join(f"{reason} ({count})" for reason, count in sorted(snapshot.errors.items()))
    yield f"engine  {state.engine.state.value}: {state.engine.reason}"
    samples = sorted(snapshot.fresh(state.now), key=lambda sample: (sample.index, sample.uuid))
    if samples:
        yield ""
        yield from _table(samples)
        yield from _remarks(samples)
    yield from _faults(snapshot)


def _table(samples: Sequence[GpuSample]) -> Iterator[str]:
    """Yield the figures, a line for each device; a column that no device fills is left out."""
    rows = [[cell(sample) for _, cell in _COLUMNS] for sample in samples]
    kept = [place for place in range(len(_COLUMNS)) if any(row[place] != _UNTOLD for row in rows)]
    table = [[_COLUMNS[place][0] for place in kept], *([row[place] for place in kept] for row in rows)]
    widths = [max(len(line[column]) for line in table) for column in range(len(kept))]
    for line in table:
        yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()


_UNTOLD: Final = "-"


def _number(value: float | None, unit: float = 1.0, form: str = ".0f") -> str:
    return _UNTOLD if value is None else format(value / unit, form)


def _of(now: str, most: str) -> str:
    return now if most in {_UNTOLD, now} or now == _UNTOLD else f"{now} of {most}"


def _link(generation: int | None, lanes: int | None) -> str:
    return _UNTOLD if generation is None or lanes is None else f"{generation} x{lanes}"


#: Heads, with their units, and cells.
_COLUMNS: Final[tuple[tuple[str, Callable[[GpuSample], str]], ...]] = (
    ("GPU", lambda s: str(s.index)),
    ("NAME", lambda s: s.name),
    ("USED MiB", lambda s: _number(s.memory_used_bytes, _MIB)),
    ("TOTAL MiB", lambda s: _number(s.memory_total_bytes, _MIB)),
    ("UTIL", lambda s: _number(s.utilization, form=".0%")),
    ("SM", lambda s: _number(s.sm_utilization, form=".0%")),
    ("TENSOR", lambda s: _number(s.tensor_utilization, form=".0%")),
    ("DRAM", lambda s: _number(s.dram_utilization, form=".0%")),
    ("POWER W", lambda s: _of(_number(s.power_watts), _number(s.power_limit_watts))),
    ("°C", lambda s: _number(s.temperature_celsius)),
    ("MEM °C", lambda s: _number(s.memory_temperature_celsius)),
    ("SM MHz", lambda s: _number(s.sm_clock_hertz, _MEGA)),
    ("MEM MHz", lambda s: _number(s.memory_clock_hertz, _MEGA)),
    ("PCIE", lambda s: _of(_link(s.pcie_generation, s.pcie_width), _link(s.pcie_generation_max, s.pcie_width_max))),
    ("ECC UNCORR", lambda s: _number(s.ecc_uncorrected)),
    ("REMAPPED", lambda s: _number(s.rows_remapped_uncorrected)),
    ("UUID", lambda s: s.uuid),
)


def _remarks(samples: Sequence[GpuSample]) -> Iterator[str]:
    """Yield why the clocks are lowered, and who uses the GPUs."""
    for sample in samples:
        if sample.clock_events:
            yield f"GPU {sample.index}: clocks lowered: {_events(sample.clock_events)}"
        if sample.processes:
            each = (f"pid {one.pid} {_number(one.memory_bytes, _MIB)} MiB" for one in sample.processes)
            yield f"GPU {sample.index}: {', '.join(each)}"


def _events(bits: int) -> str:
    names = [each.name.lower().replace("_", " ") for each in ClockEvent if each & bits and each.name]
    return ", ".join(names) or f"{bits:#x}"


def _faults(snapshot: Snapshot) -> Iterator[str]:
    yield ""
    if not snapshot.faults:
        yield "faults  none"
    for fault in snapshot.faults:
        yield f"fault   {_fault(fault)}"


def _fault(fault: Fault) -> str:
    return f"{fault.severity.value}, action {fault.action.value}: {fault.code} {fault.gpu}: {fault.message}"

"""Reads one GPU through NVML: how often each question is asked, and which are not asked again.

A figure that the device does not support is found out at the first reading and not asked for again until the library is
opened anew. A call that takes long is asked seldom: the driver serves one process after the other, so a slow call of
the agent holds up the engine's own (https://github.com/flightlessmango/MangoHud/issues/2104 has 4.5 ms for one list of
processes).
"""

from collections.abc import Callable, Iterator
from math import inf
from typing import Any, Final

from autoglm_agent.gpm import Gpm
from autoglm_agent.nvml_calls import (
    CALLS,
    FIELDS,
    FLAGS,
    FLOATS,
    MEMORY,
    POWER,
    PROCESSES,
    SELDOM_SECONDS,
    Call,
    Field,
    Figures,
)

#: Share of the time that one call may take; what costs more is asked less often, but at least every ten seconds.
_SHARE: Final = 0.001
#: A call that fails otherwise than by refusal is left alone for this long.
_FAILED_SECONDS: Final = 10.0
_MICROSECONDS: Final = 1e6


class _Asked:
    """A group of calls to one handle: which of them is asked, when next, and what it said last."""

    def __init__(self, calls: tuple[Call, ...]) -> None:
        self.calls = list(calls)
        self.due = -inf
        self.last: Figures = {}


class NvmlDevice:
    """One device: a GPU, or a MIG device, of which NVML tells less.

    Args:
        nvml: the `pynvml` module.
        handle: NVML's handle.
        clock: monotonic time in seconds.
        gpm: the profiler of the device; `None` if it has none.
        is_mig: whether it is a MIG device.
    """

    def __init__(
        self, nvml: Any, handle: Any, clock: Callable[[], float], gpm: Gpm | None, *, is_mig: bool = False
    ) -> None:
        self._nvml = nvml
        self._handle = handle
        self._clock = clock
        self._memory = _Asked(MEMORY)
        groups = [PROCESSES] if is_mig else [*CALLS, PROCESSES]
        if gpm is not None:
            groups.append((Call("gpm", lambda _nvml, _handle: gpm.read(), Gpm.SECONDS),))
        self._asked = [_Asked(group) for group in groups]
        self._fields = [] if is_mig else [_AskedField(each, getattr(nvml, each.constant, None)) for each in FIELDS]
        self._fields = [each for each in self._fields if each.id is not None]
        self._field_call = _Asked((Call("fields", self._field_values),))
        self._has_power = is_mig

    def memory(self) -> Figures:
        """Return the memory figures, which are asked for each time.

        Raises:
            NVMLError: the device does not answer.
        """
        return self._ask(self._memory, always=True)

    def health(self, gone: tuple[type[Exception], ...], errors: list[str]) -> dict[str, Any]:
        """Return everything else that is known now.

        Args:
            gone: errors after which there is no use in asking on; they are raised.
            errors: gets the reasons of the others.
        """
        figures: dict[str, Any] = {}
        for asked in (*self._asked, self._field_call):
            try:
                figures.update(self._ask(asked))
            except self._nvml.NVMLError as error:
                if isinstance(error, gone):
                    raise
                errors.append(reason(self._nvml, error))
        if not self._has_power:
            # Known after the first reading: the driver tells the power in one of two ways.
            self._has_power = True
            if "power_watts" not in figures:
                self._asked.append(_Asked((POWER,)))
        return figures

    def _ask(self, asked: _Asked, *, always: bool = False) -> Figures:
        """Return what the first supported call of a group says, or said if it is not due."""
        began = self._clock()
        if not asked.calls or (began < asked.due and not always):
            return asked.last
        while asked.calls:
            call = asked.calls[0]
            try:
                asked.last = call.ask(self._nvml, self._handle)
            except refusals(self._nvml):
                asked.calls.pop(0)
                continue
            except self._nvml.NVMLError:
                asked.last, asked.due = {}, began + _FAILED_SECONDS
                raise
            cost = self._clock() - began
            asked.due = began + max(call.every, min(SELDOM_SECONDS, cost / _SHARE))
            return asked.last
        asked.last = {}
        return asked.last

    def _field_values(self, nvml: Any, handle: Any) -> Figures:
        """Ask for the fields that are due, in one call; the driver says what each of them cost."""
        now = self._clock()
        due = [each for each in self._fields if now >= each.due]
        values = nvml.nvmlDeviceGetFieldValues(handle, [(each.id, each.field.scope) for each in due]) if due else ()
        for each, value in zip(due, values, strict=True):
            if value.nvmlReturn == nvml.NVML_SUCCESS:
                each.last = _number(nvml, value) * each.field.unit
                cost = value.latencyUsec / _MICROSECONDS
                each.due = now + max(each.field.every, min(SELDOM_SECONDS, cost / _SHARE))
            elif isinstance(nvml.NVMLError(value.nvmlReturn), refusals(nvml)):
                self._fields.remove(each)
            else:
                each.last, each.due = None, now + _FAILED_SECONDS
        return dict(self._known_fields())

    def _known_fields(self) -> Iterator[tuple[str, Any]]:
        sums: dict[str, float] = {}
        for each in self._fields:
            if each.last is not None:
                sums[each.field.figure] = sums.get(each.field.figure, 0.0) + each.last
        for figure, value in sums.items():
            yield figure, value if figure in FLOATS else bool(value) if figure in FLAGS else int(value)


class _AskedField:
    """A field of one device: when it is due next, and what it said last."""

    __slots__ = ("due", "field", "id", "last")

    def __init__(self, field: Field, number: int | None) -> None:
        self.field = field
        self.id = number
        self.due = -inf
        self.last: float | None = None


def _number(nvml: Any, value: Any) -> float:
    """Return the member of the union that the driver filled in."""
    member = {
        nvml.NVML_VALUE_TYPE_DOUBLE: "dVal",
        nvml.NVML_VALUE_TYPE_UNSIGNED_INT: "uiVal",
        nvml.NVML_VALUE_TYPE_UNSIGNED_LONG: "ulVal",
        nvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG: "ullVal",
        nvml.NVML_VALUE_TYPE_SIGNED_LONG_LONG: "sllVal",
        nvml.NVML_VALUE_TYPE_SIGNED_INT: "siVal",
        nvml.NVML_VALUE_TYPE_UNSIGNED_SHORT: "usVal",
    }[value.valueType]
    return float(getattr(value.value, member))


def refusals(nvml: Any) -> tuple[type[Exception], ...]:
    """Return the errors that mean: do not ask this device again."""
    return (
        nvml.NVMLError_NotSupported,
        nvml.NVMLError_FunctionNotFound,
        nvml.NVMLError_NoPermission,
        nvml.NVMLError_ArgumentVersionMismatch,
        nvml.NVMLError_Deprecated,
    )


def reason(nvml: Any, error: Any) -> str:
    """Return the name of an error, such as `gpu_is_lost`."""
    for name, value in vars(nvml).items():
        if name.startswith("NVML_ERROR_") and value == error.value:
            return str(name.removeprefix("NVML_ERROR_").lower())
    return "unknown"


def text(value: Any) -> str:
    """Return a string of NVML's, which some versions of `pynvml` leave as bytes."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)

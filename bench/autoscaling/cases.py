"""The cases: shared traces, traffic varied from them, and made-up traffic, each at two cold starts."""

import itertools
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from autoglm_simulator.replay.traces import Trace, Window, read_trace

DAY = 86_400
COLD_STARTS = (80.0, 240.0)
_COLD, _LONG_COLD = 240.0, 600.0
_HOUR = 3600
_MINUTE = 60.0
_STEP = 30.0
_DISPERSION = 3.0
_INPUT, _OUTPUT = 1000.0, 250.0
_TILES = 6


@dataclass(frozen=True)
class Case:
    """One case.

    Attributes:
        name: Of the traffic.
        kind: `trace`, `drift`, `period` or `other`: which bars apply; `varied`: shown, without bars.
        trace: The traffic.
        mean_rate: It is scaled to; its own if `None`.
        first: Day from which is counted; the time before is for learning.
        last: Day at which it ends.
        cold_start: Seconds.
    """

    name: str
    kind: str
    trace: Trace
    mean_rate: float | None
    first: float
    last: float
    cold_start: float

    @property
    def label(self) -> str:
        """Name and cold start."""
        return f"{self.name}/{self.cold_start:g} s"


def cases(traces: Path, *, quick: bool) -> Iterator[Case]:
    """Yield every case; the quick ones leave out what is varied from the shared traces, and the office."""
    for name in ("m-large", "m-mid"):
        trace = read_trace(traces / f"servegen-{name}-rate.csv")
        for cold in COLD_STARTS:
            yield Case(name, "trace", trace, 20.0, 7, 14, cold)
    for (label, kind, trace), cold in itertools.product(_made_up(), COLD_STARTS):
        yield Case(label, kind, trace, None, 2, 4, cold)
    if not quick:
        yield from _varied(traces)


def _varied(traces: Path) -> Iterator[Case]:
    for name in ("m-large", "m-mid"):
        trace = read_trace(traces / f"servegen-{name}-rate.csv")
        variants = [
            (f"{name} at 8/s", trace, 8.0),
            (f"{name} at 60/s", trace, 60.0),
            (f"{name}, its first week", _shifted(trace, 7.0 * DAY), 20.0),
            (f"{name} twice as fast", _faster(trace, 2.0), 20.0),
            (f"{name}, dispersion x3", _burstier(trace, 3.0), 20.0),
        ]
        for label, varied, mean in variants:
            yield Case(label, "varied", varied, mean, varied.seconds / DAY / 2, varied.seconds / DAY, _COLD)
    azure = _tiled(read_trace(traces / "azure-llm-2023-conversation.csv"), _TILES)
    hours = [(f"Azure conversation, six times, {factor:g}x", azure, factor * azure.mean_rate) for factor in (1.0, 3.0)]
    for label, trace, mean in hours:
        yield Case(label, "varied", trace, mean, 1 / 24, azure.seconds / DAY, _COLD)
    yield Case("stages of 2, 10 and 1/s", "varied", _trace(_staged, 1.0), None, 0.5, 1, _COLD)
    for cold in (_COLD, _LONG_COLD):
        yield Case("office hours", "varied", office(), None, 7, 14, cold)


def _shifted(trace: Trace, seconds: float) -> Trace:
    """Return the trace begun later, with its beginning at the end."""
    parts = [window for window in trace.windows if window.start >= seconds]
    parts += [window for window in trace.windows if window.start < seconds]
    return Trace(trace.kind, _in_a_row(parts))


def _faster(trace: Trace, factor: float) -> Trace:
    """Return the trace with windows shorter by `factor`: demand moves faster."""
    return Trace(trace.kind, _in_a_row([window._replace(seconds=window.seconds / factor) for window in trace.windows]))


def _tiled(trace: Trace, times: int) -> Trace:
    """Return the trace several times in a row, as rates."""
    return Trace("rate", _in_a_row(list(trace.windows) * times))


def _in_a_row(windows: list[Window]) -> tuple[Window, ...]:
    starts = itertools.accumulate((window.seconds for window in windows), initial=0.0)
    return tuple(window._replace(start=start) for window, start in zip(windows, starts, strict=False))


def _burstier(trace: Trace, factor: float) -> Trace:
    """Return the trace with `factor` times the dispersion above that of a Poisson process."""
    return Trace(
        trace.kind,
        tuple(window._replace(dispersion=1 + factor * (window.dispersion - 1)) for window in trace.windows),
    )


def _made_up() -> Iterator[tuple[str, str, Trace]]:
    for factor in (2.0, 4.0):
        yield f"token mix x{factor:g}", "drift", _drift(factor)
    yield "ramp", "other", _trace(lambda t: 10.0 + 30.0 * abs((t / _HOUR % 6) / 3 - 1))
    for hours in (1, 2, 3):
        yield f"square wave, {hours} h", "period", _trace(_square(hours * _HOUR, 10.0, 40.0))
    for hours in (1, 2, 3):
        yield f"on/off, {hours} h", "period", _trace(_square(hours * _HOUR, 0.0, 30.0))
    for minutes in (60, 90, 180):
        yield f"spikes, {minutes} min", "period", _trace(_spikes(minutes * 60))


def _square(period: int, low: float, high: float) -> Callable[[float], float]:
    return lambda time: high if time % period >= period / 2 else low


def _spikes(period: int) -> Callable[[float], float]:
    return lambda time: 60.0 if period <= time and time % period < _STEP else 15.0


def _staged(time: float) -> float:
    return (2.0, 10.0, 1.0)[int(time / (2 * _HOUR)) % 3]


def _trace(rate: Callable[[float], float], days: float = 4.0) -> Trace:
    times = [index * _STEP for index in range(int(days * DAY / _STEP))]
    return Trace("rate", tuple(Window(t, _STEP, rate(t), _DISPERSION, _INPUT, _OUTPUT, 0.0) for t in times))


def _drift(factor: float) -> Trace:
    """Return traffic whose prompts become longer and answers shorter by `factor`, and back, every two days."""
    windows = []
    for index in range(int(4 * DAY / _STEP)):
        time = index * _STEP
        share = 0.5 - 0.5 * math.cos(math.pi * time / DAY)
        rate = 12.0 + 5.0 * math.sin(2 * math.pi * time / DAY)
        inputs = _INPUT * factor**share / math.sqrt(factor)
        outputs = _OUTPUT * factor ** (1 - share) / math.sqrt(factor)
        windows.append(Window(time, _STEP, rate, _DISPERSION, inputs, outputs, 0.0))
    return Trace("rate", tuple(windows))


def office() -> Trace:
    """Return two weeks of an office: a rise of an hour at nine, a dip at noon, next to nothing at weekends.

    No two days are the same: they differ by a tenth in size and by minutes in time.
    """
    rng = random.Random(9)
    windows = []
    for day in range(14):
        size = 40.0 * rng.gauss(1.0, 0.1) * (0.1 if day % 7 >= 5 else 1.0)  # noqa: PLR2004 (Saturday)
        late = rng.gauss(0.0, 4.0)
        for minute in range(1440):
            hour = (minute - late) / 60
            busy = _rise(hour, 8.5, 9.5) - 0.3 * (_rise(hour, 12.0, 12.5) - _rise(hour, 13.0, 13.5))
            rate = 2.0 + size * (busy - _rise(hour, 17.0, 19.0))
            start = day * DAY + minute * _MINUTE
            windows.append(Window(start, _MINUTE, rate, _DISPERSION, _INPUT, _OUTPUT, 0.0))
    return Trace("rate", tuple(windows))


def _rise(hour: float, first: float, last: float) -> float:
    share = max(0.0, min(1.0, (hour - first) / (last - first)))
    return share * share * (3 - 2 * share)

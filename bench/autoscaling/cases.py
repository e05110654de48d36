"""The cases: shared traces and made-up traffic, each at two cold starts."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from autoglm_simulator.replay.traces import Trace, Window, read_trace

DAY = 86_400
COLD_STARTS = (80.0, 240.0)
_STEP = 30.0
_DISPERSION = 3.0
_INPUT, _OUTPUT = 1000.0, 250.0


@dataclass(frozen=True)
class Case:
    """One case.

    Attributes:
        name: Of the traffic.
        kind: `trace`, `drift`, `period` or `other`: which bars apply.
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


def cases(traces: Path, *, quick: bool) -> Iterator[Case]:
    """Yield every case; the quick ones leave out the variations of the shared traces."""
    for name in ("m-large", "m-mid"):
        trace = read_trace(traces / f"servegen-{name}-rate.csv")
        variants = [(name, trace, 20.0)]
        if not quick:
            variants += [
                (f"{name} at 8/s", trace, 8.0),
                (f"{name} at 60/s", trace, 60.0),
                (f"{name} shifted", _shifted(trace, 5.3 * DAY), 20.0),
                (f"{name} burstier", _burstier(trace, 3.0), 20.0),
            ]
        for (label, varied, mean), cold in itertools.product(variants, COLD_STARTS):
            yield Case(label, "trace", varied, mean, 7, 14, cold)
    for (label, kind, trace), cold in itertools.product(_made_up(), COLD_STARTS):
        yield Case(label, kind, trace, None, 2, 4, cold)


def _shifted(trace: Trace, seconds: float) -> Trace:
    """Return the trace begun later, with its beginning at the end."""
    parts = [window for window in trace.windows if window.start >= seconds]
    parts += [window for window in trace.windows if window.start < seconds]
    starts = itertools.accumulate((window.seconds for window in parts), initial=0.0)
    return Trace(trace.kind, tuple(window._replace(start=start) for window, start in zip(parts, starts, strict=False)))


def _burstier(trace: Trace, factor: float) -> Trace:
    """Return the trace with `factor` times the dispersion above that of a Poisson process."""
    return Trace(
        trace.kind,
        tuple(window._replace(dispersion=1 + factor * (window.dispersion - 1)) for window in trace.windows),
    )


def _made_up() -> Iterator[tuple[str, str, Trace]]:
    for hours in (1, 2, 3):
        yield f"square wave, {hours} h", "period", _trace(lambda t, p=hours * 3600: 40.0 if t % p >= p / 2 else 10.0)
    for hours in (1, 2, 3):
        yield f"on/off, {hours} h", "period", _trace(lambda t, p=hours * 3600: 30.0 if t % p >= p / 2 else 0.0)
    for minutes in (60, 90, 180):
        yield (
            f"spikes, {minutes} min",
            "period",
            _trace(lambda t, p=minutes * 60: 60.0 if p <= t and t % p < _STEP else 15.0),
        )
    yield "ramp", "other", _trace(lambda t: 10.0 + 30.0 * abs((t / 3600 % 6) / 3 - 1))
    for factor in (2.0, 4.0):
        yield f"token mix x{factor:g}", "drift", _drift(factor)


def _trace(rate: object) -> Trace:
    times = [index * _STEP for index in range(int(4 * DAY / _STEP))]
    return Trace("rate", tuple(Window(t, _STEP, rate(t), _DISPERSION, _INPUT, _OUTPUT, 0.0) for t in times))  # type: ignore[operator]


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

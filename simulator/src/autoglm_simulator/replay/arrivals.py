"""From a trace to what arrives in each second: the trace's own rate and dispersion, with seeded noise.

The rate goes in straight lines between the middles of the windows. Arrivals are a negative-binomial process: the rate
of each block of 5 s is multiplied by a gamma variable such that the counts of blocks have the trace's dispersion. A
trace that is scaled to another mean keeps how far its bursts go above its mean, as more or fewer of the same clients
would: its dispersion above that of a Poisson process is scaled with the rate.
"""

import math

import numpy as np
import numpy.typing as npt

from autoglm_simulator.replay.traces import BLOCK, Trace
from autoglm_simulator.replay.traffic import Traffic

_LEAST = 1e-9


def make_traffic(trace: Trace, mean_rate: float | None, seconds: int, seed: int) -> Traffic:
    """Return the traffic of the first `seconds` of a trace.

    Args:
        trace: As recorded.
        mean_rate: Requests per second that its mean over the whole trace is scaled to; its own mean if `None`.
        seconds: Length of the traffic, at most that of the trace.
        seed: Of the arrivals and of the lengths of prompts.
    """
    scale = 1.0 if mean_rate is None else mean_rate / max(trace.mean_rate, _LEAST)
    generator = np.random.default_rng(seed)
    starts = np.array([window.start for window in trace.windows])
    middles = np.array([window.start + window.seconds / 2 for window in trace.windows])
    at = np.arange(seconds) + 0.5
    place = np.clip(np.searchsorted(starts, at, side="right") - 1, 0, len(starts) - 1)

    def column(name: str) -> npt.NDArray[np.float64]:
        return np.array([getattr(window, name) for window in trace.windows])

    rate = np.interp(at, middles, column("rate") * scale)
    excess = np.maximum(column("dispersion") - 1.0, 0.0)[place] * scale
    arrivals = _arrivals(generator, rate, excess)
    inputs = _inputs(generator, column("input_tokens")[place], column("input_spread")[place], arrivals)
    outputs = column("output_tokens")[place]
    return Traffic(rate.tolist(), arrivals.tolist(), inputs.tolist(), outputs.tolist())


def _arrivals(
    generator: np.random.Generator, rate: npt.NDArray[np.float64], excess: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    block = int(BLOCK)
    # A gamma variable of this shape has the variance that makes the counts of blocks overdispersed by `excess`.
    shape = np.clip(rate[::block] * BLOCK / np.maximum(excess[::block], _LEAST), 0.02, 1e9)
    burst = np.repeat(generator.gamma(shape, 1.0 / shape), block)[: len(rate)]
    return generator.poisson(rate * burst).astype(np.float64)


def _inputs(
    generator: np.random.Generator,
    mean: npt.NDArray[np.float64],
    spread: npt.NDArray[np.float64],
    arrivals: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Return the mean prompt of each second: that of as many gamma variables as requests arrive."""
    if not np.any(spread > 0):
        return mean
    shape = np.maximum(arrivals, 1.0) / np.maximum(spread, math.sqrt(_LEAST)) ** 2
    return np.asarray(np.maximum(1.0, generator.gamma(shape, mean / shape)), dtype=np.float64)

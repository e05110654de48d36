"""How long a start and a download may take, from bytes and speeds."""

import math
from typing import Final

from autoglm_operator.decide.start.timing import STARTUP_SECONDS

#: Bytes per second where nothing was measured: a line of 200 Mbit/s. An assumption on the safe side, not a measurement.
DOWNLOAD_RATE: Final = 25e6
#: Bytes per second from a volume into GPU memory where nothing was measured: a network file system that others use too.
LOAD_RATE: Final = 150e6
#: Compilation of the graph, with capture of CUDA graphs and the engine's profiling run; an assumption as above.
COMPILE_SECONDS: Final = 600
#: The same with the compile cache of an earlier start.
COMPILED_SECONDS: Final = 180
#: Interpreter, libraries, connecting the ranks; for each node beyond the first a little more.
_BASE_SECONDS: Final = 120
_NODE_SECONDS: Final = 60
#: A start that is killed a moment too early costs another whole one; a hung one is found later by so much.
_FACTOR: Final = 2.0
#: From KServe's 10 minutes up; KubeAI's 3 hours were too few for 1 TiB on a slow line.
_STARTUP_BOUNDS: Final = (600, 12 * 3600)
_STARTUP_STEP: Final = 60
_DOWNLOAD_BOUNDS: Final = (1800, 24 * 3600)
_UNKNOWN_DOWNLOAD_SECONDS: Final = 6 * 3600


def startup_seconds(
    checkpoint_bytes: int | None,
    *,
    download: float | None = None,
    cached: bool,
    compiled: bool = False,
    nodes: int = 1,
) -> int:
    """Return how long an engine may take from its start until it answers, in seconds.

    Args:
        checkpoint_bytes: of the weights; `None` if unknown.
        download: measured speed of the hub in bytes per second; `None` for `DOWNLOAD_RATE`.
        cached: whether the weights are on a volume when the engine starts.
        compiled: whether the compile cache was filled by an earlier start.
        nodes: of one replica.
    """
    if checkpoint_bytes is None:
        return STARTUP_SECONDS
    seconds = float(_BASE_SECONDS) + _NODE_SECONDS * (nodes - 1) + (COMPILED_SECONDS if compiled else COMPILE_SECONDS)
    seconds += checkpoint_bytes / LOAD_RATE
    if not cached:
        seconds += checkpoint_bytes / _rate(download)
    return _bounded(seconds * _FACTOR, _STARTUP_BOUNDS)


def download_deadline(checkpoint_bytes: int | None, rate: float | None = None) -> int:
    """Return how long a download may take, in seconds, before it is ended and begun again where it was.

    Args:
        checkpoint_bytes: of the weights; `None` if unknown.
        rate: measured speed in bytes per second; `None` for `DOWNLOAD_RATE`.
    """
    if checkpoint_bytes is None:
        return _UNKNOWN_DOWNLOAD_SECONDS
    return _bounded(checkpoint_bytes / _rate(rate) * _FACTOR, _DOWNLOAD_BOUNDS)


def _rate(measured: float | None) -> float:
    # A burst from a near cache must not become the bound of a start on a bad day.
    return min(measured, 4 * DOWNLOAD_RATE) if measured else DOWNLOAD_RATE


def _bounded(seconds: float, bounds: tuple[int, int]) -> int:
    low, high = bounds
    return min(high, max(low, math.ceil(seconds / _STARTUP_STEP) * _STARTUP_STEP))

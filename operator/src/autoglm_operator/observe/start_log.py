"""What an engine's log tells of its start: facts, read out of the lines that vLLM and SGLang write."""

import re
from dataclasses import dataclass
from typing import Final

from autoglm_operator.observe.pod import seconds

# The texts are those of vLLM 0.12 (gpu_model_runner.py, default_loader.py, weight_utils.py, core.py, gpu_worker.py)
# and 0.33, and of SGLang 0.5.6 and 0.5.23 (model_runner.py, memory_pool.py, http_server.py).
_DOWNLOAD: Final = re.compile(r"Time spent downloading weights for .*: (\d+(?:\.\d+)?) seconds")
_LOAD_TOOK: Final = re.compile(
    r"Loading weights took (\d+(?:\.\d+)?) seconds|Load weight end\. elapsed=(\d+(?:\.\d+)?) s"
)
_LOAD_BEGIN: Final = re.compile(r"Load weight begin\.")
_LOAD_END: Final = re.compile(r"Loading weights took|Model loading took|Load weight end\.")
_COMPILED: Final = re.compile(
    r"init engine \(profile|Graph capturing finished|torch\.compile (?:takes|took)|[Gg]raph end\. "
)
_SERVES: Final = re.compile(r"Application startup complete\.|The server is fired up and ready to roll!")
_WEIGHTS: Final = re.compile(r"Model loading took (\d+(?:\.\d+)?) GiB|Load weight end\..* mem usage=(\d+(?:\.\d+)?) GB")
_KV_MEMORY: Final = re.compile(r"Available KV cache memory: (\d+(?:\.\d+)?) GiB")
_KV_TOKENS: Final = re.compile(r"[CG]PU KV cache size: ([\d,]+) tokens|KV Cache is allocated\..*#tokens: ([\d,]+)")
_GRAPHS: Final = re.compile(r"Graph capturing finished in .* took (\d+(?:\.\d+)?) GiB")
#: Of a longer line the rest is not looked at: a log is whatever a container cares to write.
_LONGEST_LINE: Final = 2000
#: The time that the API server writes before each line when asked for timestamps.
_STAMP: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)) (.*)")


@dataclass(frozen=True, slots=True)
class Start:
    """What the log of an engine says of its start. Times are seconds since the epoch; `None` is not said.

    With several ranks, a stage lasts from its first begin to its last end, and memory is that of the largest.

    Attributes:
        download_seconds: spent on fetching weights from the hub.
        load_begin: weights begin to be read.
        load_end: weights are on the GPU.
        compiled: profiled, compiled, graphs captured.
        serves: the HTTP server answers.
        weights_gib: GPU memory that the weights take, per GPU.
        kv_cache_gib: GPU memory left for the KV cache, per GPU.
        kv_cache_tokens: tokens it holds.
        graphs_gib: GPU memory of the CUDA graphs, per GPU.
    """

    download_seconds: float | None = None
    load_begin: float | None = None
    load_end: float | None = None
    compiled: float | None = None
    serves: float | None = None
    weights_gib: float | None = None
    kv_cache_gib: float | None = None
    kv_cache_tokens: int | None = None
    graphs_gib: float | None = None


def read_start(text: str) -> Start:
    """Return what `text`, a log with the API server's timestamps, says; lines without a timestamp are passed over."""
    # Not splitlines(): it also splits where the engine wrote a form feed, and what follows has no time of its own.
    stamped = (_STAMP.match(line[:_LONGEST_LINE]) for line in text.split("\n"))
    lines = [(when, found[2]) for found in stamped if found and (when := _time(found[1])) is not None]
    tokens = _figures(lines, _KV_TOKENS)
    begins = [when - took for when, took in _timed(lines, _LOAD_TOOK)] + _times(lines, _LOAD_BEGIN)
    return Start(
        download_seconds=max(_figures(lines, _DOWNLOAD), default=None),
        load_begin=min(begins, default=None),
        load_end=max(_times(lines, _LOAD_END), default=None),
        compiled=max(_times(lines, _COMPILED), default=None),
        serves=max(_times(lines, _SERVES), default=None),
        weights_gib=max(_figures(lines, _WEIGHTS), default=None),
        kv_cache_gib=min(_figures(lines, _KV_MEMORY), default=None),
        kv_cache_tokens=int(min(tokens)) if tokens else None,
        graphs_gib=max(_figures(lines, _GRAPHS), default=None),
    )


_Lines = list[tuple[float, str]]


def _time(stamp: str) -> float | None:
    """Return the time in `stamp`; `None` if it only looks like one."""
    try:
        return seconds(stamp)
    except ValueError:
        return None


def _times(lines: _Lines, pattern: re.Pattern[str]) -> list[float]:
    return [when for when, line in lines if pattern.search(line)]


def _timed(lines: _Lines, pattern: re.Pattern[str]) -> list[tuple[float, float]]:
    """Return (time of the line, figure in it) of each line that matches."""
    found = ((when, pattern.search(line)) for when, line in lines)
    return [(when, _number(match)) for when, match in found if match]


def _figures(lines: _Lines, pattern: re.Pattern[str]) -> list[float]:
    return [figure for _, figure in _timed(lines, pattern)]


def _number(match: re.Match[str]) -> float:
    """Return the number in whichever group of `match` took part."""
    return float(next(group for group in match.groups() if group).replace(",", ""))

"""Objectives and the buckets that engines count latencies in: pure."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from math import isclose
from typing import Final

from autoglm_operator.api.types import seconds
from autoglm_operator.api.v1alpha1 import EngineType, Objective
from autoglm_operator.decide.scaling.needs import milliseconds

_VLLM_TTFT: Final = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75),
    *(1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0),
)
_VLLM_ITL: Final = (
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75),
    *(1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0),
)
_SGLANG_TTFT: Final = (
    *(0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 2.0, 4.0, 6.0, 8.0, 10.0),
    *(20.0, 40.0, 60.0, 80.0, 100.0, 200.0, 400.0),
)
_SGLANG_ITL: Final = (
    *(0.002, 0.004, 0.006, 0.008, 0.01, 0.015, 0.02, 0.025, 0.03, 0.035, 0.04, 0.06, 0.08),
    *(0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 2.0, 4.0, 6.0, 8.0),
)
#: Upper bounds of the buckets of TTFT and ITL, in seconds: the defaults of vLLM 0.33.0 and SGLang 0.5.23. The simulator
#: has vLLM's.
BUCKETS: Final[Mapping[EngineType, Mapping[str, tuple[float, ...]]]] = {
    EngineType.VLLM: {"TTFT": _VLLM_TTFT, "ITL": _VLLM_ITL},
    EngineType.SIMULATOR: {"TTFT": _VLLM_TTFT, "ITL": _VLLM_ITL},
    EngineType.SGLANG: {"TTFT": _SGLANG_TTFT, "ITL": _SGLANG_ITL},
}


def between_buckets(objective: Objective, engine: EngineType) -> Iterator[str]:
    """Yield a clause for each objective that is no bound of a bucket, with the bounds beside it.

    Events between those bounds are counted inside the objective by interpolation; at a bound the count is exact.
    """
    for name, promised in (("TTFT", objective.ttft_p99), ("ITL", objective.itl_p99)):
        limit, bounds = seconds(promised), BUCKETS[engine][name]
        if any(isclose(limit, bound) for bound in bounds):
            continue
        place = bisect_left(bounds, limit)
        if place == len(bounds):
            around = (
                f"beyond {milliseconds(bounds[-1])}, the last bound of {engine}'s buckets, and nothing there counts"
            )
            yield f"The objective of P99 {name}, {promised}, is {around} as kept"
            continue
        lower = bounds[place - 1] if place else 0.0
        around = f"between {milliseconds(lower)} and {milliseconds(bounds[place])}"
        yield (
            f"The objective of P99 {name}, {promised}, lies {around}, bounds of {engine}'s buckets: what is between "
            "them is judged by interpolation"
        )

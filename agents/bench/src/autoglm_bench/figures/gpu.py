"""GPU memory, power and energy of a run, from the agent's `/state` or its metrics. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from autoglm_bench.figures.exposition import sums

#: agent's metric → what it is here.
_METRICS: Final = {
    "autoglm_gpu_memory_used_bytes": "memory",
    "autoglm_gpu_power_watts": "power",
    "autoglm_gpu_energy_joules_total": "energy",
}


@dataclass(frozen=True, slots=True)
class GpuSample:
    """The GPUs of an engine at one time, summed; `None` where they do not tell.

    Attributes:
        at: monotonic seconds.
        gpus: how many.
        memory: bytes in use.
        power: watts.
        energy: joules since the driver was loaded.
    """

    at: float
    gpus: int
    memory: float | None
    power: float | None
    energy: float | None


@dataclass(frozen=True, slots=True)
class GpuUse:
    """What a run cost.

    Attributes:
        gpus: how many.
        memory_peak: bytes, the most that was seen.
        power_mean: watts.
        energy: joules.
        joules_per_token: of the output.
        method: how the energy was told.
    """

    gpus: int
    memory_peak: float | None
    power_mean: float | None
    energy: float | None
    joules_per_token: float | None
    method: str


def sample(text: str, at: float) -> GpuSample:
    """Read an answer of the agent: the JSON of `/state` or the text of `/metrics`.

    Raises:
        ValueError: it is neither, or tells of no GPU.
    """
    if text.lstrip().startswith("{"):
        return _from_state(text, at)
    found = sums(text, dict.fromkeys(_METRICS, ""))
    if not found:
        raise ValueError("it tells of no GPU")
    count = sum(line.startswith("autoglm_gpu_memory_used_bytes{") for line in text.splitlines())
    values = {_METRICS[name]: value for name, value in found.items()}
    return GpuSample(at, count, values.get("memory"), values.get("power"), values.get("energy"))


def _from_state(text: str, at: float) -> GpuSample:
    document: Any = json.loads(text)
    gpus = document.get("gpus")
    if not isinstance(gpus, list) or not gpus or not all(isinstance(gpu, dict) for gpu in gpus):
        raise ValueError("its state tells of no GPU")
    return GpuSample(at, len(gpus), _sum(gpus, "memoryUsedBytes"), _sum(gpus, "powerWatts"), _sum(gpus, "energyJoules"))


def _sum(gpus: Sequence[Mapping[str, Any]], field: str) -> float | None:
    values = [gpu.get(field) for gpu in gpus]
    if any(not isinstance(value, int | float) for value in values):
        return None
    return float(sum(value for value in values if value is not None))


def together(samples: Sequence[GpuSample]) -> GpuSample:
    """Return the samples of several agents, taken at one time, as one; a figure that one does not tell is not told."""
    figures = [(one.memory, one.power, one.energy) for one in samples]
    memory, power, energy = (
        None if None in column else sum(value for value in column if value is not None)
        for column in zip(*figures, strict=True)
    )
    return GpuSample(samples[0].at, sum(one.gpus for one in samples), memory, power, energy)


def use(samples: Sequence[GpuSample], tokens: int) -> GpuUse | None:
    """Return what a run cost; `None` without a sample.

    Args:
        samples: in order of time, from the first request to the last answer.
        tokens: of the output.
    """
    if not samples:
        return None
    memory = [one.memory for one in samples if one.memory is not None]
    power = [one for one in samples if one.power is not None]
    energy, method = _counter(samples)
    if energy is None:
        energy, method = _integral(power)
    return GpuUse(
        gpus=max(one.gpus for one in samples),
        memory_peak=max(memory, default=None),
        power_mean=sum(one.power or 0.0 for one in power) / len(power) if power else None,
        energy=energy,
        joules_per_token=energy / tokens if energy is not None and tokens else None,
        method=method,
    )


def _counter(samples: Sequence[GpuSample]) -> tuple[float | None, str]:
    told = [one.energy for one in samples if one.energy is not None]
    if len(told) < 2 or any(later < earlier for earlier, later in pairwise(told)):  # noqa: PLR2004
        return None, ""
    return told[-1] - told[0], "energy counter of the GPUs"


def _integral(power: Sequence[GpuSample]) -> tuple[float | None, str]:
    if len(power) < 2:  # noqa: PLR2004  an integral needs two
        return None, "the agent tells neither energy nor power"
    joules = sum(((a.power or 0.0) + (b.power or 0.0)) / 2 * (b.at - a.at) for a, b in pairwise(power))
    return joules, f"power of {len(power)} samples, summed over time"

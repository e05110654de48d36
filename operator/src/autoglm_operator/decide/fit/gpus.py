"""GPUs: their memory as an engine sees it, and what they can compute; pure, data beside this module.

In the data, `memoryMiB` is what the driver and the node label nvidia.com/gpu.memory tell, `visibleMiB` what CUDA has of
it: the total in PyTorch's out-of-memory messages and in vLLM's start-up log. `bandwidthGBs` and `teraflops` are those
of NVIDIA's data sheets: memory bandwidth in GB/s, and 16-bit tensor operations, dense and summed in FP32, in TFLOPS; of
products in one row, and of the variants of one product, the lower figure.
"""

import json
import re
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import Final, Self

from autoglm_operator.api.quantity import MEBIBYTE
from autoglm_operator.decide.allocated import GpuFacts
from autoglm_operator.observe.cluster import Compute

_FILE: Final = "gpus.json"
#: What the driver keeps of a GPU's memory where nothing else is known: 0.4 to 0.8 GiB on those of the table.
_DRIVER_MIB: Final = 512
#: A MIG slice has a little less than its eighths of the memory: A100-80 1g.10gb 9.5, 3g.40gb 39.25 GiB.
_SLICE_LOSS: Final = 0.025
_EIGHTHS: Final = 8
#: Compute slices of a whole GPU under MIG.
_SEVENTHS: Final = 7
_GIGA: Final = 1e9
_TERA: Final = 1e12
#: A product whose label tells of less than this share of its memory is not the whole one.
_WHOLE: Final = 0.95
_PROFILE: Final = re.compile(r"([1-7])g\.([0-9]+)gb")
_BF16_SINCE: Final[Compute] = (8, 0)
_FP8_SINCE: Final[Compute] = (8, 9)
_FP4_SINCE: Final[Compute] = (10, 0)


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU, or a slice of one.

    Attributes:
        name: as the node label nvidia.com/gpu.product has it, or words.
        visible: bytes that CUDA reports as its memory.
        compute: capability of its cores; `None` if not known.
        bandwidth: bytes of memory read per second at best; `None` if not known.
        flops: 16-bit tensor operations per second at best; `None` if not known.
    """

    name: str
    visible: int
    compute: Compute | None
    bandwidth: float | None = None
    flops: float | None = None

    @property
    def bfloat16(self) -> bool:
        """Return whether it computes in bfloat16; an unknown one is taken to."""
        return self.compute is None or self.compute >= _BF16_SINCE

    @property
    def fp8(self) -> bool:
        """Return whether it computes in FP8; an unknown one is not taken to."""
        return self.compute is not None and self.compute >= _FP8_SINCE

    @property
    def fp4(self) -> bool:
        """Return whether it computes in FP4; an unknown one is not taken to."""
        return self.compute is not None and self.compute >= _FP4_SINCE

    @classmethod
    def of(cls, facts: GpuFacts, profile: str | None = None) -> Self | None:
        """Return the GPU that `facts` are about; `None` if neither its product nor its memory is known.

        Args:
            facts: from the spec and from nodes.
            profile: of a MIG slice; `facts.memory_mib` is then that of the slice.
        """
        product = re.sub(r"-(SHARED|MIG-.*)$", "", facts.product or "")
        known = _table().get(product.lower())
        name = f"{product or 'a GPU'} {profile}" if profile else product or "the GPU"
        compute = facts.compute or (known.compute if known else None)
        if profile:
            part = _slice(profile, known.visible) if known else None
            visible = facts.memory_mib * MEBIBYTE if facts.memory_mib else part
            return cls(name, visible, compute, *_share(profile, known)) if visible else None
        told = max(0, facts.memory_mib - _DRIVER_MIB) * MEBIBYTE if facts.memory_mib else None
        if known:
            # A part of a GPU, as a virtual one is, keeps the product's name.
            if told is not None and told < known.visible * _WHOLE:
                return cls(name, told, compute)
            return cls(name, known.visible, compute, known.bandwidth, known.flops)
        return cls(name, told, compute) if told is not None else None


def _slice(profile: str, whole: int) -> int | None:
    found = _PROFILE.match(profile)
    if found is None:
        return None
    eighths = round(int(found[2]) * 1000**3 / whole * _EIGHTHS)
    return round(whole * min(_EIGHTHS, max(1, eighths)) / _EIGHTHS * (1 - _SLICE_LOSS))


def _share(profile: str, whole: Gpu | None) -> tuple[float | None, float | None]:
    """Return bandwidth and operations per second of a MIG slice: by eighths of the memory and sevenths of the cores."""
    found = _PROFILE.match(profile)
    part = _slice(profile, whole.visible) if whole else None
    if found is None or whole is None or part is None or whole.bandwidth is None or whole.flops is None:
        return None, None
    return whole.bandwidth * part / whole.visible, whole.flops * int(found[1]) / _SEVENTHS


def products() -> tuple[Gpu, ...]:
    """Return the products of the table, the first name of each, by memory."""
    return tuple(
        sorted({gpu.visible: gpu for gpu in reversed(_table().values())}.values(), key=lambda gpu: gpu.visible)
    )


@cache
def _table() -> dict[str, Gpu]:
    rows = json.loads(resources.files(__package__).joinpath(_FILE).read_text(encoding="utf-8"))
    found: dict[str, Gpu] = {}
    for row in rows:
        gpu = Gpu(
            "",
            row["visibleMiB"] * MEBIBYTE,
            (row["compute"][0], row["compute"][1]),
            row["bandwidthGBs"] * _GIGA,
            row["teraflops"] * _TERA,
        )
        found |= {name.lower(): replace(gpu, name=name) for name in row["products"]}
    return found

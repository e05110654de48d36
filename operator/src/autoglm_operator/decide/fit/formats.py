"""Which number formats a GPU can work with: pure."""

from typing import Final, NamedTuple

from autoglm_operator.api.v1alpha1 import DType, Spec
from autoglm_operator.decide.fit.checkpoint import Checkpoint
from autoglm_operator.decide.fit.gpus import Gpu
from autoglm_operator.decide.reasons import Reason
from autoglm_operator.observe.cluster import Compute

#: Least compute capability of each format: `get_min_capability` of vLLM 0.33's quantization methods.
_SINCE: Final[dict[str, Compute]] = {
    "gptq": (6, 0),
    "compressed-tensors": (7, 0),
    "moe_wna16": (7, 0),
    "quark": (7, 0),
    "awq": (7, 5),
    "fp8": (7, 5),
    "modelopt": (7, 5),
    "modelopt_fp4": (7, 5),
    "mxfp4": (8, 0),
    "fbgemm_fp8": (8, 0),
    "auto-round": (6, 0),
}
#: Formats without a weight-only fall-back when activations are FP8 too.
_NEEDS_FP8: Final = frozenset({"quark"})
_FP4: Final = frozenset({"mxfp4", "modelopt_fp4"})


class Refusal(NamedTuple):
    """Why the engine would not start."""

    reason: Reason
    message: str


def refusals(spec: Spec, gpu: Gpu, checkpoint: Checkpoint) -> tuple[Refusal, ...]:
    """Return what of the formats `gpu` cannot do; nothing for a GPU whose compute capability is not known."""
    if gpu.compute is None:
        return ()
    found, capability = [], _dotted(gpu.compute)
    if spec.model.dtype is DType.BFLOAT16 and not gpu.bfloat16:
        found.append(
            Refusal(
                Reason.DTYPE_UNSUPPORTED,
                f"spec.model.dtype: bfloat16: {gpu.name} has compute capability {capability} and no bfloat16, which "
                "begins at 8.0; set it to float16 or auto",
            )
        )
    where = "spec.engine.quantization" if spec.engine.quantization else "spec.model.source"
    method = checkpoint.method
    least = _SINCE.get(method)
    if method in _NEEDS_FP8 and checkpoint.activations:
        least = (8, 9)
    if least is not None and gpu.compute < least:
        found.append(
            Refusal(
                Reason.QUANTIZATION_UNSUPPORTED,
                f"{where}: {method}: {gpu.name} has compute capability {capability}, this format needs "
                f"{_dotted(least)}; take a newer GPU, or weights in another format, such as gptq",
            )
        )
    return tuple(found)


def notes(gpu: Gpu, checkpoint: Checkpoint) -> tuple[str, ...]:
    """Return what works on `gpu`, but not as one may expect."""
    eight_bit_floats = checkpoint.floating and checkpoint.method not in _FP4
    if gpu.compute is not None and eight_bit_floats and not gpu.fp8:
        return (f"{gpu.name} does not compute in FP8: weights are stored as FP8 and computed with in 16 bits",)
    if gpu.compute is not None and checkpoint.method in _FP4 and not gpu.fp4:
        return (f"{gpu.name} does not compute in FP4: weights are stored as FP4 and computed with in 16 bits",)
    return ()


def _dotted(compute: Compute) -> str:
    return f"{compute[0]}.{compute[1]}"

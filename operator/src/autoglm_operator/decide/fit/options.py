"""What would fit instead, each verified by the same estimate: pure."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Final

from autoglm_operator.api.v1alpha1 import KvCacheDType, Quantization, Spec
from autoglm_operator.decide.fit.fit import Case, Option, Verdict, changed, judge
from autoglm_operator.decide.fit.gpus import products
from autoglm_operator.decide.parallel import check
from autoglm_operator.errors import ReconcileError

#: Context lengths are proposed in steps of this, and none shorter than the least that the API takes.
_STEP: Final = 256
#: GPUs of one node, where nothing tells how many there are.
_GPUS_PER_NODE: Final = 8
_MOST: Final = 4

Fields = tuple[tuple[str, str | int], ...]
Candidate = tuple[str, Fields, Case]


def options(case: Case, gpus_per_node: int | None) -> tuple[Option, ...]:
    """Return changes with which `case` fits, those that cost the user least first."""
    return tuple(islice(_fitting(case, gpus_per_node or _GPUS_PER_NODE), _MOST))


def _fitting(case: Case, gpus_per_node: int) -> Iterator[Option]:
    formats = list(_formats(case))
    found = list(_verified(formats))
    if not found and len(formats) == 2:  # noqa: PLR2004  # FP8 weights and an FP8 KV cache: neither alone is enough
        (one, first, smaller), (two, second, _) = formats
        both = replace(smaller, spec=_fp8_cache(smaller.spec))
        found = list(_verified([(f"{one} and {two}", first + second, both)]))
    yield from found
    yield from islice(_verified(_wider(case, gpus_per_node)), 1)
    yield from _verified(_shorter(case))
    yield from islice(_verified(_larger(case)), 1)


def _verified(candidates: Iterable[Candidate]) -> Iterator[Option]:
    for change, fields, other in candidates:
        fit = judge(other)
        if fit.verdict is Verdict.FITS and _can_be_spread(other):
            yield Option(change, fields, fit.sequences)


def _formats(case: Case) -> Iterator[Candidate]:
    spec = case.spec
    if case.gpu.fp8 and not case.checkpoint.quantized:
        smaller = changed(spec, "engine", quantization=Quantization.FP8)
        yield "fp8", (("engine.quantization", "fp8"),), replace(case, spec=smaller)
    if case.gpu.fp8 and spec.engine.kv_cache.dtype in {KvCacheDType.AUTO, KvCacheDType.BFLOAT16}:
        fields: Fields = (("engine.kvCache.dtype", "fp8_e4m3"),)
        yield "an fp8 KV cache", fields, replace(case, spec=_fp8_cache(spec))


def _fp8_cache(spec: Spec) -> Spec:
    cache = spec.engine.kv_cache.model_copy(update={"dtype": KvCacheDType.FP8_E4M3})
    return changed(spec, "engine", kv_cache=cache)


def _wider(case: Case, gpus_per_node: int) -> Iterator[Candidate]:
    spec, resources = case.spec, case.spec.resources
    now = resources.parallelism
    if resources.gpu.mig_profile is not None:
        return
    tensor = now.tensor * 2
    while tensor * now.pipeline * now.data <= gpus_per_node * now.nodes:
        count = tensor * now.pipeline * now.data
        parallelism = now.model_copy(update={"tensor": tensor})
        gpu = resources.gpu.model_copy(update={"count": count})
        fields: Fields = (("resources.parallelism.tensor", tensor), ("resources.gpu.count", count))
        yield f"TP={tensor}", fields, replace(case, spec=changed(spec, "resources", parallelism=parallelism, gpu=gpu))
        tensor *= 2


def _shorter(case: Case) -> Iterator[Candidate]:
    """Give the longest context that fits; a shorter one never needs more."""
    low, high = 0, (case.spec.model.context_length or case.model.max_context) // _STEP
    while low < high:
        middle = (low + high + 1) // 2
        other = changed(case.spec, "model", context_length=middle * _STEP)
        if judge(replace(case, spec=other)).verdict is Verdict.FITS:
            low = middle
        else:
            high = middle - 1
    if length := low * _STEP:
        shorter = replace(case, spec=changed(case.spec, "model", context_length=length))
        yield f"contextLength ≤ {length:,}", (("model.contextLength", length),), shorter


def _larger(case: Case) -> Iterator[Candidate]:
    if case.spec.resources.gpu.mig_profile is not None:
        return
    for gpu in products():
        if gpu.visible > case.gpu.visible:
            yield f"a larger GPU ({gpu.name})", (("resources.gpu.product", gpu.name),), replace(case, gpu=gpu)


def _can_be_spread(case: Case) -> bool:
    try:
        check(case.spec, shape=case.model.shape)
    except ReconcileError:
        return False
    return True

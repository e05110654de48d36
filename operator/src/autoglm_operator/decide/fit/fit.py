"""Whether a model fits its GPUs, in one sentence with numbers, and what would fit instead: pure."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from autoglm_operator.api.quantity import GIBIBYTE, byte_count
from autoglm_operator.api.v1alpha1 import DType, EngineType, Spec, SpeculativeMethod
from autoglm_operator.decide.allocated import GpuFacts
from autoglm_operator.decide.fit import formats
from autoglm_operator.decide.fit.architecture import Architecture
from autoglm_operator.decide.fit.checkpoint import Checkpoint, assumed
from autoglm_operator.decide.fit.engines import rules
from autoglm_operator.decide.fit.estimate import Draft, Parts, Setup, estimate, kv_per_token
from autoglm_operator.decide.fit.gpus import Gpu
from autoglm_operator.decide.fit.models import AUTOGLM_CONTEXT_LENGTH, is_autoglm_phone, model_name
from autoglm_operator.decide.fit.weights import Weights
from autoglm_operator.decide.reasons import Reason

#: An estimate this far over what there is may still be wrong: nothing is refused for it.
_DOUBT: Final = 0.03


class Verdict(StrEnum):
    """How it stands."""

    FITS = "Fits"
    TIGHT = "Tight"
    DOES_NOT_FIT = "DoesNotFit"
    UNSUPPORTED = "Unsupported"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Missing:
    """What is not known, and how to give it."""

    why: str


@dataclass(frozen=True, slots=True)
class Option:
    """A change with which the model fits, by the same estimate.

    Attributes:
        change: in words, such as `TP=2`.
        fields: of the spec, with their new values.
        sequences: of the wanted length that then fit.
    """

    change: str
    fields: tuple[tuple[str, str | int], ...]
    sequences: int


@dataclass(frozen=True, slots=True)
class Fit:
    """The judgement.

    Attributes:
        sentence: with its numbers; without a full stop.
        gpu: product, or words for it.
        parts: what is taken on each GPU; `None` if that is not known.
        sequences: of the context length, over all data-parallel ranks, at once.
        tokens: that the KV cache of one engine holds.
        cpu_tokens: that its tier in CPU memory holds.
        checkpoint_bytes: of all files of the model; `None` if that is not known.
        refusals: why the engine would not start, whatever the memory.
        options: by how little they cost the user.
        notes: sentences about what works otherwise than one may expect.
    """

    verdict: Verdict
    sentence: str
    gpu: str = ""
    parts: Parts | None = None
    sequences: int = 0
    tokens: int = 0
    cpu_tokens: int = 0
    checkpoint_bytes: int | None = None
    refusals: tuple[formats.Refusal, ...] = ()
    options: tuple[Option, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def fits(self) -> bool | None:
        """Return whether it fits; `None` if that is not known, or too close to say."""
        known = {Verdict.FITS: True, Verdict.DOES_NOT_FIT: False, Verdict.UNSUPPORTED: False}
        return known.get(self.verdict)

    @property
    def reason(self) -> Reason:
        """Return the reason of the condition."""
        if self.refusals:
            return self.refusals[0].reason
        return {True: Reason.FITS, False: Reason.DOES_NOT_FIT, None: Reason.FIT_UNKNOWN}[self.fits]


@dataclass(frozen=True, slots=True)
class Case:
    """What is judged.

    Attributes:
        gpu: each of the replica's.
        version: of the engine.
        draft: model of the speculative decoding, if it has one of its own.
    """

    spec: Spec
    model: Architecture
    gpu: Gpu
    version: str
    draft: Architecture | None = None

    @property
    def checkpoint(self) -> Checkpoint:
        """Return how the weights are stored on the GPU."""
        wanted = self.spec.engine.quantization
        return assumed(wanted) if wanted and not self.model.checkpoint.quantized else self.model.checkpoint


def unknown(sentence: str, checkpoint_bytes: int | None = None) -> Fit:
    """Return the judgement that nothing can be said."""
    return Fit(Verdict.UNKNOWN, sentence, checkpoint_bytes=checkpoint_bytes)


def case_of(
    spec: Spec, facts: GpuFacts, model: Architecture | Missing, version: str, draft: Architecture | Missing | None
) -> Case | Fit:
    """Return what to judge, or the judgement if something is missing."""
    if spec.engine.type is EngineType.SIMULATOR or spec.resources.gpu.count == 0:
        return unknown("no GPU is used, so nothing has to fit one")
    if isinstance(model, Missing):
        return unknown(f"the memory that {model_name(spec.model)} needs is not known: {model.why}")
    size = checkpoint_bytes(spec, model)
    speculative = spec.engine.speculative
    if speculative and speculative.method is SpeculativeMethod.DRAFT_MODEL and not isinstance(draft, Architecture):
        why = draft.why if isinstance(draft, Missing) else "it is not among the known models"
        return unknown(f"the memory that the draft model {speculative.model} needs is not known: {why}", size)
    gpu = Gpu.of(facts, spec.resources.gpu.mig_profile)
    if gpu is None or gpu.visible <= 0:
        named = spec.resources.gpu.product or "the GPU"
        return unknown(
            f"the memory of {named} is not known: set spec.resources.gpu.product to a product such as "
            "NVIDIA-H100-80GB-HBM3, or let GPU feature discovery label the nodes with nvidia.com/gpu.memory",
            size,
        )
    return Case(served(spec), model, gpu, version, draft if isinstance(draft, Architecture) else None)


def served(spec: Spec) -> Spec:
    """Return `spec` with the context length it is served with, where its model's publisher gives one."""
    if spec.model.context_length is None and is_autoglm_phone(spec.model):
        return changed(spec, "model", context_length=AUTOGLM_CONTEXT_LENGTH)
    return spec


def changed(spec: Spec, part: str, **fields: object) -> Spec:
    """Return `spec` with other `fields` in one of its parts."""
    return spec.model_copy(update={part: getattr(spec, part).model_copy(update=fields)})


def checkpoint_bytes(spec: Spec, model: Architecture) -> int:
    """Return the bytes of the model's files: FP8 given in the spec is made from them when they are loaded."""
    wanted = spec.engine.quantization
    made = wanted == "fp8" or wanted is None or model.checkpoint.quantized
    return Weights(model, model.checkpoint if made else assumed(str(wanted)), model.value_bytes).checkpoint_bytes()


def judge(case: Case) -> Fit:
    """Return the judgement of `case`, without options."""
    spec = case.spec
    value = 4 if spec.model.dtype is DType.FLOAT32 else 2
    model = replace(case.model, value_bytes=value)
    what = rules(spec, case.gpu, case.version, model.vision)
    speculative = spec.engine.speculative
    draft = Draft(speculative.method, case.draft) if speculative else None
    parts = estimate(Setup(spec, Weights(model, case.checkpoint, value), what, draft))
    each = parts.kv // max(1, parts.kv_per_sequence)
    found = Fit(
        verdict=_verdict(parts),
        sentence="",
        gpu=case.gpu.name,
        parts=parts,
        sequences=each * spec.resources.parallelism.data,
        tokens=parts.tokens,
        cpu_tokens=_cpu_tokens(spec, model),
        checkpoint_bytes=checkpoint_bytes(spec, case.model),
        refusals=formats.refusals(spec, case.gpu, case.checkpoint),
        notes=formats.notes(case.gpu, case.checkpoint),
    )
    return replace(found, verdict=Verdict.UNSUPPORTED) if found.refusals else found


def _verdict(parts: Parts) -> Verdict:
    if parts.needed <= parts.budget:
        return Verdict.FITS
    return Verdict.TIGHT if parts.needed <= parts.budget * (1 + _DOUBT) else Verdict.DOES_NOT_FIT


def _cpu_tokens(spec: Spec, model: Architecture) -> int:
    given = spec.engine.kv_cache.cpu_offload
    if not given:
        return 0
    everywhere = kv_per_token(spec, model) * model.layers * spec.resources.parallelism.tensor
    return byte_count(given) // spec.resources.parallelism.data // max(1, everywhere)


def worded(fit: Fit, spec: Spec) -> str:
    """Return the judgement in one sentence."""
    parts = fit.parts
    if parts is None:
        return fit.sentence
    if fit.refusals:
        return "; ".join(refusal.message for refusal in fit.refusals)
    each = "" if spec.resources.gpu.count == 1 else " on each GPU"
    numbers = f"needs {gib(parts.needed)} GiB{each}, {fit.gpu} has {gib(parts.budget)} usable"
    if fit.verdict is Verdict.FITS:
        more = f" and {fit.cpu_tokens:,} tokens in CPU memory" if fit.cpu_tokens else ""
        plural = "" if fit.sequences == 1 else "s"
        return f"{numbers}: fits {fit.sequences:,} sequence{plural} of {parts.context:,} tokens{more}"
    cure = ", or ".join(option.change for option in fit.options)
    instead = f": use {cure}" if cure else "; no known change makes it fit: choose a smaller model"
    if fit.verdict is Verdict.TIGHT:
        return f"may not fit one sequence of {parts.context:,} tokens: {numbers}{instead}"
    return f"does not fit one sequence of {parts.context:,} tokens: {numbers}{instead}"


def gib(count: int) -> str:
    """Return bytes as GiB with one decimal."""
    return f"{count / GIBIBYTE:,.1f}"

"""Asked from outside: does it fit, must it be refused, and was the estimate right; pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from autoglm_operator.api.quantity import GIBIBYTE
from autoglm_operator.api.v1alpha1 import Spec
from autoglm_operator.decide.allocated import GpuFacts
from autoglm_operator.decide.fit.architecture import Architecture
from autoglm_operator.decide.fit.config import ConfigError
from autoglm_operator.decide.fit.fit import Fit, Missing, Verdict, case_of, judge, worded
from autoglm_operator.decide.fit.models import known_config
from autoglm_operator.decide.fit.options import options
from autoglm_operator.decide.reasons import Reason
from autoglm_operator.errors import Terminal

#: An estimate that is further off is told, so that somebody can correct it.
TOLERATED_PERCENT: Final = 5.0


def architecture_of(spec: Spec, config: Mapping[str, Any] | str | None = None) -> Architecture | Missing:
    """Return the architecture of the model, from its `config.json` or else from the table of known models.

    Args:
        spec: what is wanted.
        config: the `config.json`; a string says why it could not be had.
    """
    source = spec.model.source
    return _architecture(source.hugging_face or source.model_scope, config)


def draft_of(spec: Spec) -> Architecture | Missing | None:
    """Return the architecture of the draft model; `None` if there is none."""
    speculative = spec.engine.speculative
    if speculative is None or speculative.model is None:
        return None
    return _architecture(speculative.model, None)


def _architecture(model_id: str | None, config: Mapping[str, Any] | str | None) -> Architecture | Missing:
    found = config if isinstance(config, Mapping) else known_config(model_id) if model_id else None
    if found is None:
        why = config if isinstance(config, str) else "its config.json was not read"
        return Missing(f"{why}, and it is not among the known models; give it with `kubectl autoglm fit --config FILE`")
    try:
        return Architecture.parse(found)
    except ConfigError as error:
        return Missing(f"config.json: {error}")


def assess(
    spec: Spec,
    gpu: GpuFacts,
    architecture: Architecture | Missing,
    engine_version: str,
    *,
    draft: Architecture | Missing | None = None,
    gpus_per_node: int | None = None,
) -> Fit:
    """Return whether the model of `spec` fits its GPUs; whatever is not known makes the verdict Unknown.

    Args:
        spec: what is wanted.
        gpu: what is known of the GPUs.
        architecture: of the model.
        engine_version: that serves it.
        draft: the draft model's architecture, if speculative decoding has one.
        gpus_per_node: most GPUs of a node; 8 if not known.
    """
    case = case_of(spec, gpu, architecture, engine_version, draft)
    if isinstance(case, Fit):
        return case
    fit = judge(case)
    if fit.verdict in {Verdict.DOES_NOT_FIT, Verdict.TIGHT}:
        fit = replace(fit, options=options(case, gpus_per_node))
    return replace(fit, sentence=worded(fit, case.spec))


def refuse(fit: Fit) -> None:
    """Raise what forbids starting the engine.

    Raises:
        Terminal: the model does not fit, or the GPU cannot work with its format.
    """
    if fit.refusals:
        raise Terminal(fit.refusals[0].reason, fit.sentence)
    if fit.fits is False:
        raise Terminal(Reason.DOES_NOT_FIT, f"spec.resources.gpu: the model {fit.sentence}")


@dataclass(frozen=True, slots=True)
class ObservedFit:
    """The engine's own figures beside the estimate.

    Attributes:
        kv_tokens: that its KV cache holds.
        weights: bytes of them on a GPU; `None` if it does not tell.
        kv_error_percent: of the estimate; positive where it promised too much.
        weights_error_percent: of the estimate; positive where it reckoned with too much.
        sentence: with both figures.
    """

    kv_tokens: int
    weights: int | None
    kv_error_percent: float
    weights_error_percent: float | None
    sentence: str

    @property
    def off(self) -> bool:
        """Return whether an estimate is further off than is tolerated."""
        errors = (self.kv_error_percent, self.weights_error_percent or 0.0)
        return any(abs(error) > TOLERATED_PERCENT for error in errors)


def compare(fit: Fit, kv_tokens: int, weights_gib: float | None = None) -> ObservedFit | None:
    """Return how an engine's own figures stand to the estimate; `None` where there is none, or no figure.

    Args:
        fit: the estimate.
        kv_tokens: of one engine: vLLM's num_gpu_blocks times block_size, SGLang's max_total_num_tokens.
        weights_gib: of one GPU: vLLM's start-up log, SGLang's weight_memory_usage_gb (which are GiB).
    """
    if fit.parts is None or kv_tokens <= 0:
        return None
    kv_error = 100 * (fit.tokens - kv_tokens) / kv_tokens
    sentence = f"the KV cache holds {kv_tokens:,} tokens, {fit.tokens:,} were expected ({kv_error:+.1f} %)"
    loaded = fit.parts.weights - fit.parts.offloaded
    weights, weights_error = None, None
    if weights_gib is not None and weights_gib > 0:
        weights = round(weights_gib * GIBIBYTE)
        weights_error = 100 * (loaded - weights) / weights
        sentence += (
            f"; weights take {weights_gib:.2f} GiB, {loaded / GIBIBYTE:.2f} were expected ({weights_error:+.1f} %)"
        )
    return ObservedFit(kv_tokens, weights, kv_error, weights_error, sentence)

"""How the model fits the GPUs of a deployment, for its plan and its status: pure."""

from collections.abc import Mapping
from typing import Any

from autoglm_operator.api.v1alpha1 import EngineType, Spec
from autoglm_operator.decide.allocated import Allocation
from autoglm_operator.decide.fit import (
    Architecture,
    Fit,
    Missing,
    ObservedFit,
    architecture_of,
    assess,
    compare,
    draft_of,
)
from autoglm_operator.decide.parallel import UNKNOWN_SHAPE, ModelShape

#: A `config.json`, or why it could not be had; `None` if nobody looked.
Config = Mapping[str, Any] | str | None


def fit_of(spec: Spec, allocation: Allocation, config: Config, version: str) -> Fit | None:
    """Return the judgement; `None` for the simulated engine, which loads nothing.

    Args:
        spec: of the deployment.
        allocation: with what is known of the GPUs.
        config: of the model.
        version: of the engine; empty while that is asked.
    """
    if spec.engine.type is EngineType.SIMULATOR or not version:
        return None
    architecture = architecture_of(spec, config)
    facts, most = allocation.gpu_facts, allocation.gpus_per_node
    return assess(spec, facts, architecture, version, draft=draft_of(spec), gpus_per_node=most)


def shape_of(spec: Spec, config: Config) -> ModelShape:
    """Return what of the model limits how it is spread over GPUs."""
    found: Architecture | Missing = architecture_of(spec, config)
    return found.shape if isinstance(found, Architecture) else UNKNOWN_SHAPE


def observed_fit(fit: Fit | None, spec: Spec, serving: Mapping[str, Any]) -> ObservedFit | None:
    """Return how the engines' own figures stand to the judgement; `None` while there are none.

    Args:
        fit: the judgement.
        spec: of the deployment.
        serving: `status.serving`; its tokens are those of all data-parallel ranks of a replica.
    """
    tokens = serving.get("kvCacheTokens")
    if fit is None or not tokens:
        return None
    return compare(fit, int(tokens) // spec.resources.parallelism.data)


def fit_status(fit: Fit | None, observed: ObservedFit | None) -> Mapping[str, Any] | None:
    """Return `status.fit`; `None` if nothing was judged."""
    if fit is None:
        return None
    status: dict[str, Any] = {"verdict": fit.verdict.value, "message": fit.sentence}
    if fit.parts is not None:
        status |= {"weightsBytes": fit.parts.weights, "kvCacheTokens": fit.tokens, "sequences": fit.sequences}
    if observed is not None:
        status["observed"] = {
            "kvCacheTokens": observed.kv_tokens,
            "errorPercent": round(observed.kv_error_percent, 1),
            "message": observed.sentence,
        }
    return status

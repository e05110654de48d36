"""Memory fit: whether a model with its KV cache fits the GPUs asked for, and what would fit instead."""

from autoglm_operator.decide.fit.architecture import Architecture
from autoglm_operator.decide.fit.assess import ObservedFit, architecture_of, assess, compare, draft_of, refuse
from autoglm_operator.decide.fit.fit import Fit, Missing, Option, Verdict
from autoglm_operator.decide.fit.gpus import Gpu

__all__ = [
    "Architecture",
    "Fit",
    "Gpu",
    "Missing",
    "ObservedFit",
    "Option",
    "Verdict",
    "architecture_of",
    "assess",
    "compare",
    "draft_of",
    "refuse",
]

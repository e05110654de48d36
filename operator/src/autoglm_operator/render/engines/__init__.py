"""One file for each engine: its command line, environment and probes."""

from collections.abc import Callable, Mapping
from typing import Final

from autoglm_operator.api.v1alpha1 import EngineType
from autoglm_operator.decide.plan import Plan
from autoglm_operator.render.engines import sglang, simulator, vllm
from autoglm_operator.render.engines.common import EngineProcess

RENDERERS: Final[Mapping[EngineType, Callable[[Plan], EngineProcess]]] = {
    EngineType.VLLM: vllm.render,
    EngineType.SGLANG: sglang.render,
    EngineType.SIMULATOR: simulator.render,
}

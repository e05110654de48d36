"""One file for each engine: its command line, environment and probes."""

from collections.abc import Mapping
from typing import Final, Protocol

from autoglm_operator.api.v1alpha1 import EngineType
from autoglm_operator.decide.plan import Plan
from autoglm_operator.render.engines import sglang, simulator, vllm
from autoglm_operator.render.engines.common import EngineProcess, Role

__all__ = ["RENDERERS", "EngineProcess", "Renderer", "Role", "render"]


class Renderer(Protocol):
    """Makes the process of one engine."""

    def __call__(self, plan: Plan, role: Role = Role.ALONE) -> EngineProcess:
        """Return how to run it."""
        ...


RENDERERS: Final[Mapping[EngineType, Renderer]] = {
    EngineType.VLLM: vllm.render,
    EngineType.SGLANG: sglang.render,
    EngineType.SIMULATOR: simulator.render,
}


def render(plan: Plan, role: Role = Role.ALONE) -> EngineProcess:
    """Return how to run the engine of `plan` in a pod with that role.

    Raises:
        Terminal: the engine's release cannot express the spec, or would not start with it.
    """
    return RENDERERS[plan.spec.engine.type](plan, role)

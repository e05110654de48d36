"""Plans with any spec, and the process that an engine makes of one."""

from dataclasses import replace

import pytest

from autoglm_operator.api.v1alpha1 import Spec
from autoglm_operator.decide.plan import make_plan
from autoglm_operator.observe.world import Deployment, Observed
from autoglm_operator.render.engines import Role, render
from autoglm_operator.settings import Images

OTHER = {"source": {"huggingFace": "Qwen/Qwen3-8B"}}


@pytest.fixture
def plan_of(deployment_document):
    """Return the plan of a deployment called `phone` with this spec; the engine's version is the one it names."""

    def make(engine="vLLM", version="", *, model=OTHER, resources=None, **rest):
        known = {key: rest.pop(key) for key in ("tracing", "warmStart") if key in rest}
        document = {"model": model, "engine": {"type": engine, **rest}, "resources": resources or {}, **known}
        plan = make_plan(Observed(Deployment.parse(deployment_document()), {}, (), frozenset(), 0.0), Images())
        spec = Spec.model_validate(document)
        return replace(plan, spec=spec, decided=replace(plan.decided, version=version))

    return make


@pytest.fixture
def process(plan_of):
    return lambda *engine, role=Role.ALONE, **spec: render(plan_of(*engine, **spec), role)


@pytest.fixture
def options(process):
    """Return the flags of a command line with their values: a list of words each."""

    def make(*engine, **spec):
        found = {}
        for word in process(*engine, **spec).args:
            if word.startswith("--"):
                assert word not in found, f"{word} is given twice"
                found[word] = []
            elif found:
                found[list(found)[-1]].append(word)
        return found

    return make

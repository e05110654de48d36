"""`kubectl autoglm render`: the objects that would be applied, without a cluster."""

from typing import Any

import yaml

from autoglm_operator.cli.schema import problems
from autoglm_operator.decide.plan import make_plan
from autoglm_operator.observe.world import Deployment, Observed
from autoglm_operator.render.bundle import bundle
from autoglm_operator.settings import Images

#: Stands where the API server's answer would be.
_UNKNOWN_UID = "00000000-0000-0000-0000-000000000000"


class RenderError(Exception):
    """The file has no AutoGLMDeployment that the API server would take."""


def render(text: str, source: str, images: Images | None = None) -> str:
    """Return the YAML documents that the AutoGLMDeployments in `text` become.

    Args:
        text: YAML documents.
        source: where they come from, for error messages.
        images: the images of the operator's installation; the released ones if left out.

    Raises:
        RenderError: the text is no YAML, has no AutoGLMDeployment, or has one that would be refused.
    """
    try:
        documents = [document for document in yaml.safe_load_all(text) if document]
    except yaml.YAMLError as error:
        raise RenderError(f"{source}: not YAML: {error}") from error
    if not documents:
        raise RenderError(f"{source}: no document; expected an AutoGLMDeployment")
    objects: list[dict[str, Any]] = []
    for document in documents:
        if not isinstance(document, dict):
            raise RenderError(f"{source}: expected an AutoGLMDeployment, got {type(document).__name__}")
        if found := problems(document):
            raise RenderError("\n".join(f"{source}: {line}" for line in found))
        objects += _objects(document, images or Images())
    return yaml.safe_dump_all(objects, sort_keys=False)


def _objects(document: dict[str, Any], images: Images) -> list[dict[str, Any]]:
    meta = {"namespace": "default", "uid": _UNKNOWN_UID, **document["metadata"]}
    deployment = Deployment.parse({**document, "metadata": meta})
    observed = Observed(deployment, {}, (), frozenset(), 0.0)
    return bundle(deployment, make_plan(observed, images), images)

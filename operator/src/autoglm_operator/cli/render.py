"""`kubectl autoglm render`: the objects that would be applied, without a cluster."""

from typing import Any

import yaml

from autoglm_operator.cli.schema import problems
from autoglm_operator.decide.allocated import CLAIM_TEMPLATE_KIND
from autoglm_operator.decide.parallel import GROUP_KIND
from autoglm_operator.decide.plan import make_plan
from autoglm_operator.errors import ReconcileError
from autoglm_operator.observe.world import Deployment, Observed
from autoglm_operator.render.bundle import bundle
from autoglm_operator.settings import Images

#: Stands where the API server's answer would be.
_UNKNOWN_UID = "00000000-0000-0000-0000-000000000000"
#: Without a cluster to ask, what a spec needs is taken to be there.
_ANY_KIND = frozenset({GROUP_KIND, CLAIM_TEMPLATE_KIND})


class _Dumper(yaml.SafeDumper):
    """Writes equal parts out each time: people read this, and references do not read well."""

    def ignore_aliases(self, _data: Any) -> bool:
        """Return that nothing is a reference."""
        return True


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
        try:
            objects += _objects(document, images or Images())
        except ReconcileError as error:
            raise RenderError(f"{source}: {error}") from error
    return yaml.dump_all(objects, Dumper=_Dumper, sort_keys=False)


def _objects(document: dict[str, Any], images: Images) -> list[dict[str, Any]]:
    meta = {"namespace": "default", "uid": _UNKNOWN_UID, **document["metadata"]}
    deployment = Deployment.parse({**document, "metadata": meta})
    observed = Observed(deployment, {}, (), _ANY_KIND, 0.0)
    return bundle(deployment, make_plan(observed, images), images)

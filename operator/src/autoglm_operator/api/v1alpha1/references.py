"""References to other objects, all in the namespace of the AutoGLMDeployment."""

from typing import Annotated

from pydantic import Field

from autoglm_operator.api.types import PATH_PATTERN, ApiModel

#: Present only so that a reference elsewhere is refused with a sentence, and not silently ignored.
ForbiddenNamespace = Annotated[
    str | None, Field(max_length=63, description="Not allowed: references stay inside the namespace.")
]


class SecretKeyRef(ApiModel):
    """One key of a Secret in the same namespace."""

    name: Annotated[str, Field(min_length=1, max_length=253, description="Name of the Secret.")]
    key: Annotated[
        str,
        Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$", description="Key whose value is meant."),
    ] = "token"
    namespace: ForbiddenNamespace = None


class PvcSource(ApiModel):
    """Files on a PersistentVolumeClaim in the same namespace, mounted read-only."""

    claim_name: Annotated[str, Field(min_length=1, max_length=253, description="Name of the PersistentVolumeClaim.")]
    path: Annotated[
        str | None,
        Field(pattern=PATH_PATTERN, max_length=512, description="Folder of the files inside the volume."),
    ] = None
    namespace: ForbiddenNamespace = None

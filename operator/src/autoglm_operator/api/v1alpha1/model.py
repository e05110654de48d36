"""`spec.model`: what is served, and where its files come from."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from autoglm_operator.api.types import (
    IMAGE_PATTERN,
    MODEL_ID_PATTERN,
    PATH_PATTERN,
    REVISION_PATTERN,
    SERVED_NAME_PATTERN,
    URL_PATTERN,
    ApiModel,
)
from autoglm_operator.api.v1alpha1.references import PvcSource, SecretKeyRef


class DType(StrEnum):
    """Number format of activations, and of weights that are not quantized."""

    AUTO = "auto"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"
    FLOAT32 = "float32"


class PullPolicy(StrEnum):
    """When the kubelet asks the registry for an image."""

    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


class OciImageSource(ApiModel):
    """Model files in an OCI image, mounted read-only as an image volume."""

    reference: Annotated[
        str, Field(pattern=IMAGE_PATTERN, max_length=512, description="Image reference; pin a digest.")
    ]
    path: Annotated[
        str | None,
        Field(pattern=PATH_PATTERN, max_length=512, description="Folder of the model inside the image."),
    ] = None
    pull_policy: PullPolicy = PullPolicy.IF_NOT_PRESENT


class ModelSource(ApiModel):
    """Where the model's files come from; exactly one of the fields."""

    hugging_face: Annotated[
        str | None,
        Field(
            pattern=MODEL_ID_PATTERN,
            max_length=200,
            description="Model id on Hugging Face, `organisation/name`.",
        ),
    ] = None
    model_scope: Annotated[
        str | None,
        Field(
            pattern=MODEL_ID_PATTERN,
            max_length=200,
            description="Model id on ModelScope, `organisation/name`.",
        ),
    ] = None
    pvc: PvcSource | None = None
    oci_image: OciImageSource | None = None
    url: Annotated[
        str | None,
        Field(
            pattern=URL_PATTERN,
            max_length=512,
            description=(
                "Folder of the model's files on a web server, such as an internal mirror. It is downloaded once to "
                "the cache of `warmStart`."
            ),
        ),
    ] = None


class Model(ApiModel):
    """The model to serve."""

    source: ModelSource
    hub_endpoint: Annotated[
        str | None,
        Field(
            pattern=URL_PATTERN,
            max_length=512,
            description="Mirror of Hugging Face or ModelScope to use instead of the public one.",
        ),
    ] = None
    revision: Annotated[
        str | None,
        Field(
            pattern=REVISION_PATTERN,
            max_length=128,
            description="Commit, tag or branch of the repository. Pin a commit so that every pod serves the same.",
        ),
    ] = None
    served_name: Annotated[
        str | None,
        Field(
            pattern=SERVED_NAME_PATTERN,
            max_length=200,
            description="Name that clients write in `model`; the name of the AutoGLMDeployment if left out.",
        ),
    ] = None
    context_length: Annotated[
        int | None,
        Field(
            ge=256,
            le=10_000_000,
            description="Longest prompt plus output in tokens; the model's own if left out.",
        ),
    ] = None
    token_secret_ref: Annotated[
        SecretKeyRef | None,
        Field(description="Token for gated models, handed to the engine and the download as HF_TOKEN."),
    ] = None
    dtype: Annotated[DType, Field(description="Number format of activations; `auto` takes that of the checkpoint.")] = (
        DType.AUTO
    )
    trust_remote_code: Annotated[
        bool, Field(description="Let the engine run Python code that the model's repository brings.")
    ] = False

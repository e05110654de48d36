"""`spec.warmStart`: what is made ready before a pod needs it."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from autoglm_operator.api.types import BYTES_PATTERN, DNS_NAME_PATTERN, ApiModel


class WarmStartMode(StrEnum):
    """How much is made ready ahead.

    `Lazy`: nothing; each pod downloads the model itself.
    `Hybrid`: the weights are downloaded once to a shared volume, and the compile cache is kept there.
    `Full`: that, and the engine image is pulled ahead on every node that matches.
    """

    LAZY = "Lazy"
    HYBRID = "Hybrid"
    FULL = "Full"


class AccessMode(StrEnum):
    """From how many nodes the cache can be mounted."""

    READ_WRITE_MANY = "ReadWriteMany"
    READ_WRITE_ONCE = "ReadWriteOnce"


class Cache(ApiModel):
    """The shared volume: a claim that exists, or one to be made."""

    claim_name: Annotated[
        str | None,
        Field(
            pattern=DNS_NAME_PATTERN, max_length=253, description="PersistentVolumeClaim to use; it is never deleted."
        ),
    ] = None
    storage_class_name: Annotated[
        str | None,
        Field(
            pattern=DNS_NAME_PATTERN,
            max_length=253,
            description="Class of the claim to make; the default one if left out.",
        ),
    ] = None
    size: Annotated[
        str | None,
        Field(
            pattern=BYTES_PATTERN, max_length=16, description="Size of the claim to make; from the model if left out."
        ),
    ] = None
    access_mode: Annotated[AccessMode, Field(description="ReadWriteOnce keeps every replica on one node.")] = (
        AccessMode.READ_WRITE_MANY
    )


class WarmStart(ApiModel):
    """What is made ready before a pod needs it."""

    mode: WarmStartMode = WarmStartMode.LAZY
    cache: Cache = Cache()

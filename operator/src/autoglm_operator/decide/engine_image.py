"""Which image an engine pod runs, and which engine version is inside."""

import re
from typing import Final

from autoglm_operator.api.types import VERSION_PATTERN
from autoglm_operator.api.v1alpha1 import EngineType, Spec
from autoglm_operator.settings import Images

#: What vendors put behind the version in a tag, such as -cu129 or -x86_64.
_TAG: Final = re.compile(r"^v?(?P<version>[0-9]+\.[0-9]+(\.[0-9]+)?(\.?(rc|post)[0-9]+)?)([-_+].*)?$")


def engine_image(spec: Spec, images: Images) -> str:
    """Return the image the user gave, or the default one with the tag of the version the user gave."""
    if spec.engine.image:
        return spec.engine.image
    image = images.engines[spec.engine.type]
    if spec.engine.version is None or spec.engine.type is EngineType.SIMULATOR:
        return image
    return f"{_split(image)[0]}:v{spec.engine.version}"


def engine_version(spec: Spec, image: str) -> str | None:
    """Return the engine version of `image`: as the spec says, else as the tag says; `None` if neither does."""
    if spec.engine.version is not None:
        return spec.engine.version
    found = _TAG.match(_split(image)[1])
    return found["version"] if found and re.fullmatch(VERSION_PATTERN.strip("^$"), found["version"]) else None


def _split(image: str) -> tuple[str, str]:
    """Return repository and tag of an image reference; a port of the registry is no tag."""
    name = image.split("@", 1)[0]
    head, separator, tail = name.rpartition(":")
    return (head, tail) if separator and "/" not in tail else (name, "")

"""Where a model comes from."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """A kind of source."""

    HUGGING_FACE = "huggingface"
    MODEL_SCOPE = "modelscope"
    URL = "url"


@dataclass(frozen=True, slots=True)
class Source:
    """A model and where it is.

    Attributes:
        model: `organisation/name`, or the address of a folder.
        revision: commit, tag or branch; empty for a folder.
        endpoint: base address of the hub; empty for a folder.
    """

    kind: Kind
    model: str
    revision: str = ""
    endpoint: str = ""


#: Base address and branch of each hub where the user gives none.
DEFAULTS: Final[Mapping[Kind, tuple[str, str]]] = {
    Kind.HUGGING_FACE: ("https://huggingface.co", "main"),
    Kind.MODEL_SCOPE: ("https://www.modelscope.cn", "master"),
    Kind.URL: ("", ""),
}

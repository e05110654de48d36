"""A row of the table of failures."""

import re
from enum import Enum
from typing import NamedTuple

from autoglm_operator.decide.reasons import Reason


class Outlook(Enum):
    """What becomes of a failure if nobody does anything."""

    #: This spec cannot work: it fails the same way each time, on each node.
    PERMANENT = "it will not pass by itself"
    #: Something beside the spec has to be mended.
    OUTSIDE = "the pod is tried again until that is mended"
    #: It may pass without anybody.
    PASSING = "it may pass by itself; the pod is tried again"


class Signature(NamedTuple):
    """One way to fail.

    `what` and `cure` are format strings over the pattern's named groups and `{model}`, `{revision}`, `{context}` of the
    spec.
    """

    reason: Reason
    outlook: Outlook
    pattern: re.Pattern[str]
    what: str
    cure: str


def row(reason: Reason, outlook: Outlook, pattern: str, what: str, cure: str) -> Signature:
    """Return the signature of a failure whose log matches `pattern`."""
    return Signature(reason, outlook, re.compile(pattern), what, cure)

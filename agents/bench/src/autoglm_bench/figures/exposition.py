"""Sums of an engine's or agent's metrics, from the Prometheus text format. Pure."""

import re
from collections.abc import Mapping
from typing import Final

#: More than this of one answer is not read: a broken engine must not fill our memory.
MOST_BYTES: Final = 8 << 20
_LINE: Final = re.compile(
    r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?[ \t]+(\S+)(?:[ \t]+-?[0-9]+)?[ \t]*$", re.MULTILINE
)


def sums(text: str, names: Mapping[str, str]) -> dict[str, float]:
    """Return the sum of each metric over all its label sets; a metric that is absent is absent.

    Args:
        text: the exposition.
        names: metric → a part of its labels that a sample must have; empty for all samples.
    """
    found: dict[str, float] = {}
    for name, labels, number in _LINE.findall(text):
        wanted = names.get(name)
        if wanted is None or wanted not in labels:
            continue
        try:
            value = float(number)
        except ValueError:
            continue
        if value == value:  # noqa: PLR0124  not a number
            found[name] = found.get(name, 0.0) + value
    return found

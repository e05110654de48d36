"""Label selectors in the form that the API takes them in a query: `a=b,c!=d,e in (f,g),h notin (i),j,!k`."""

import re
from collections.abc import Callable, Mapping
from typing import Final

Labels = Mapping[str, str]
Matcher = Callable[[Labels], bool]

_KEY: Final = r"[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?"
_SET: Final = re.compile(rf"(?P<key>{_KEY})\s+(?P<operator>in|notin)\s*\((?P<values>[^()]*)\)")
_EQUAL: Final = re.compile(rf"(?P<key>{_KEY})\s*(?P<operator>==|=|!=)\s*(?P<value>[A-Za-z0-9._-]*)")
_EXISTS: Final = re.compile(rf"(?P<negated>!)?\s*(?P<key>{_KEY})")
#: A comma that is not inside parentheses.
_COMMA: Final = re.compile(r",(?![^(]*\))")


class InvalidSelector(ValueError):  # noqa: N818  # says what it is
    """The text is not a label selector."""


def parse(selector: str) -> Matcher:
    """Return the function that tells whether labels match `selector`; an empty one matches all.

    Raises:
        InvalidSelector: it is not a label selector.
    """
    parts = [part.strip() for part in _COMMA.split(selector)] if selector.strip() else []
    matchers = [_requirement(part) for part in parts]
    return lambda labels: all(matcher(labels) for matcher in matchers)


def _requirement(text: str) -> Matcher:
    if found := _SET.fullmatch(text):
        key, negated = found["key"], found["operator"] == "notin"
        values = {value.strip() for value in found["values"].split(",")}
        return lambda labels: (labels.get(key) in values) != negated
    if found := _EQUAL.fullmatch(text):
        key, negated, value = found["key"], found["operator"] == "!=", found["value"]
        return lambda labels: (labels.get(key) == value) != negated
    if found := _EXISTS.fullmatch(text):
        key, negated = found["key"], found["negated"] is not None
        return lambda labels: (key in labels) != negated
    raise InvalidSelector(
        f"labelSelector: {text!r} is not a requirement: expected key=value, key!=value, key in (a,b), key or !key"
    )

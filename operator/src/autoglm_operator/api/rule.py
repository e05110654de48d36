"""What a rule across fields is, and the shapes of rule that come up again and again."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from autoglm_operator.api.names import DEPLOYMENT
from autoglm_operator.api.types import DNS_NAME_PATTERN

#: In a path: every item of the list.
EACH: Final = "[]"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule on the object found at `path`.

    Attributes:
        path: keys from the root of the custom resource to the object the rule is on; `EACH` stands for each item.
        cel: the rule in CEL, with `self` that object.
        message: what is wrong and what to write instead.
        holds: the same rule in Python, given the object as decoded JSON with defaults filled in.
        field: JSON path, below `path`, that an error is reported on.
    """

    path: tuple[str, ...]
    cel: str
    message: str
    holds: Callable[[Mapping[str, Any]], bool]
    field: str = ""


def same_namespace(path: tuple[str, ...], kind: str, owner: str = DEPLOYMENT.kind) -> tuple[Rule, Rule]:
    """Return the rules on a reference of an `owner` to an object of `kind`: by plain name, in the same namespace."""
    name_field = "claimName" if kind == "PersistentVolumeClaim" else "name"
    return (
        Rule(
            path,
            "!has(self.__namespace__)",
            f"references stay inside the namespace: remove `namespace` and create the {kind} beside the {owner}",
            lambda ref: "namespace" not in ref,
            ".__namespace__",
        ),
        Rule(
            path,
            f"self.{name_field}.matches('{DNS_NAME_PATTERN}')",
            f"must be the plain name of a {kind} in the same namespace: lower case letters, digits, '-' and '.', "
            "without '/'",
            lambda ref: re.fullmatch(DNS_NAME_PATTERN, ref[name_field]) is not None,
            f".{name_field}",
        ),
    )


def exactly_one(path: tuple[str, ...], fields: tuple[str, ...]) -> Rule:
    """Return the rule that exactly one of `fields` is given in the object at `path`."""
    presence = ", ".join(f"has(self.{name})" for name in fields)
    return Rule(
        path,
        f"[{presence}].filter(given, given).size() == 1",
        f"give exactly one of {', '.join(fields[:-1])} and {fields[-1]}",
        lambda value: sum(name in value for name in fields) == 1,
    )


def broken(rules: tuple[Rule, ...], document: Mapping[str, Any]) -> list[str]:
    """Return a line for each of `rules` that `document`, with defaults filled in, breaks; each names the field."""
    lines = []
    for rule in rules:
        for where, target in _at(document, rule.path):
            if not rule.holds(target):
                field = where + rule.field.replace("__", "")
                lines.append(f"{field or 'metadata.name'}: {rule.message}")
    return lines


def _at(document: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each object that `path` leads to, with its field's path as an error names it."""
    found: list[tuple[str, Any]] = [("", document)]
    for key in path:
        if key == EACH:
            found = [(f"{where}[{index}]", item) for where, items in found for index, item in enumerate(items)]
        else:
            found = [(f"{where}.{key}".lstrip("."), value[key]) for where, value in found if value.get(key) is not None]
    yield from found

"""`spec.engine.extraArgs`: each word is checked against the flags of the release before an engine sees it.

argparse takes abbreviations, short options and, in vLLM, underscores for dashes and `--flag.key value`. A flag that the
operator owns could come in by each of these ways, so a word must be a flag's full long spelling.
"""

import difflib
import json
import math
import posixpath
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from autoglm_operator.api.v1alpha1 import EngineType
from autoglm_operator.decide.reasons import Reason
from autoglm_operator.errors import Terminal
from autoglm_operator.render.engines.common import MODEL_VOLUME_PATH
from autoglm_operator.render.engines.release import Flag, Release, releases_with

_NEGATIVE_NUMBER: Final = re.compile(r"-(\d+\.?\d*|\.\d+)")
#: Flags that vLLM refuses on their own, after parsing (validate_parsed_serve_args).
_REQUIRED: Final[Mapping[str, str]] = {
    "--enable-auto-tool-choice": "--tool-call-parser",
    "--enable-log-outputs": "--enable-log-requests",
}
_LOCAL_MEDIA: Final = "--allowed-local-media-path"


def check(
    release: Release, words: Sequence[str], owned: Mapping[str, str], rendered: Collection[str] = ()
) -> tuple[str, ...]:
    """Return `words` as they are, if the release takes them and none is the operator's.

    Args:
        release: the engine version.
        words: of the user.
        owned: flag → what to use instead.
        rendered: names of the flags that the command line has already.

    Raises:
        Terminal: a word is refused; the message names it and what to do.
    """
    seen: set[str] = set()
    on: dict[str, str] = {}
    position = 0
    while position < len(words):
        where = f"spec.engine.extraArgs[{position}]: {words[position]}"
        flag, inline = _flag(release, words[position], where, owned)
        if flag.name in rendered:
            raise _refusal(where, f"the operator sets {flag.name} for this model: remove it")
        if flag.name in seen and not flag.repeatable and "." not in words[position].partition("=")[0]:
            raise _refusal(where, f"{flag.name} is given twice: give it once")
        seen.add(flag.name)
        if words[position] != flag.negation:
            on[flag.name] = where
        values = [inline] if inline is not None else _following(words, position + 1, flag)
        _check_values(release, flag, values, where, inline=inline is not None)
        position += 1 + (0 if inline is not None else len(values))
    for name, needed in _REQUIRED.items():
        if name in on and name in release.flags and needed in release.flags and needed not in on:
            raise _refusal(on[name], f"{name} needs {needed} beside it: add that, or remove {name}")
    return tuple(words)


def _flag(release: Release, word: str, where: str, owned: Mapping[str, str]) -> tuple[Flag, str | None]:
    """Return the flag that `word` spells, and the value behind its `=`."""
    if not word.startswith("-"):
        raise _refusal(where, "expected a flag: a value must follow the flag that it belongs to")
    spelling, equals, value = word.partition("=")
    if not spelling.startswith("--") or spelling == "--":
        raise _refusal(where, "short options are not taken: write the long name of the flag")
    name = spelling
    if release.engine is EngineType.VLLM:
        # vLLM reads --a_b as --a-b, and --a.key as one key of the JSON that --a takes.
        name = "--" + spelling[2:].partition(".")[0].replace("_", "-")
    flag = release.flags.get(name)
    if flag is None:
        raise _unknown(release, name, where, owned)
    advice = next((owned[one] for one in flag.spellings if one in owned), None)
    if advice is not None:
        raise _refusal(where, f"the operator sets {name}: {advice}")
    if "." in spelling and not equals and flag.kind != "one":
        raise _refusal(where, f"{name} takes no JSON, so it has no keys")
    return flag, value if equals else None


def _unknown(release: Release, name: str, where: str, owned: Mapping[str, str]) -> Terminal:
    longer = sorted(known for known in release.flags if known.startswith(name))
    if longer:
        advice = next((f": the operator sets it: {owned[known]}" for known in longer if known in owned), "")
        return _refusal(where, f"an abbreviation of {' or '.join(longer[:3])}{advice}: write the name in full")
    with_it = releases_with(release.engine, name)
    if with_it:
        return _refusal(
            where,
            f"{release} has no {name}; releases {with_it[0]} to {with_it[-1]} have it",
            Reason.UNSUPPORTED_BY_ENGINE,
        )
    near = difflib.get_close_matches(name, release.flags, n=1)
    advice = f"did you mean {near[0]}?" if near else "see the engine's --help"
    return _refusal(where, f"{release} has no {name}; {advice}", Reason.UNSUPPORTED_BY_ENGINE)


def _following(words: Sequence[str], start: int, flag: Flag) -> list[str]:
    """Return the words that argparse takes for values of `flag`."""
    most = {"none": 0, "one": 1, "optional": 1, "many": len(words)}[flag.kind]
    values: list[str] = []
    for word in words[start : start + most]:
        if word.startswith("-") and not _NEGATIVE_NUMBER.fullmatch(word):
            break
        values.append(word)
    return values


def _check_values(release: Release, flag: Flag, values: Sequence[str], where: str, *, inline: bool) -> None:
    if flag.kind == "none" and inline:
        raise _refusal(where, f"{flag.name} takes no value: remove '=' and what follows")
    if flag.kind in {"one", "many"} and not values:
        raise _refusal(where, f"{flag.name} needs a value; one that starts with '-' is written {flag.name}=VALUE")
    for value in values:
        if flag.choices and value not in flag.choices:
            raise _refusal(where, f"{value!r}: {release} takes one of {', '.join(flag.choices)}")
        if flag.form and not _FORMS[flag.form][1](value):
            raise _refusal(where, f"{value!r}: expected {_FORMS[flag.form][0]}")
        if flag.name == _LOCAL_MEDIA and not _below_models(value):
            raise _refusal(
                where, f"{value!r}: a request could read the pod's files and secrets; only below {MODEL_VOLUME_PATH}"
            )


def _is_int(text: str) -> bool:
    return re.fullmatch(r"[+-]?[0-9]+", text) is not None


def _is_float(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _is_amount(text: str) -> bool:
    return re.fullmatch(r"[0-9]+|[0-9]+(\.[0-9]+)?[kmgt]|[0-9]+[KMGT]", text) is not None


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


#: Form of a value → how it is called, and whether a text has it.
_FORMS: Final[Mapping[str, tuple[str, Callable[[str], bool]]]] = {
    "int": ("a whole number", _is_int),
    "float": ("a finite number", _is_float),
    "amount": ("a whole number, or one with a unit such as 8k", _is_amount),
    "json": ("JSON", _is_json),
    "list": ("a JSON list", lambda text: _is_json(text) and isinstance(json.loads(text), list)),
}


def _below_models(path: str) -> bool:
    return f"{posixpath.normpath(path)}/".startswith(f"{MODEL_VOLUME_PATH}/")


def _refusal(where: str, message: str, reason: Reason = Reason.INVALID_SPEC) -> Terminal:
    return Terminal(reason, f"{where}: {message}")

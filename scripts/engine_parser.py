"""The argument parser of one engine release, run from the sources of its wheel.

    python scripts/engine_parser.py ENGINE SOURCES dump     print every option as JSON
    python scripts/engine_parser.py ENGINE SOURCES parse    JSON lines: a list of arguments in, what came of it out

What is real: every line of the engine's own code that builds and runs the parser, argparse, pydantic, and the packages
of `engine_sources.PARSER_PACKAGES`. What is a stand-in: what `engine_stand_ins` names, which the parser's modules
import but the parser does not use. A choice or type that came from a stand-in would end as an error in `dump`, never as
a value in the table.

It is run by the interpreter of the scratch environment, so it imports nothing of ours.
"""

import argparse
import contextlib
import importlib
import io
import json
import sys
import types
import typing
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from engine_stand_ins import VERSION_OF_STAND_INS, install

KINDS: Final = {None: "one", 0: "none", "?": "optional", "+": "many", "*": "many"}
#: What a value must look like, by the texts that the parser's own conversion takes; the first that fits.
FORMS: Final = {
    None: ("word",),  # anything
    "json": ("{}",),
    "list": ("[1]",),
    "float": ("1", "1.5"),
    "amount": ("1", "8k"),
    "int": ("1",),
}


@dataclass(frozen=True)
class Engine:
    """The parser of one release.

    Attributes:
        options: the parser that has the options.
        parse: arguments → namespace, the way the engine's own command does it.
        checked: the choices that are checked after parsing.
    """

    options: argparse.ArgumentParser
    parse: Callable[[list[str]], argparse.Namespace]
    checked: Mapping[str, Sequence[str]] = field(default_factory=dict)


def vllm() -> Engine:
    """Return the parser of `vllm serve`, on the CUDA platform."""
    # vLLM has no platform without a GPU, and some defaults come from it.
    platforms = importlib.import_module("vllm.platforms")
    cuda = importlib.import_module("vllm.platforms.cuda")
    vars(platforms)["_current_platform"] = cuda.NonNvmlCudaPlatform()
    root = Path(importlib.import_module("vllm").__file__ or "").parent / "entrypoints"
    folder = next(name for name in ("openai", "launchers", "common") if (root / name / "cli_args.py").exists())
    serving = importlib.import_module(f"vllm.entrypoints.{folder}.cli_args")
    # As vllm.entrypoints.cli.main does: `serve` is a command of its own parser.
    command = importlib.import_module("vllm.utils.argparse_utils").FlexibleArgumentParser(prog="vllm")
    options = serving.make_arg_parser(command.add_subparsers(dest="subparser").add_parser("serve"))
    quantization = importlib.import_module("vllm.model_executor.layers.quantization")
    cache = importlib.import_module("vllm.config.cache")
    checked = {
        "--quantization": tuple(quantization.QUANTIZATION_METHODS),
        "--kv-cache-dtype": typing.get_args(cache.CacheDType),
    }

    def parse_serve(arguments: list[str]) -> argparse.Namespace:
        found: argparse.Namespace = command.parse_args(["serve", *arguments])
        serving.validate_parsed_serve_args(found)
        for name, choices in checked.items():
            value = getattr(found, name[2:].replace("-", "_"))
            if value is not None and value not in choices:
                raise ValueError(f"{name} {value}: not one of {choices}")
        return found

    return Engine(options, parse_serve, checked)


def sglang(sources: Path) -> Engine:
    """Return the parser of `sglang.launch_server`; the package's __init__ would import the client and its patches."""
    package = types.ModuleType("sglang")
    package.__path__ = [str(sources / "sglang")]
    package.__dict__["__version__"] = VERSION_OF_STAND_INS
    sys.modules["sglang"] = package
    arguments = importlib.import_module("sglang.srt.server_args")
    # As sglang.srt.server_args.prepare_server_args does.
    options = argparse.ArgumentParser(prog="sglang")
    arguments.ServerArgs.add_cli_args(options)
    return Engine(options, options.parse_args)


def describe(
    action: argparse.Action, parser: argparse.ArgumentParser, checked: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """Return one option as the tables hold it.

    `_option_string_actions` has the spellings that are accepted but left out of the help, too.

    Raises:
        TypeError: a choice is a stand-in, not a value.
    """
    hidden = [word for word, found in parser._option_string_actions.items() if found is action]  # noqa: SLF001
    spellings = list(dict.fromkeys([*action.option_strings, *hidden]))
    name = next((word for word in spellings if word.startswith("--")), action.dest)
    choices = usable(action) if action.choices is not None else checked.get(name)
    if choices is not None and not (
        choices and all(isinstance(choice, str | int | float | None) for choice in choices)
    ):
        raise TypeError(f"{name}: its choices come from a stand-in: {list(choices)}")
    kind = "many" if isinstance(action.nargs, int) and action.nargs > 0 else KINDS[action.nargs]
    described = {
        "name": name,
        "aliases": [word for word in spellings if word != name],
        "kind": kind,
        # Some come from sets: their order means nothing, and must not change with the hash seed.
        "choices": None
        if choices is None
        else sorted(map(str, choices), key=lambda text: (text.isdigit() * len(text), text)),
        "form": form(action) if kind != "none" else None,
        "repeatable": isinstance(action, argparse._AppendAction) or None,  # noqa: SLF001
        "deprecated": type(action).__name__.startswith("Deprecated") or None,
    }
    return {key: value for key, value in described.items() if value is not None}


def usable(action: argparse.Action) -> list[Any]:
    """Return the choices that can be written: vLLM lists None, and its conversion then makes one that is not listed."""
    convert = action.type if callable(action.type) else str
    return [choice for choice in action.choices or () if convert(str(choice)) in (action.choices or ())]


def form(action: argparse.Action) -> str | None:
    """Return what its values must look like, found by giving the conversion one of each; `None` for any text.

    Raises:
        TypeError: it takes none of them.
    """
    if action.choices is not None or action.type is None:
        return None
    for name, texts in FORMS.items():
        if all(_takes(action.type, text) for text in texts):
            return name
    raise TypeError(f"{action.option_strings}: its conversion takes none of {FORMS}")


def _takes(conversion: Any, text: str) -> bool:
    try:
        conversion(text)
    except (ValueError, TypeError, KeyError, AttributeError, AssertionError, argparse.ArgumentTypeError):
        return False
    return True


def parse(engine: Engine, arguments: list[str]) -> dict[str, Any]:
    """Return `error`, or the `values` that differ from their defaults."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            found = vars(engine.parse(arguments))
    except (SystemExit, Exception) as error:  # noqa: BLE001  # whatever the engine raises is its answer
        return {"error": said.getvalue().strip().rpartition("\n")[2] or repr(error)}
    defaults = {action.dest: action.default for action in engine.options._actions}  # noqa: SLF001
    return {"error": None, "values": {key: value for key, value in found.items() if value != defaults.get(key)}}


def main(arguments: list[str]) -> int:
    """Answer on stdout; whatever the engine itself prints goes to stderr."""
    name, sources, mode = arguments
    answers, sys.stdout = sys.stdout, sys.stderr
    warnings.simplefilter("ignore")
    install(Path(sources))
    engine = vllm() if name == "vllm" else sglang(Path(sources))
    if mode == "dump":
        options = engine.options
        json.dump([describe(action, options, engine.checked) for action in options._actions], answers)  # noqa: SLF001
        return 0
    for line in sys.stdin:
        answers.write(json.dumps(parse(engine, json.loads(line)), default=str) + "\n")
        answers.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

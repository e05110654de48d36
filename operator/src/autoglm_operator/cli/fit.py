"""`kubectl autoglm fit`: whether a model fits its GPUs, without a cluster."""

import json
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

from autoglm_operator.api.quantity import GIBIBYTE, MEBIBYTE, byte_count
from autoglm_operator.api.v1alpha1 import Spec
from autoglm_operator.cli.schema import problems
from autoglm_operator.decide.allocated import GpuFacts
from autoglm_operator.decide.engine_image import engine_image, engine_version
from autoglm_operator.decide.fit import Fit, architecture_of, assess, draft_of
from autoglm_operator.settings import Images

FITS: Final = 0
DOES_NOT_FIT: Final = 1
UNKNOWN: Final = 2


class Report(NamedTuple):
    """What to print, and the exit status: 0 fits, 1 does not, 2 unknown."""

    text: str
    status: int


class FitError(Exception):
    """The file has no AutoGLMDeployment, or the configuration is none."""


def fit(text: str, source: str, *, config: str | None = None, gpu: str | None = None, output: str = "text") -> Report:
    """Return what to print about the AutoGLMDeployments in `text`.

    Args:
        text: YAML documents.
        source: where they come from, for error messages.
        config: file with the model's `config.json`; the table of known models if left out.
        gpu: product to use instead of that of the spec.
        output: `text` or `json`.

    Raises:
        FitError: the text is no YAML, has no AutoGLMDeployment, or has one that would be refused.
    """
    fits = [(name, _judge(spec, _config(config), gpu)) for name, spec in _specs(text, source)]
    status = max(_status(found) for _, found in fits)
    if output == "json":
        return Report(json.dumps([as_json(name, found) for name, found in fits], indent=2) + "\n", status)
    return Report("\n".join(_text(name, found) for name, found in fits), status)


def as_json(name: str, found: Fit) -> dict[str, Any]:
    """Return the judgement as JSON; amounts are bytes on each GPU."""
    parts = found.parts
    memory = None
    if parts is not None:
        memory = {
            "weights": parts.weights,
            "offloaded": parts.offloaded,
            "activations": parts.activations,
            "cudaGraphs": parts.graphs,
            "overhead": parts.overhead,
            "kvCache": parts.kv,
            "usable": parts.budget,
            "needed": parts.needed,
        }
    return {
        "name": name,
        "verdict": found.verdict.value,
        "message": found.sentence,
        "gpu": found.gpu,
        "memory": memory,
        "kvTokens": found.tokens,
        "sequences": found.sequences,
        "checkpointBytes": found.checkpoint_bytes,
        "options": [{"change": one.change, "fields": dict(one.fields)} for one in found.options],
        "notes": list(found.notes),
    }


def _status(found: Fit) -> int:
    return {True: FITS, False: DOES_NOT_FIT, None: UNKNOWN}[found.fits]


def _specs(text: str, source: str) -> list[tuple[str, Spec]]:
    try:
        documents = [document for document in yaml.safe_load_all(text) if document]
    except yaml.YAMLError as error:
        raise FitError(f"{source}: not YAML: {error}") from error
    if not documents:
        raise FitError(f"{source}: no document; expected an AutoGLMDeployment")
    specs = []
    for document in documents:
        if not isinstance(document, dict):
            raise FitError(f"{source}: expected an AutoGLMDeployment, got {type(document).__name__}")
        if found := problems(document):
            raise FitError("\n".join(f"{source}: {line}" for line in found))
        specs.append((document["metadata"]["name"], Spec.model_validate(document["spec"])))
    return specs


def _config(file: str | None) -> dict[str, Any] | None:
    if file is None:
        return None
    try:
        found = json.loads(Path(file).read_text(encoding="utf-8"))
    except OSError as error:
        raise FitError(f"{file}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise FitError(f"{file}: not JSON: {error}") from error
    if not isinstance(found, dict):
        raise FitError(f"{file}: expected a JSON object, got {type(found).__name__}")
    return found


def _judge(spec: Spec, config: dict[str, Any] | None, gpu: str | None) -> Fit:
    images = Images()
    version = engine_version(spec, engine_image(spec, images)) or ""
    asked = spec.resources.gpu
    least = byte_count(asked.memory) // MEBIBYTE if asked.memory else None
    facts = GpuFacts(product=gpu or asked.product, memory_mib=least)
    return assess(spec, facts, architecture_of(spec, config), version, draft=draft_of(spec))


def _text(name: str, found: Fit) -> str:
    lines = [f"{name}: {found.sentence}."]
    if found.parts is not None:
        lines += ["", *_table(found)]
    if found.options:
        lines += ["", "What fits instead:"]
        lines += [
            f"  {one.change}: {one.sequences:,} sequences; set "
            + ", ".join(f"spec.{field}: {value}" for field, value in one.fields)
            for one in found.options
        ]
    lines += [f"Note: {note}." for note in found.notes]
    return "\n".join(lines) + "\n"


def _table(found: Fit) -> list[str]:
    parts = found.parts
    if parts is None:
        return []
    rows = [
        ("Weights", parts.weights - parts.offloaded),
        ("KV cache, one sequence", parts.kv_per_sequence),
        ("Activations", parts.activations),
        ("CUDA graphs", parts.graphs),
        ("Overhead", parts.overhead),
        ("Usable for the engine", parts.budget),
        ("Free beside one sequence", parts.budget - parts.needed),
    ]
    return [f"  {label:<26}{count / GIBIBYTE:>9.2f} GiB" for label, count in rows]

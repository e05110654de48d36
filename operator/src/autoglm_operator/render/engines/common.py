"""What every engine's renderer returns, and the pieces they share."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from autoglm_operator.api.v1alpha1 import Model, Tracing

MODEL_VOLUME_PATH: Final = "/models"
CACHE_PATH: Final = "/cache"
ADAPTERS_PATH: Final = "/adapters"

#: Model ids whose publisher gives a command line to follow.
AUTOGLM_PHONE_MODELS: Final = frozenset({"zai-org/AutoGLM-Phone-9B", "zai-org/AutoGLM-Phone-9B-Multilingual"})
#: The publisher's limit on a screenshot, in pixels.
AUTOGLM_MAX_PIXELS: Final = 5_000_000
AUTOGLM_CONTEXT_LENGTH: Final = 25_480


@dataclass(frozen=True, slots=True)
class EngineProcess:
    """How to run an engine.

    Attributes:
        command: argv[0] and its fixed words; there is no shell.
        args: the flags, one list item each.
        env: environment variables.
        ready_path: answers 200 when requests can be answered.
        live_path: answers 200 while the process should not be restarted.
        live_timeout: seconds that the answer may take.
        shared_memory: size of /dev/shm; empty if the engine does not use it.
    """

    command: tuple[str, ...]
    args: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    ready_path: str = "/health"
    live_path: str = "/health"
    live_timeout: int = 5
    shared_memory: str = ""


def flags(values: Mapping[str, object | None]) -> list[str]:
    """Return `--name value` for each entry, `--name` alone for `True`; `None` leaves an entry out."""
    words: list[str] = []
    for name, value in values.items():
        if value is True:
            words.append(name)
        elif value is not None:
            words += [name, str(value)]
    return words


def ratio(percent: int | None) -> str | None:
    """Return a percentage as the ratio that engines take, such as `0.92`."""
    return None if percent is None else f"{percent / 100:.2f}"


def model_argument(model: Model) -> str:
    """Return the model id, or the folder the volume is mounted on."""
    if model.source.pvc is not None:
        return f"{MODEL_VOLUME_PATH}/{model.source.pvc.path}" if model.source.pvc.path else MODEL_VOLUME_PATH
    return model.source.hugging_face or ""


def since(version: str | None, needed: tuple[int, int]) -> bool:
    """Whether `version`, such as `0.18.1`, is at least `needed`; the default version has every flag used here."""
    if version is None:
        return True
    numbers = [int(part) for part in re.findall(r"\d+", version)[:2]]
    return tuple(numbers) >= needed


def tracing_environment(tracing: Tracing | None, service: str) -> dict[str, str]:
    """Return the OpenTelemetry SDK's own variables, which the engines' exporters honour."""
    if tracing is None:
        return {}
    return {
        "OTEL_SERVICE_NAME": service,
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": f"{tracing.sample_ratio:g}",
    }

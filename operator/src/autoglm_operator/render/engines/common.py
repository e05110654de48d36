"""What every engine's renderer returns, and the pieces they share."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit

from autoglm_operator.api.v1alpha1 import Model, Spec, Tracing, WarmStartMode
from autoglm_operator.decide.fit.models import AUTOGLM_CONTEXT_LENGTH, is_autoglm_phone

MODEL_VOLUME_PATH: Final = "/models"
ADAPTERS_PATH: Final = "/adapters"
CACHE_PATH: Final = "/cache"

_OTLP_HTTP_PORT: Final = 4318
_TRACES_PATH: Final = "/v1/traces"

#: The publisher's limit on a screenshot, in pixels.
AUTOGLM_MAX_PIXELS: Final = 5_000_000


class Expanded(str):
    """An argument that the kubelet shall expand; every other one reaches the engine as it is written."""

    __slots__ = ()


#: What LeaderWorkerSet puts into the environment of each pod of a group.
LEADER_ADDRESS: Final = Expanded("$(LWS_LEADER_ADDRESS)")
WORKER_INDEX: Final = Expanded("$(LWS_WORKER_INDEX)")


class Role(StrEnum):
    """What a pod is to its replica."""

    ALONE = "alone"
    LEADER = "leader"
    WORKER = "worker"


@dataclass(frozen=True, slots=True)
class EngineProcess:
    """How to run an engine.

    Attributes:
        command: argv[0] and its fixed words; there is no shell.
        args: the flags, one list item each; only what the kubelet shall expand is left unescaped.
        env: environment variables.
        ready_path: answers 200 when requests can be answered; empty if the process serves none.
        shared_memory: size of /dev/shm; empty if the engine does not use it.
    """

    command: tuple[str, ...]
    args: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    ready_path: str = "/health"
    shared_memory: str = ""


def literal(text: str) -> str:
    """Return `text` so that the kubelet expands nothing in it: `$(HF_TOKEN)` stays those eleven characters."""
    return text.replace("$", "$$")


def ratio(percent: int | None) -> str | None:
    """Return a percentage as the ratio that engines take, such as `0.92`."""
    return None if percent is None else f"{percent / 100:.2f}"


def hub_model(spec: Spec) -> str | None:
    """Return the id of the model if the engine itself gets it from a hub; `None` if it finds it in a folder."""
    if spec.warm_start.mode is not WarmStartMode.LAZY:
        return None
    return spec.model.source.hugging_face or spec.model.source.model_scope


def model_argument(spec: Spec) -> str:
    """Return the model id, or the folder that the volume with the model is mounted on."""
    source = spec.model.source
    path = (source.pvc and source.pvc.path) or (source.oci_image and source.oci_image.path)
    return hub_model(spec) or (f"{MODEL_VOLUME_PATH}/{path}" if path else MODEL_VOLUME_PATH)


def context_length(model: Model) -> int | None:
    """Return the context length to serve with; `None` for the model's own."""
    return model.context_length or (AUTOGLM_CONTEXT_LENGTH if is_autoglm_phone(model) else None)


def adapters(spec: Spec) -> list[str]:
    """Return `name=where` for each LoRA adapter: an id on the hub, or the folder that its claim is mounted on."""
    lora = spec.engine.lora
    return [
        f"{adapter.name}={adapter.source.hugging_face or f'{ADAPTERS_PATH}/{adapter.name}'}"
        for adapter in (lora.adapters if lora else ())
    ]


def hub_environment(spec: Spec, modelscope_switch: str) -> dict[str, str]:
    """Return the variables that say which hub the engine asks, or that it shall ask none.

    Args:
        spec: the deployment's.
        modelscope_switch: the engine's own variable that selects ModelScope.
    """
    speculative, lora = spec.engine.speculative, spec.engine.lora
    asks = (
        hub_model(spec) is not None
        or bool(speculative and speculative.model)
        or any(adapter.source.hugging_face for adapter in (lora.adapters if lora else ()))
    )
    if not asks:
        return {"HF_HUB_OFFLINE": "1"}
    endpoint = spec.model.hub_endpoint
    if spec.model.source.model_scope is None:
        return {"HF_ENDPOINT": endpoint} if endpoint else {}
    # ModelScope's client takes a host, without the scheme.
    domain = {"MODELSCOPE_DOMAIN": endpoint.split("://", 1)[1].rstrip("/")} if endpoint else {}
    return {modelscope_switch: "true", "MODELSCOPE_CACHE": f"{CACHE_PATH}/modelscope", **domain}


def speaks_http(endpoint: str) -> bool:
    """Whether an OTLP endpoint is one of HTTP: by the port or the path that OpenTelemetry gives it, else it is gRPC."""
    parts = urlsplit(endpoint)
    return parts.port == _OTLP_HTTP_PORT or bool(parts.path.strip("/"))


def traces_url(endpoint: str) -> str:
    """Return the endpoint as the exporters want it: OTLP over HTTP with its path, gRPC without one."""
    base = endpoint.rstrip("/")
    return f"{base}{_TRACES_PATH}" if speaks_http(endpoint) and not base.endswith(_TRACES_PATH) else base


def tracing_environment(tracing: Tracing | None, service: str) -> dict[str, str]:
    """Return the OpenTelemetry SDK's own variables, which the engines' exporters honour."""
    if tracing is None:
        return {}
    return {
        "OTEL_SERVICE_NAME": service,
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": f"{tracing.sample_ratio:g}",
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf" if speaks_http(tracing.endpoint) else "grpc",
    }

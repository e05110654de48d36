"""Whether and how OTLP is asked for: OpenTelemetry's own variables, read without importing OpenTelemetry."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_INTERVAL: Final = "OTEL_METRIC_EXPORT_INTERVAL"
_DEFAULT_SECONDS: Final = 15.0
_GRPC_PORT: Final = 4317
_LEAST_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Setting:
    """How to reach a collector.

    Attributes:
        endpoint: its address, for the log.
        grpc: gRPC instead of HTTP with protobuf.
        seconds: between two exports.
    """

    endpoint: str
    grpc: bool
    seconds: float


def setting(environment: Mapping[str, str]) -> Setting | None:
    """Return how to export; `None` if no endpoint is given.

    Without a protocol the port says it: 4317 is gRPC, anything else HTTP.

    Raises:
        ValueError: a variable holds what cannot be.
    """
    endpoint = _first(environment, _ENDPOINTS)
    if not endpoint:
        return None
    protocol = _first(environment, _PROTOCOLS)
    if protocol not in {"", "grpc", "http/protobuf"}:
        raise ValueError(f"{_PROTOCOLS[1]} is {protocol!r}; expected grpc or http/protobuf")
    grpc = protocol == "grpc" or (not protocol and urlsplit(endpoint).port == _GRPC_PORT)
    return Setting(endpoint, grpc, _seconds(environment.get(_INTERVAL, "")))


def _first(environment: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((value for name in names if (value := environment.get(name, ""))), "")


def _seconds(text: str) -> float:
    if not text:
        return _DEFAULT_SECONDS
    if not text.isdecimal() or int(text) / 1000 < _LEAST_SECONDS:
        raise ValueError(f"{_INTERVAL} is {text!r}; expected milliseconds, at least {_LEAST_SECONDS * 1000:g}")
    return int(text) / 1000

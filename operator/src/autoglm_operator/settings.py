"""Settings of the two processes, read from the environment once at start."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, Self

from autoglm_operator.api.v1alpha1 import EngineType

#: Engine versions whose flags were checked, and the images that carry them.
DEFAULT_IMAGES: Final[Mapping[EngineType, str]] = {
    EngineType.VLLM: "docker.io/vllm/vllm-openai:v0.33.0",
    EngineType.SGLANG: "docker.io/lmsysorg/sglang:v0.5.23",
    EngineType.SIMULATOR: "ghcr.io/autoglm/simulator:0.1.0",
}
DEFAULT_AGENT_IMAGE: Final = "ghcr.io/autoglm/agent:0.1.0"
DEFAULT_FETCH_IMAGE: Final = "ghcr.io/autoglm/fetch:0.1.0"
DEFAULT_BENCH_IMAGE: Final = "ghcr.io/autoglm/bench:0.1.0"
DEFAULT_RUNBOOKS: Final = "https://github.com/autoglm/autoglm-operator/blob/main/dashboards/runbooks"
_LAST_PORT: Final = 65_535

AgentSource = Literal["auto", "replay"]
PullPolicy = Literal["Always", "IfNotPresent", "Never"]


@dataclass(frozen=True, slots=True)
class Alerts:
    """Alert rules that the operator makes for each deployment.

    Attributes:
        labels: by which a Prometheus selects them.
        runbooks: URL of the folder of the runbooks.
    """

    labels: Mapping[str, str] = field(default_factory=dict)
    runbooks: str = DEFAULT_RUNBOOKS


@dataclass(frozen=True, slots=True)
class Scaling:
    """How replicas can be written in this cluster.

    Attributes:
        metrics_service: Service whose custom metrics are the autoscaler's, as namespace/name; empty if that was not
            told, and then the one that is there is taken for it.
        metrics_registered: whether it was registered for custom metrics, where that cannot be looked up.
        prometheus: URL of a Prometheus that scrapes the autoscaler; empty if there is none for KEDA to ask.
    """

    metrics_service: str = ""
    metrics_registered: bool = True
    prometheus: str = ""


@dataclass(frozen=True, slots=True)
class Images:
    """Images that the rendered pods run, how the agent finds its GPUs, and how others find what is made for them.

    Attributes:
        engines: image of each engine type.
        agent: image of the sidecar.
        fetch: image that downloads model files.
        bench: image of load tests.
        pull_policy: of all of them.
        agent_source: `auto` reads NVML where there is a GPU; `replay` is a fake for machines without one.
        agent_otlp_endpoint: where agents send OTLP metrics; `None` if nowhere.
        pod_monitor_labels: by which a Prometheus selects PodMonitors.
        alerts: on deployments; `None` for none.
        scaling: how replicas can be written.
    """

    engines: Mapping[EngineType, str] = field(default_factory=lambda: dict(DEFAULT_IMAGES))
    agent: str = DEFAULT_AGENT_IMAGE
    fetch: str = DEFAULT_FETCH_IMAGE
    bench: str = DEFAULT_BENCH_IMAGE
    pull_policy: PullPolicy = "IfNotPresent"
    agent_source: AgentSource = "auto"
    agent_otlp_endpoint: str | None = None
    pod_monitor_labels: Mapping[str, str] = field(default_factory=dict)
    alerts: Alerts | None = field(default_factory=Alerts)
    scaling: Scaling = Scaling()


#: Between two scrapes: with the scrape, the decision and its write, a step of demand is answered within 3 s.
SCRAPE_SECONDS: Final = 2.5


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a process learns from its environment.

    Attributes:
        watch_namespaces: namespaces to serve; empty means all.
        pod_name: identity in the Lease and in traces.
        pod_namespace: where the Leases are.
        read_engine_logs: whether engines' logs may be read, for why they crash and how long they start.
        read_model_configs: whether Hugging Face and ModelScope may be asked for the config.json of unknown models.
        otlp_endpoint: OTLP/HTTP endpoint for our own traces; `None` leaves them off.
        trace_ratio: share of our own traces that is made, 0 to 1.
        log_level: `debug`, `info`, `warning` or `error`.
        scrape_interval: seconds between two scrapes of an engine.
        health_port: of `/livez`, `/readyz` and `/metrics`.
        api_port: of the custom metrics API.
        tls_cert_file: serving certificate of the custom metrics API.
        tls_key_file: its key.
    """

    watch_namespaces: tuple[str, ...] = ()
    pod_name: str = "local"
    pod_namespace: str = "default"
    images: Images = Images()  # frozen
    read_engine_logs: bool = True
    read_model_configs: bool = True
    otlp_endpoint: str | None = None
    trace_ratio: float = 1.0
    log_level: str = "info"
    scrape_interval: float = SCRAPE_SECONDS
    health_port: int = 8080
    api_port: int = 6443
    tls_cert_file: str = "/tls/tls.crt"
    tls_key_file: str = "/tls/tls.key"

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Return the settings that `environ` describes.

        Raises:
            ValueError: a variable has a value that is not one of those expected.
        """
        parts = (part.strip() for part in environ.get("WATCH_NAMESPACES", "").split(","))
        namespaces = tuple(dict.fromkeys(filter(None, parts)))
        return cls(
            watch_namespaces=namespaces,
            pod_name=environ.get("POD_NAME", "local"),
            pod_namespace=environ.get("POD_NAMESPACE", "default"),
            images=_images(environ),
            read_engine_logs=_choice(environ, "READ_ENGINE_LOGS", ("true", "false"), "true") == "true",
            read_model_configs=_choice(environ, "READ_MODEL_CONFIGS", ("true", "false"), "true") == "true",
            otlp_endpoint=environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or None,
            trace_ratio=_share(environ, "OTEL_TRACES_SAMPLER_ARG", 1.0),
            log_level=_choice(environ, "LOG_LEVEL", ("debug", "info", "warning", "error"), "info"),
            scrape_interval=_positive(environ, "SCRAPE_INTERVAL_SECONDS", SCRAPE_SECONDS),
            health_port=_port(environ, "HEALTH_PORT", 8080),
            api_port=_port(environ, "API_PORT", 6443),
            tls_cert_file=environ.get("TLS_CERT_FILE", "/tls/tls.crt"),
            tls_key_file=environ.get("TLS_KEY_FILE", "/tls/tls.key"),
        )


def _images(environ: Mapping[str, str]) -> Images:
    engines = {engine: environ.get(f"ENGINE_IMAGE_{engine.name}") or image for engine, image in DEFAULT_IMAGES.items()}
    return Images(
        engines=engines,
        agent=environ.get("AGENT_IMAGE") or DEFAULT_AGENT_IMAGE,
        fetch=environ.get("FETCH_IMAGE") or DEFAULT_FETCH_IMAGE,
        bench=environ.get("BENCH_IMAGE") or DEFAULT_BENCH_IMAGE,
        pull_policy=_choice(environ, "IMAGE_PULL_POLICY", ("Always", "IfNotPresent", "Never"), "IfNotPresent"),  # type: ignore[arg-type]
        agent_source=_choice(environ, "AGENT_SOURCE", ("auto", "replay"), "auto"),  # type: ignore[arg-type]
        agent_otlp_endpoint=environ.get("AGENT_OTLP_ENDPOINT") or None,
        pod_monitor_labels=_labels(environ, "POD_MONITOR_LABELS"),
        alerts=_alerts(environ),
        scaling=Scaling(
            metrics_service=environ.get("METRICS_API_SERVICE") or "",
            metrics_registered=_choice(environ, "METRICS_API_REGISTERED", ("true", "false"), "true") == "true",
            prometheus=(environ.get("PROMETHEUS_ADDRESS") or "").rstrip("/"),
        ),
    )


def _alerts(environ: Mapping[str, str]) -> Alerts | None:
    labels, runbooks = _labels(environ, "ALERT_RULE_LABELS"), environ.get("RUNBOOK_BASE_URL") or DEFAULT_RUNBOOKS
    wanted = _choice(environ, "ALERT_RULES", ("true", "false"), "true") == "true"
    return Alerts(labels, runbooks) if wanted else None


def _labels(environ: Mapping[str, str], name: str) -> dict[str, str]:
    text = environ.get(name) or ""
    pairs = [part.strip().partition("=") for part in text.split(",") if part.strip()]
    if any(not (key and equals) for key, equals, _ in pairs):
        raise ValueError(f"environment variable {name}={text!r}: expected labels such as release=prometheus,team=a")
    return {key: value for key, _, value in pairs}


def _choice(environ: Mapping[str, str], name: str, choices: tuple[str, ...], default: str) -> str:
    value = environ.get(name) or default
    if value not in choices:
        raise ValueError(f"environment variable {name}={value!r}: expected one of {', '.join(choices)}")
    return value


def _positive(environ: Mapping[str, str], name: str, default: float) -> float:
    text = environ.get(name) or str(default)
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ValueError(f"environment variable {name}={text!r}: expected a positive number")
    return value


def _share(environ: Mapping[str, str], name: str, default: float) -> float:
    text = environ.get(name) or str(default)
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise ValueError(f"environment variable {name}={text!r}: expected a number from 0 to 1")
    return value


def _port(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name) or str(default)
    if not (text.isdecimal() and 0 < int(text) <= _LAST_PORT):
        raise ValueError(f"environment variable {name}={text!r}: expected a port from 1 to {_LAST_PORT}")
    return int(text)

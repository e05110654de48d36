"""Environment variables that `engine.extraEnv` may not set, and what to do instead."""

from collections.abc import Mapping
from typing import Final

from autoglm_operator.api.rule import EACH, Rule

EXTRA_ENV: Final = ("spec", "engine", "extraEnv", EACH)

#: Environment variables that are not the user's to set, and what to do instead.
RESERVED_ENVIRONMENT: Final[Mapping[str, str]] = {
    "HF_TOKEN": "use model.tokenSecretRef",
    "HUGGING_FACE_HUB_TOKEN": "use model.tokenSecretRef",
    "MODELSCOPE_API_TOKEN": "use model.tokenSecretRef",
    "HF_ENDPOINT": "use model.hubEndpoint",
    "MODELSCOPE_DOMAIN": "use model.hubEndpoint",
    "HF_HOME": "the operator points it to the cache volume",
    "HOME": "the operator points it to the cache volume",
    "LD_PRELOAD": "it replaces code of the engine; build an image instead",
    "PYTHONPATH": "it replaces code of the engine; build an image instead",
    "PYTHONSTARTUP": "it replaces code of the engine; build an image instead",
    "NVIDIA_VISIBLE_DEVICES": "use resources.gpu: the kubelet decides which GPUs a pod sees",
    "CUDA_VISIBLE_DEVICES": "use resources.gpu: the kubelet decides which GPUs a pod sees",
    "VLLM_PORT": "it is a port inside the engine, not the one it serves on, and the operator leaves it alone",
    "VLLM_HOST_IP": "the operator sets it for replicas of several nodes",
    "VLLM_SERVER_DEV_MODE": "it opens routes without authentication to everyone who reaches the pod",
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "use engine.lora, which reaches every pod",
    "VLLM_KEEP_ALIVE_ON_ENGINE_DEATH": "a dead engine must end, so that the pod is restarted",
    "SGLANG_ENABLE_HEALTH_ENDPOINT_GENERATION": "the probes rely on it",
    "SGL_FORCE_SHUTDOWN": "it drops requests when a pod is removed",
    "SGLANG_FORCE_SHUTDOWN": "it drops requests when a pod is removed",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "use tracing.endpoint",
}
#: Prefixes that are the platform's.
RESERVED_ENVIRONMENT_PREFIXES: Final = ("KUBERNETES_", "LWS_")


def reserved_environment() -> tuple[Rule, ...]:
    """Return one rule for each advice, so that the message says what to do about the variable at hand."""
    by_advice: dict[str, list[str]] = {}
    for name, advice in RESERVED_ENVIRONMENT.items():
        by_advice.setdefault(advice, []).append(name)
    rules = [_no_variables(tuple(variables), advice) for advice, variables in by_advice.items()]
    prefixes = " && ".join(f"!self.name.startsWith('{prefix}')" for prefix in RESERVED_ENVIRONMENT_PREFIXES)
    return (
        *rules,
        Rule(
            EXTRA_ENV,
            prefixes,
            f"variables that start with {' or '.join(RESERVED_ENVIRONMENT_PREFIXES)} are the platform's: remove it",
            lambda item: not item["name"].startswith(RESERVED_ENVIRONMENT_PREFIXES),
            ".name",
        ),
    )


def _no_variables(variables: tuple[str, ...], advice: str) -> Rule:
    listed = ", ".join(f"'{name}'" for name in variables)
    return Rule(
        EXTRA_ENV,
        f"!(self.name in [{listed}])",
        f"{', '.join(variables)} may not be set here: {advice}",
        lambda item: item["name"] not in variables,
        ".name",
    )

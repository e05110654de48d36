"""vLLM: flags checked against the argument parser of 0.33.0 (and the releases named where one appeared)."""

import json
from typing import Final

from autoglm_operator.api import names
from autoglm_operator.decide.plan import Plan
from autoglm_operator.render.engines.common import (
    AUTOGLM_CONTEXT_LENGTH,
    AUTOGLM_MAX_PIXELS,
    AUTOGLM_PHONE_MODELS,
    CACHE_PATH,
    EngineProcess,
    flags,
    model_argument,
    ratio,
    since,
    tracing_environment,
)

_SHUTDOWN_TIMEOUT_SINCE: Final = (0, 18)
_QUIET_ACCESS_LOG_SINCE: Final = (0, 16)


def render(plan: Plan) -> EngineProcess:
    """Return the `vllm serve` process for `plan`."""
    spec = plan.spec
    engine, resources, version = spec.engine, spec.resources, spec.engine.version
    autoglm = spec.model.source.hugging_face in AUTOGLM_PHONE_MODELS
    values: dict[str, object | None] = {
        "--host": "0.0.0.0",  # noqa: S104  # the pod's own address; the NetworkPolicy decides who reaches it
        "--port": names.ENGINE_PORT,
        "--served-model-name": plan.served_name,
        "--revision": spec.model.revision if spec.model.source.hugging_face else None,
        "--max-model-len": spec.model.context_length or (AUTOGLM_CONTEXT_LENGTH if autoglm else None),
        "--max-num-seqs": engine.batching.max_num_seqs,
        "--max-num-batched-tokens": engine.batching.max_batched_tokens,
        "--gpu-memory-utilization": ratio(engine.kv_cache.utilization_percent),
        "--quantization": engine.quantization,
        "--tensor-parallel-size": resources.parallelism.tensor,
        "--pipeline-parallel-size": resources.parallelism.pipeline,
        "--enable-prefix-caching" if engine.kv_cache.prefix_caching else "--no-enable-prefix-caching": True,
        "--shutdown-timeout": plan.timing.drain if since(version, _SHUTDOWN_TIMEOUT_SINCE) else None,
        "--disable-access-log-for-endpoints": "/health,/metrics" if since(version, _QUIET_ACCESS_LOG_SINCE) else None,
        "--otlp-traces-endpoint": spec.tracing.endpoint if spec.tracing else None,
    }
    if autoglm:
        values |= _autoglm_flags()
    return EngineProcess(
        command=("vllm", "serve"),
        args=(model_argument(spec.model), *flags(values)),
        env=_environment(plan) | tracing_environment(spec.tracing, plan.served_name),
        shared_memory="8Gi",
    )


def _autoglm_flags() -> dict[str, object | None]:
    """Return the publisher's flags, without `--allowed-local-media-path /`: it lets a request read any file."""
    return {
        "--mm-encoder-tp-mode": "data",
        "--mm-processor-cache-type": "shm",
        "--mm-processor-kwargs": json.dumps({"max_pixels": AUTOGLM_MAX_PIXELS}, separators=(",", ":")),
        "--chat-template-content-format": "string",
        "--limit-mm-per-prompt": json.dumps({"image": 10}, separators=(",", ":")),
    }


def _environment(plan: Plan) -> dict[str, str]:
    offline = {"HF_HUB_OFFLINE": "1"} if plan.spec.model.source.pvc else {}
    return {"VLLM_CACHE_ROOT": f"{CACHE_PATH}/vllm", "VLLM_NO_USAGE_STATS": "1", **offline}

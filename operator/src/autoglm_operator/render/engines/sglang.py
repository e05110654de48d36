"""SGLang: flags checked against the argument definitions of 0.5.23."""

import json

from autoglm_operator.api import names
from autoglm_operator.decide.plan import Plan
from autoglm_operator.render.engines.common import (
    AUTOGLM_CONTEXT_LENGTH,
    AUTOGLM_MAX_PIXELS,
    AUTOGLM_PHONE_MODELS,
    EngineProcess,
    flags,
    model_argument,
    ratio,
    tracing_environment,
)


def render(plan: Plan) -> EngineProcess:
    """Return the `sglang.launch_server` process for `plan`; it drains by itself when told to stop."""
    spec = plan.spec
    engine, resources = spec.engine, spec.resources
    autoglm = spec.model.source.hugging_face in AUTOGLM_PHONE_MODELS
    values: dict[str, object | None] = {
        "--model-path": model_argument(spec.model),
        "--host": "0.0.0.0",  # noqa: S104  # its default is loopback, which a Service cannot reach
        "--port": names.ENGINE_PORT,
        "--served-model-name": plan.served_name,
        "--revision": spec.model.revision if spec.model.source.hugging_face else None,
        "--context-length": spec.model.context_length or (AUTOGLM_CONTEXT_LENGTH if autoglm else None),
        "--max-running-requests": engine.batching.max_num_seqs,
        "--chunked-prefill-size": engine.batching.max_batched_tokens,
        "--mem-fraction-static": ratio(engine.kv_cache.utilization_percent),
        "--quantization": engine.quantization,
        "--tp-size": resources.parallelism.tensor,
        "--pp-size": resources.parallelism.pipeline,
        "--disable-radix-cache": None if engine.kv_cache.prefix_caching else True,
        "--enable-metrics": True,
        "--enable-trace": True if spec.tracing else None,
        "--otlp-traces-endpoint": spec.tracing.endpoint.split("://", 1)[1] if spec.tracing else None,
    }
    if autoglm:
        pixels = {"image": {"max_pixels": AUTOGLM_MAX_PIXELS}}
        values |= {
            "--mm-enable-dp-encoder": True,
            "--mm-process-config": json.dumps(pixels, separators=(",", ":")),
        }
    return EngineProcess(
        command=("python3", "-m", "sglang.launch_server"),
        args=tuple(flags(values)),
        env=tracing_environment(spec.tracing, plan.served_name),
        ready_path="/ready",
        # /health generates a token and waits up to 20 s for it.
        live_timeout=25,
        shared_memory="8Gi",
    )

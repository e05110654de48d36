"""The simulated engine: vLLM's flags for what it simulates, and its own profile."""

from autoglm_operator.api import names
from autoglm_operator.api.v1alpha1 import Simulator
from autoglm_operator.decide.plan import Plan
from autoglm_operator.render.engines.common import (
    EngineProcess,
    Role,
    model_argument,
    ratio,
    traces_url,
    tracing_environment,
)


def render(plan: Plan, role: Role = Role.ALONE) -> EngineProcess:
    """Return the `autoglm-simulator serve` process for `plan`; a worker has nothing to do and serves nothing."""
    spec = plan.spec
    engine = spec.engine
    simulator = engine.simulator or Simulator()
    caching = "--enable-prefix-caching" if engine.kv_cache.prefix_caching else "--no-enable-prefix-caching"
    values: dict[str, object | None] = {
        "--host": "0.0.0.0",  # noqa: S104  # the pod's own address; the NetworkPolicy decides who reaches it
        "--port": names.ENGINE_PORT,
        "--served-model-name": plan.served_name,
        "--max-model-len": spec.model.context_length,
        "--max-num-seqs": engine.batching.max_num_seqs,
        "--max-num-batched-tokens": engine.batching.max_batched_tokens,
        "--gpu-memory-utilization": ratio(engine.kv_cache.utilization_percent),
        "--tensor-parallel-size": spec.resources.parallelism.tensor,
        "--shutdown-timeout": plan.timing.drain,
        "--profile": simulator.profile,
        "--startup-seconds": simulator.startup_seconds,
        "--otlp-traces-endpoint": traces_url(spec.tracing.endpoint) if spec.tracing else None,
    }
    words = [word for name, value in values.items() if value is not None for word in (name, str(value))]
    return EngineProcess(
        command=("autoglm-simulator", "serve"),
        args=(model_argument(spec), *words, caching),
        env=tracing_environment(spec.tracing, plan.served_name),
        ready_path="" if role is Role.WORKER else "/health",
    )

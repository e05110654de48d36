"""vLLM: `vllm serve`, with the flags that its release has."""

import json
from typing import Any, Final

from autoglm_operator.api import names
from autoglm_operator.api.quantity import GIBIBYTE, byte_count
from autoglm_operator.api.v1alpha1 import EngineType, Spec, Speculative, SpeculativeMethod
from autoglm_operator.decide.fit.models import is_autoglm_phone
from autoglm_operator.decide.plan import Plan
from autoglm_operator.decide.reasons import Reason
from autoglm_operator.errors import Terminal
from autoglm_operator.render.engines import extra_args
from autoglm_operator.render.engines.arguments import Arguments, unsupported
from autoglm_operator.render.engines.common import (
    AUTOGLM_MAX_PIXELS,
    CACHE_PATH,
    LEADER_ADDRESS,
    WORKER_INDEX,
    EngineProcess,
    Role,
    adapters,
    context_length,
    hub_environment,
    hub_model,
    model_argument,
    ratio,
    traces_url,
    tracing_environment,
)
from autoglm_operator.render.engines.owned_flags import VLLM_OWNED
from autoglm_operator.render.engines.release import Release, resolve

#: Where the ranks of several nodes meet: vLLM's own default, said so that both sides agree.
RENDEZVOUS_PORT: Final = 29_501
#: Earlier ones raise "Speculative decoding with draft model is not supported yet" after parsing.
_DRAFT_MODEL_SINCE: Final = "0.15.0"
_METHODS: Final = {method: method.value for method in SpeculativeMethod} | {
    SpeculativeMethod.DRAFT_MODEL: "draft_model"
}
#: Names of the sampling parameters in a generation config.
_SAMPLING: Final = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "repetition_penalty": "repetition_penalty",
    "max_tokens": "max_new_tokens",
}


def render(plan: Plan, role: Role = Role.ALONE) -> EngineProcess:
    """Return the `vllm serve` process for `plan`.

    Raises:
        Terminal: the release cannot express the spec, or would not start with it.
    """
    spec = plan.spec
    release = resolve(EngineType.VLLM, plan.engine_version)
    _check(spec)
    arguments = Arguments(release)
    _serving(arguments, plan)
    _model(arguments, spec)
    _batching(arguments, spec)
    _memory(arguments, spec)
    _speculative(arguments, release, spec.engine.speculative)
    _lora(arguments, spec)
    _parallelism(arguments, spec, role)
    if is_autoglm_phone(spec.model):
        _autoglm(arguments)
    arguments.add_checked(extra_args.check(release, spec.engine.extra_args, VLLM_OWNED, arguments.names))
    return EngineProcess(
        command=("vllm", "serve"),
        args=(model_argument(spec), *arguments.words),
        env=_environment(spec) | tracing_environment(spec.tracing, plan.served_name),
        ready_path="" if role is Role.WORKER else "/health",
        shared_memory="8Gi",
    )


def _check(spec: Spec) -> None:
    """Refuse what the parser takes and the engine then fails on."""
    batching, length = spec.engine.batching, context_length(spec.model)
    tokens, sequences = batching.max_batched_tokens, batching.max_num_seqs
    if tokens and sequences and tokens < sequences:
        raise Terminal(
            Reason.INVALID_SPEC,
            f"spec.engine.batching.maxBatchedTokens: {tokens}: vLLM needs at least one token for each sequence; raise "
            f"it to maxNumSeqs ({sequences}) or more",
        )
    if batching.chunked_prefill is False and tokens and length and tokens < length:
        raise Terminal(
            Reason.INVALID_SPEC,
            f"spec.engine.batching.maxBatchedTokens: {tokens}: without chunked prefill vLLM takes a prompt at once; "
            f"raise it to the context length ({length}), or set chunkedPrefill to true",
        )
    parallelism = spec.resources.parallelism
    if parallelism.data > 1 and parallelism.nodes > 1:
        raise data_over_nodes(parallelism.data, parallelism.nodes)


def data_over_nodes(data: int, nodes: int) -> Terminal:
    """Return the refusal of data-parallel ranks in a replica of several nodes."""
    return Terminal(
        Reason.UNSUPPORTED_BY_ENGINE,
        f"spec.resources.parallelism.data: {data}: data-parallel ranks cannot be spread over {nodes} nodes; set it to "
        "1 and raise spec.replicas",
    )


def _serving(arguments: Arguments, plan: Plan) -> None:
    arguments.wish("--host", "0.0.0.0")  # noqa: S104  # the pod's own address; the NetworkPolicy decides who reaches it
    arguments.wish("--port", names.ENGINE_PORT)
    arguments.wish("--served-model-name", plan.served_name)
    arguments.wish("--shutdown-timeout", plan.timing.drain)
    arguments.wish("--disable-access-log-for-endpoints", "/health,/metrics")
    if plan.spec.tracing:
        arguments.need("tracing.endpoint", "--otlp-traces-endpoint", traces_url(plan.spec.tracing.endpoint))
    if sampling := plan.spec.engine.sampling:
        given = {theirs: getattr(sampling, ours) for ours, theirs in _SAMPLING.items()}
        defaults = {key: value for key, value in given.items() if value is not None}
        arguments.need("engine.sampling", "--override-generation-config", _json(defaults) if defaults else None)


def _model(arguments: Arguments, spec: Spec) -> None:
    model = spec.model
    arguments.need("model.revision", "--revision", model.revision if hub_model(spec) else None)
    arguments.need("model.contextLength", "--max-model-len", context_length(model))
    arguments.need("model.dtype", "--dtype", None if model.dtype == "auto" else model.dtype)
    arguments.need("model.trustRemoteCode", "--trust-remote-code", model.trust_remote_code or None)
    arguments.need("engine.quantization", "--quantization", spec.engine.quantization)


def _batching(arguments: Arguments, spec: Spec) -> None:
    batching = spec.engine.batching
    arguments.need("engine.batching.maxNumSeqs", "--max-num-seqs", batching.max_num_seqs)
    arguments.need("engine.batching.maxBatchedTokens", "--max-num-batched-tokens", batching.max_batched_tokens)
    arguments.need("engine.batching.chunkedPrefill", "--enable-chunked-prefill", batching.chunked_prefill)
    arguments.need("engine.batching.maxQueuedRequests", "--max-num-queued-reqs", batching.max_queued_requests)
    arguments.need("engine.batching.maxQueuedTokens", "--max-num-queued-tokens", batching.max_queued_tokens)


def _memory(arguments: Arguments, spec: Spec) -> None:
    engine, cache = spec.engine, spec.engine.kv_cache
    arguments.need("engine.kvCache.utilizationPercent", "--gpu-memory-utilization", ratio(cache.utilization_percent))
    arguments.need("engine.kvCache.prefixCaching", "--enable-prefix-caching", cache.prefix_caching)
    arguments.need("engine.kvCache.dtype", "--kv-cache-dtype", None if cache.dtype == "auto" else cache.dtype)
    if cache.cpu_offload:
        # Each data-parallel rank is an engine of its own, with this much for all its tensor and pipeline ranks.
        each = byte_count(cache.cpu_offload) / spec.resources.parallelism.data
        arguments.need("engine.kvCache.cpuOffload", "--kv-offloading-size", _gibibytes(each))
        arguments.wish("--kv-offloading-backend", "native")
    if engine.cpu_offload:
        arguments.need("engine.cpuOffload", "--cpu-offload-gb", _gibibytes(byte_count(engine.cpu_offload)))


def _speculative(arguments: Arguments, release: Release, wanted: Speculative | None) -> None:
    if wanted is None:
        return
    if wanted.method is SpeculativeMethod.DRAFT_MODEL and not release.since(_DRAFT_MODEL_SINCE):
        raise unsupported(
            release, "engine.speculative.method", wanted.method, "--speculative-config", since=_DRAFT_MODEL_SINCE
        )
    config = {"method": _METHODS[wanted.method], "num_speculative_tokens": wanted.num_tokens}
    if wanted.model:
        config["model"] = wanted.model
    arguments.need("engine.speculative", "--speculative-config", _json(config))


def _lora(arguments: Arguments, spec: Spec) -> None:
    lora = spec.engine.lora
    if lora is None:
        return
    arguments.need("engine.lora", "--enable-lora", value=True)
    arguments.need("engine.lora.maxLoras", "--max-loras", lora.max_loras)
    arguments.need("engine.lora.maxRank", "--max-lora-rank", lora.max_rank)
    arguments.need("engine.lora.maxCpuLoras", "--max-cpu-loras", lora.max_cpu_loras)
    arguments.need("engine.lora.adapters", "--lora-modules", adapters(spec))


def _parallelism(arguments: Arguments, spec: Spec, role: Role) -> None:
    parallelism = spec.resources.parallelism
    arguments.need("resources.parallelism.tensor", "--tensor-parallel-size", parallelism.tensor)
    arguments.need("resources.parallelism.pipeline", "--pipeline-parallel-size", parallelism.pipeline)
    data = parallelism.data if parallelism.data > 1 else None
    arguments.need("resources.parallelism.data", "--data-parallel-size", data)
    arguments.need("resources.parallelism.expert", "--enable-expert-parallel", parallelism.expert or None)
    if role is Role.ALONE:
        return
    field = "resources.parallelism.nodes"
    arguments.need(field, "--nnodes", parallelism.nodes)
    arguments.need(field, "--node-rank", 0 if role is Role.LEADER else WORKER_INDEX)
    arguments.need(field, "--master-addr", LEADER_ADDRESS)
    arguments.need(field, "--master-port", RENDEZVOUS_PORT)
    arguments.need(field, "--headless", True if role is Role.WORKER else None)


def _autoglm(arguments: Arguments) -> None:
    """Add the publisher's flags, without `--allowed-local-media-path /`: it lets a request read any file."""
    arguments.wish("--mm-encoder-tp-mode", "data")
    arguments.wish("--mm-processor-cache-type", "shm")
    arguments.wish("--mm-processor-kwargs", _json({"max_pixels": AUTOGLM_MAX_PIXELS}))
    arguments.wish("--chat-template-content-format", "string")
    arguments.wish("--limit-mm-per-prompt", _json({"image": 10}))


def _environment(spec: Spec) -> dict[str, str]:
    ours = {"VLLM_CACHE_ROOT": f"{CACHE_PATH}/vllm", "VLLM_NO_USAGE_STATS": "1"}
    return ours | hub_environment(spec, "VLLM_USE_MODELSCOPE")


def _gibibytes(count: float) -> str:
    return f"{count / GIBIBYTE:.6g}"


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"))

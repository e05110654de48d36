"""SGLang: `sglang.launch_server`, with the flags that its release has."""

import json
import math
from typing import Final

from autoglm_operator.api import names
from autoglm_operator.api.quantity import GIBIBYTE, byte_count
from autoglm_operator.api.v1alpha1 import EngineType, Lora, Spec, Speculative, SpeculativeMethod
from autoglm_operator.decide.fit.models import is_autoglm_phone
from autoglm_operator.decide.plan import Plan
from autoglm_operator.decide.reasons import Reason
from autoglm_operator.errors import Terminal
from autoglm_operator.render.engines import extra_args
from autoglm_operator.render.engines.arguments import Arguments
from autoglm_operator.render.engines.common import (
    AUTOGLM_MAX_PIXELS,
    LEADER_ADDRESS,
    WORKER_INDEX,
    EngineProcess,
    Expanded,
    Role,
    adapters,
    context_length,
    hub_environment,
    hub_model,
    model_argument,
    ratio,
    speaks_http,
    traces_url,
    tracing_environment,
)
from autoglm_operator.render.engines.owned_flags import SGLANG_OWNED
from autoglm_operator.render.engines.release import Release, releases, resolve
from autoglm_operator.render.engines.vllm import data_over_nodes

#: Where the ranks of several nodes meet; SGLang has no default.
RENDEZVOUS_PORT: Final = 20_000
#: Earlier ones answer 404 there, and their /health generates a token.
_READY_PATH_SINCE: Final = "0.5.20"
#: Earlier ones assert that there is no speculative decoding beside a pipeline; these take EAGLE.
_SPECULATIVE_PIPELINE_SINCE: Final = "0.5.20"
_ALGORITHMS: Final = {
    SpeculativeMethod.NGRAM: "NGRAM",
    SpeculativeMethod.EAGLE: "EAGLE",
    SpeculativeMethod.EAGLE3: "EAGLE3",
    SpeculativeMethod.MTP: "NEXTN",
    SpeculativeMethod.DRAFT_MODEL: "STANDALONE",
}


def render(plan: Plan, role: Role = Role.ALONE) -> EngineProcess:
    """Return the `sglang.launch_server` process for `plan`; it drains by itself when told to stop.

    Raises:
        Terminal: the release cannot express the spec, or would not start with it.
    """
    spec = plan.spec
    release = resolve(EngineType.SGLANG, plan.engine_version)
    _check(spec, release)
    arguments = Arguments(release)
    _serving(arguments, plan)
    _model(arguments, spec)
    _batching(arguments, spec)
    _memory(arguments, spec)
    _speculative(arguments, spec.engine.speculative)
    _lora(arguments, spec)
    _parallelism(arguments, spec, role)
    if is_autoglm_phone(spec.model):
        pixels = {"image": {"max_pixels": AUTOGLM_MAX_PIXELS}}
        arguments.wish("--mm-enable-dp-encoder")
        arguments.wish("--mm-process-config", json.dumps(pixels, separators=(",", ":")))
    arguments.add_checked(extra_args.check(release, spec.engine.extra_args, SGLANG_OWNED, arguments.names))
    ready = "/ready" if release.since(_READY_PATH_SINCE) else "/health"
    return EngineProcess(
        command=("python3", "-m", "sglang.launch_server"),
        args=arguments.words,
        env=hub_environment(spec, "SGLANG_USE_MODELSCOPE") | tracing_environment(spec.tracing, plan.served_name),
        ready_path="" if role is Role.WORKER else ready,
        shared_memory="8Gi",
    )


def _check(spec: Spec, release: Release) -> None:
    """Refuse what no flag expresses, and what the parser takes and the engine then fails on."""
    engine, parallelism = spec.engine, spec.resources.parallelism
    known = f"{releases(EngineType.SGLANG)[0]} to {releases(EngineType.SGLANG)[-1]}"
    if engine.sampling is not None:
        raise Terminal(
            Reason.UNSUPPORTED_BY_ENGINE,
            f"spec.engine.sampling: {release} takes the defaults of its OpenAI API from the model's "
            f"generation_config.json alone, as every release from {known}: remove it and edit that file, or use vLLM",
        )
    if parallelism.data > 1 and parallelism.nodes > 1:
        raise data_over_nodes(parallelism.data, parallelism.nodes)
    if engine.speculative and parallelism.pipeline > 1:
        _check_speculative_pipeline(engine.speculative.method, release)
    if engine.lora:
        _check_lora(engine.lora)


def _check_speculative_pipeline(method: SpeculativeMethod, release: Release) -> None:
    if method is SpeculativeMethod.EAGLE and release.since(_SPECULATIVE_PIPELINE_SINCE):
        return
    raise Terminal(
        Reason.UNSUPPORTED_BY_ENGINE,
        f"spec.engine.speculative.method: {method}: {release} has no speculative decoding with {method} over pipeline "
        f"stages; the first release that has it for eagle is {_SPECULATIVE_PIPELINE_SINCE}, for other methods there is "
        "none: set resources.parallelism.pipeline to 1, or remove the field",
    )


def _check_lora(lora: Lora) -> None:
    if lora.max_cpu_loras is not None and lora.max_cpu_loras < len(lora.adapters):
        raise Terminal(
            Reason.INVALID_SPEC,
            f"spec.engine.lora.maxCpuLoras: {lora.max_cpu_loras}: SGLang keeps every adapter in CPU memory; raise it "
            f"to the number of adapters ({len(lora.adapters)}), or remove it",
        )


def _serving(arguments: Arguments, plan: Plan) -> None:
    arguments.wish("--model-path", model_argument(plan.spec))
    arguments.wish("--host", "0.0.0.0")  # noqa: S104  # its default is loopback, which a Service cannot reach
    arguments.wish("--port", names.ENGINE_PORT)
    arguments.wish("--served-model-name", plan.served_name)
    arguments.wish("--enable-metrics")
    arguments.wish("--uvicorn-access-log-exclude-prefixes", ("/health", "/ready", "/metrics"))
    if tracing := plan.spec.tracing:
        arguments.need("tracing", "--enable-trace", value=True)
        # Its documentation has host:port; a URL says what that cannot: HTTP, or TLS.
        url = traces_url(tracing.endpoint)
        where = url if speaks_http(url) else url.removeprefix("http://")
        arguments.need("tracing.endpoint", "--otlp-traces-endpoint", where)


def _model(arguments: Arguments, spec: Spec) -> None:
    model = spec.model
    arguments.need("model.revision", "--revision", model.revision if hub_model(spec) else None)
    arguments.need("model.contextLength", "--context-length", context_length(model))
    arguments.need("model.dtype", "--dtype", None if model.dtype == "auto" else model.dtype)
    arguments.need("model.trustRemoteCode", "--trust-remote-code", model.trust_remote_code or None)
    arguments.need("engine.quantization", "--quantization", spec.engine.quantization)


def _batching(arguments: Arguments, spec: Spec) -> None:
    batching = spec.engine.batching
    chunked = batching.chunked_prefill is not False
    arguments.need("engine.batching.maxNumSeqs", "--max-running-requests", batching.max_num_seqs)
    arguments.need(
        "engine.batching.maxBatchedTokens",
        "--chunked-prefill-size" if chunked else "--max-prefill-tokens",
        batching.max_batched_tokens,
    )
    arguments.need("engine.batching.chunkedPrefill", "--chunked-prefill-size", None if chunked else -1)
    arguments.need("engine.batching.maxQueuedRequests", "--max-queued-requests", batching.max_queued_requests)
    arguments.need("engine.batching.maxQueuedTokens", "--max-queued-tokens", batching.max_queued_tokens)


def _memory(arguments: Arguments, spec: Spec) -> None:
    engine, cache = spec.engine, spec.engine.kv_cache
    arguments.need("engine.kvCache.utilizationPercent", "--mem-fraction-static", ratio(cache.utilization_percent))
    arguments.need("engine.kvCache.prefixCaching", "--disable-radix-cache", None if cache.prefix_caching else True)
    arguments.need("engine.kvCache.dtype", "--kv-cache-dtype", None if cache.dtype == "auto" else cache.dtype)
    if cache.cpu_offload:
        arguments.need("engine.kvCache.cpuOffload", "--enable-hierarchical-cache", value=True)
        arguments.need("engine.kvCache.cpuOffload", "--hicache-size", _host_cache(spec, cache.cpu_offload))
    if engine.cpu_offload:
        arguments.need("engine.cpuOffload", "--cpu-offload-gb", math.ceil(byte_count(engine.cpu_offload) / GIBIBYTE))


def _host_cache(spec: Spec, amount: str) -> int:
    """Return the share of each rank in whole gigabytes, which is what SGLang counts in.

    Raises:
        Terminal: it is less than one.
    """
    if not spec.engine.kv_cache.prefix_caching:
        raise Terminal(
            Reason.INVALID_SPEC,
            f"spec.engine.kvCache.cpuOffload: {amount}: SGLang's cache in CPU memory is a level of its prefix cache; "
            "set kvCache.prefixCaching to true, or remove it",
        )
    parallelism = spec.resources.parallelism
    ranks = parallelism.tensor * parallelism.pipeline * parallelism.data
    each = byte_count(amount) // ranks // 10**9
    if each < 1:
        raise Terminal(
            Reason.INVALID_SPEC,
            f"spec.engine.kvCache.cpuOffload: {amount}: SGLang gives each of the {ranks} ranks whole gigabytes; give "
            f"at least {ranks}G, or remove it",
        )
    return each


def _speculative(arguments: Arguments, wanted: Speculative | None) -> None:
    if wanted is None:
        return
    arguments.need("engine.speculative.method", "--speculative-algorithm", _ALGORITHMS[wanted.method])
    arguments.need("engine.speculative.model", "--speculative-draft-model-path", wanted.model)
    # A chain, not a tree: the tokens guessed, and the one that each step verifies.
    arguments.need("engine.speculative.numTokens", "--speculative-num-draft-tokens", wanted.num_tokens + 1)
    if wanted.method is not SpeculativeMethod.NGRAM:
        arguments.need("engine.speculative.numTokens", "--speculative-num-steps", wanted.num_tokens)
        arguments.wish("--speculative-eagle-topk", 1)


def _lora(arguments: Arguments, spec: Spec) -> None:
    lora = spec.engine.lora
    if lora is None:
        return
    arguments.need("engine.lora", "--enable-lora", value=True)
    arguments.need("engine.lora.maxLoras", "--max-loras-per-batch", lora.max_loras)
    arguments.need("engine.lora.maxRank", "--max-lora-rank", lora.max_rank)
    arguments.need("engine.lora.maxCpuLoras", "--max-loaded-loras", lora.max_cpu_loras)
    arguments.need("engine.lora.adapters", "--lora-paths", adapters(spec))


def _parallelism(arguments: Arguments, spec: Spec, role: Role) -> None:
    parallelism = spec.resources.parallelism
    arguments.need("resources.parallelism.tensor", "--tp-size", parallelism.tensor)
    arguments.need("resources.parallelism.pipeline", "--pp-size", parallelism.pipeline)
    data = parallelism.data if parallelism.data > 1 else None
    arguments.need("resources.parallelism.data", "--dp-size", data)
    expert = parallelism.tensor if parallelism.expert else None
    arguments.need("resources.parallelism.expert", "--ep-size", expert)
    if role is Role.ALONE:
        return
    field = "resources.parallelism.nodes"
    arguments.need(field, "--nnodes", parallelism.nodes)
    arguments.need(field, "--node-rank", 0 if role is Role.LEADER else WORKER_INDEX)
    arguments.need(field, "--dist-init-addr", Expanded(f"{LEADER_ADDRESS}:{RENDEZVOUS_PORT}"))

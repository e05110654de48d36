"""The flags that are the operator's, and what to use instead: the one table for each engine.

Every flag that carries a field is here (a test holds it), and those that would undo what the operator relies on. A flag
is found by any of its spellings. Flags that are set for some models alone are free for the others.
"""

from collections.abc import Mapping
from typing import Final

_MODEL: Final = "use model.source"
_NAME: Final = "use model.servedName"
_ADDRESS: Final = "the Service, the probes and the agent rely on it: remove it"
_TLS: Final = "the probes speak HTTP: end TLS in front of the pods, or remove it"
_KEY: Final = "everyone who may read the pod would see it: check keys in front of the Service"
_HIDDEN: Final = "flags in a file would not be checked: give them here or as fields"
_CODE: Final = "it runs code that is not in the image: build an image that has it"
_METRICS: Final = "autoscaling reads the engine's metrics: remove it"
_BATCH_TOKENS: Final = "use engine.batching.maxBatchedTokens and chunkedPrefill"
_NODES: Final = "use resources.parallelism.nodes"
_DATA: Final = "use resources.parallelism.data"
_LORA: Final = "use engine.lora"
_SPECULATIVE: Final = "use engine.speculative"
_TRACING: Final = "use tracing"
_HELP: Final = "the engine would print a text and end: remove it"

_COMMON: Final[Mapping[str, str]] = {
    "--help": _HELP,
    "--config": _HIDDEN,
    "--host": _ADDRESS,
    "--port": _ADDRESS,
    "--api-key": _KEY,
    "--served-model-name": _NAME,
    "--revision": "use model.revision",
    "--dtype": "use model.dtype",
    "--trust-remote-code": "use model.trustRemoteCode",
    "--quantization": "use engine.quantization",
    "--kv-cache-dtype": "use engine.kvCache.dtype",
    "--cpu-offload-gb": "use engine.cpuOffload",
    "--tensor-parallel-size": "use resources.parallelism.tensor",
    "--pipeline-parallel-size": "use resources.parallelism.pipeline",
    "--data-parallel-size": _DATA,
    "--nnodes": _NODES,
    "--node-rank": _NODES,
    "--otlp-traces-endpoint": _TRACING,
    "--enable-lora": _LORA,
    "--max-lora-rank": "use engine.lora.maxRank",
    "--ssl-keyfile": _TLS,
    "--ssl-certfile": _TLS,
    "--ssl-ca-certs": _TLS,
    "--enable-ssl-refresh": _TLS,
    "--download-dir": "the operator points the caches to the cache volume: remove it",
}

VLLM_OWNED: Final[Mapping[str, str]] = {
    **_COMMON,
    "--model": _MODEL,
    "--uds": _ADDRESS,
    "--grpc": _ADDRESS,
    "--grpc-port": _ADDRESS,
    "--ssl-cert-reqs": _TLS,
    "--hf-token": "use model.tokenSecretRef",
    "--middleware": _CODE,
    "--max-model-len": "use model.contextLength",
    "--max-num-seqs": "use engine.batching.maxNumSeqs",
    "--max-num-batched-tokens": "use engine.batching.maxBatchedTokens",
    "--enable-chunked-prefill": "use engine.batching.chunkedPrefill",
    "--max-num-queued-reqs": "use engine.batching.maxQueuedRequests",
    "--max-num-queued-tokens": "use engine.batching.maxQueuedTokens",
    "--gpu-memory-utilization": "use engine.kvCache.utilizationPercent",
    "--enable-prefix-caching": "use engine.kvCache.prefixCaching",
    "--kv-offloading-size": "use engine.kvCache.cpuOffload",
    "--kv-offloading-backend": "use engine.kvCache.cpuOffload",
    "--speculative-config": _SPECULATIVE,
    "--max-loras": "use engine.lora.maxLoras",
    "--max-cpu-loras": "use engine.lora.maxCpuLoras",
    "--lora-modules": "use engine.lora.adapters",
    "--override-generation-config": "use engine.sampling",
    "--enable-expert-parallel": "use resources.parallelism.expert",
    "--master-addr": _NODES,
    "--master-port": _NODES,
    "--headless": _NODES,
    "--data-parallel-size-local": _DATA,
    "--data-parallel-rank": _DATA,
    "--data-parallel-start-rank": _DATA,
    "--data-parallel-address": _DATA,
    "--data-parallel-rpc-port": _DATA,
    "--data-parallel-hybrid-lb": _DATA,
    "--data-parallel-external-lb": _DATA,
    "--data-parallel-multi-port-external-lb": _DATA,
    "--data-parallel-supervisor-port": _DATA,
    "--shutdown-timeout": "the operator sets it from the drain that traffic needs: remove it",
    "--disable-access-log-for-endpoints": "the operator sets it, so that probes do not fill the log: remove it",
    "--disable-log-stats": _METRICS,
}

SGLANG_OWNED: Final[Mapping[str, str]] = {
    **_COMMON,
    "--model-path": _MODEL,
    "--admin-api-key": _KEY,
    "--ssl-keyfile-password": _TLS,
    "--enable-http2": _ADDRESS,
    "--grpc-mode": _ADDRESS,
    "--context-length": "use model.contextLength",
    "--max-running-requests": "use engine.batching.maxNumSeqs",
    "--max-queued-requests": "use engine.batching.maxQueuedRequests",
    "--chunked-prefill-size": _BATCH_TOKENS,
    "--max-prefill-tokens": _BATCH_TOKENS,
    "--mem-fraction-static": "use engine.kvCache.utilizationPercent",
    "--disable-radix-cache": "use engine.kvCache.prefixCaching",
    "--enable-hierarchical-cache": "use engine.kvCache.cpuOffload",
    "--hicache-size": "use engine.kvCache.cpuOffload",
    "--speculative-algorithm": "use engine.speculative.method",
    "--speculative-draft-model-path": "use engine.speculative.model",
    "--speculative-num-steps": "use engine.speculative.numTokens",
    "--speculative-num-draft-tokens": "use engine.speculative.numTokens",
    "--speculative-eagle-topk": _SPECULATIVE,
    "--lora-paths": "use engine.lora.adapters",
    "--max-loras-per-batch": "use engine.lora.maxLoras",
    "--max-loaded-loras": "use engine.lora.maxCpuLoras",
    "--ep-size": "use resources.parallelism.expert",
    "--expert-parallel-size": "use resources.parallelism.expert",
    "--dist-init-addr": _NODES,
    "--enable-metrics": _METRICS,
    "--uvicorn-access-log-exclude-prefixes": "the operator sets it, so that probes do not fill the log: remove it",
    "--enable-trace": _TRACING,
    "--custom-sigquit-handler": _CODE,
}

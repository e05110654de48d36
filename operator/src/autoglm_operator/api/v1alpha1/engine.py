"""`spec.engine`: the inference engine and its settings."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from autoglm_operator.api.types import (
    ADAPTER_NAME_PATTERN,
    ARGUMENT_PATTERN,
    BYTES_PATTERN,
    DNS_NAME_PATTERN,
    ENVIRONMENT_NAME_PATTERN,
    IMAGE_PATTERN,
    MODEL_ID_PATTERN,
    VERSION_PATTERN,
    ApiModel,
)
from autoglm_operator.api.v1alpha1.references import PvcSource, SecretKeyRef


class EngineType(StrEnum):
    """Inference engines that can be run."""

    VLLM = "vLLM"
    SGLANG = "SGLang"
    SIMULATOR = "Simulator"


class Quantization(StrEnum):
    """Weight formats that both engines accept by the same name."""

    AWQ = "awq"
    FP8 = "fp8"
    GPTQ = "gptq"
    COMPRESSED_TENSORS = "compressed-tensors"
    MODELOPT = "modelopt"
    MODELOPT_FP4 = "modelopt_fp4"
    MXFP4 = "mxfp4"
    MOE_WNA16 = "moe_wna16"
    QUARK = "quark"


class KvCacheDType(StrEnum):
    """Number formats of the KV cache."""

    AUTO = "auto"
    BFLOAT16 = "bfloat16"
    FP8_E4M3 = "fp8_e4m3"
    FP8_E5M2 = "fp8_e5m2"


class SpeculativeMethod(StrEnum):
    """How tokens are guessed ahead."""

    NGRAM = "ngram"
    EAGLE = "eagle"
    EAGLE3 = "eagle3"
    MTP = "mtp"
    DRAFT_MODEL = "draftModel"


class Batching(ApiModel):
    """Limits of the continuous batch and of the queue before it."""

    max_num_seqs: Annotated[int | None, Field(ge=1, le=65_536, description="Most requests in one batch.")] = None
    max_batched_tokens: Annotated[
        int | None,
        Field(ge=16, le=1_048_576, description="Most tokens, prefill and decode, in one iteration."),
    ] = None
    chunked_prefill: Annotated[
        bool | None,
        Field(description="Split long prompts over several iterations; the engine's own default if left out."),
    ] = None
    max_queued_requests: Annotated[
        int | None,
        Field(ge=1, le=1_000_000, description="Requests that may wait; more are refused with HTTP 503."),
    ] = None
    max_queued_tokens: Annotated[
        int | None,
        Field(ge=1, le=1_000_000_000, description="Prompt tokens that may wait; more are refused with HTTP 503."),
    ] = None


class KvCache(ApiModel):
    """The KV cache of one replica."""

    prefix_caching: Annotated[bool, Field(description="Reuse the cache of a prompt prefix seen before.")] = True
    utilization_percent: Annotated[
        int | None,
        Field(
            ge=10,
            le=98,
            description="Share of the GPU's memory the engine may take; the engine's own default if left out.",
        ),
    ] = None
    dtype: Annotated[
        KvCacheDType, Field(description="Number format of keys and values; `auto` takes that of the model.")
    ] = KvCacheDType.AUTO
    cpu_offload: Annotated[
        str | None,
        Field(
            pattern=BYTES_PATTERN,
            max_length=16,
            description="CPU memory of the replica, such as 16Gi, that takes blocks the GPU has no room for.",
        ),
    ] = None


class Speculative(ApiModel):
    """Speculative decoding: several tokens are guessed and checked in one iteration."""

    method: SpeculativeMethod
    model: Annotated[
        str | None,
        Field(
            pattern=MODEL_ID_PATTERN,
            max_length=200,
            description="Id of the draft model or EAGLE head on the hub; not for ngram and mtp.",
        ),
    ] = None
    num_tokens: Annotated[int, Field(ge=1, le=32, description="Tokens guessed at a time.")] = 4


class AdapterSource(ApiModel):
    """Where a LoRA adapter comes from; exactly one of the fields."""

    hugging_face: Annotated[
        str | None,
        Field(pattern=MODEL_ID_PATTERN, max_length=200, description="Adapter id on Hugging Face, `organisation/name`."),
    ] = None
    pvc: PvcSource | None = None


class LoraAdapter(ApiModel):
    """One LoRA adapter, served under its own name."""

    name: Annotated[
        str,
        Field(
            pattern=ADAPTER_NAME_PATTERN,
            max_length=63,
            description="Name that clients write in `model` to use the adapter.",
        ),
    ]
    source: AdapterSource


class Lora(ApiModel):
    """LoRA adapters on top of the model."""

    adapters: Annotated[
        tuple[LoraAdapter, ...], Field(min_length=1, max_length=64, description="Adapters that every replica serves.")
    ]
    max_rank: Annotated[int, Field(ge=8, le=256, description="Largest rank of the adapters: 8, 16, 32 … 256.")] = 16
    max_loras: Annotated[int, Field(ge=1, le=64, description="Adapters used in one batch at once.")] = 4
    max_cpu_loras: Annotated[
        int | None, Field(ge=1, le=1024, description="Adapters kept in CPU memory; `maxLoras` if left out.")
    ] = None


class Sampling(ApiModel):
    """Sampling parameters of requests that do not give their own."""

    temperature: Annotated[float | None, Field(ge=0, le=2, description="0 is greedy.")] = None
    top_p: Annotated[float | None, Field(gt=0, le=1, description="Nucleus sampling.")] = None
    top_k: Annotated[int | None, Field(ge=1, le=1_000_000, description="Most likely tokens to choose from.")] = None
    min_p: Annotated[float | None, Field(ge=0, le=1, description="Least probability, relative to the best.")] = None
    repetition_penalty: Annotated[float | None, Field(gt=0, le=2, description="1 is none.")] = None
    max_tokens: Annotated[int | None, Field(ge=1, le=10_000_000, description="Longest answer in tokens.")] = None


class ExtraEnv(ApiModel):
    """One more environment variable of the engine."""

    name: Annotated[str, Field(pattern=ENVIRONMENT_NAME_PATTERN, max_length=128, description="Its name.")]
    value: Annotated[str | None, Field(max_length=4096, description="Its value, taken literally.")] = None
    secret_key_ref: Annotated[SecretKeyRef | None, Field(description="Key of a Secret that holds its value.")] = None


class Simulator(ApiModel):
    """Settings of the simulated engine; only with `type: Simulator`."""

    profile: Annotated[
        str,
        Field(
            pattern=DNS_NAME_PATTERN,
            max_length=63,
            description="GPU and model profile, such as h100-autoglm-9b.",
        ),
    ] = "h100-autoglm-9b"
    startup_seconds: Annotated[int, Field(ge=0, le=3600, description="Simulated cold start, in seconds.")] = 20


class Engine(ApiModel):
    """The inference engine and its settings."""

    type: EngineType = EngineType.VLLM
    version: Annotated[
        str | None,
        Field(
            pattern=VERSION_PATTERN,
            max_length=32,
            description="Engine version; picks the image and the flags. With `image`: the version inside it.",
        ),
    ] = None
    image: Annotated[
        str | None,
        Field(pattern=IMAGE_PATTERN, max_length=512, description="Image to run instead of the version's own."),
    ] = None
    batching: Batching = Batching()
    quantization: Annotated[
        Quantization | None, Field(description="Format of the weights; that of the checkpoint if left out.")
    ] = None
    kv_cache: KvCache = KvCache()
    cpu_offload: Annotated[
        str | None,
        Field(
            pattern=BYTES_PATTERN,
            max_length=16,
            description="Weights of each GPU that stay in CPU memory, such as 8Gi; each iteration reads them.",
        ),
    ] = None
    speculative: Speculative | None = None
    lora: Lora | None = None
    sampling: Sampling | None = None
    extra_args: Annotated[
        tuple[
            Annotated[
                str,
                Field(
                    pattern=ARGUMENT_PATTERN, min_length=1, max_length=4096, description="One word of the command line."
                ),
            ],
            ...,
        ],
        Field(
            max_length=64,
            description="More command-line arguments, one word each, checked against the flags of the engine version.",
        ),
    ] = ()
    extra_env: Annotated[
        tuple[ExtraEnv, ...], Field(max_length=64, description="More environment variables of the engine.")
    ] = ()
    simulator: Simulator | None = None

"""`autoglm.io/v1alpha1` AutoGLMDeployment: the spec a user writes.

Docstrings and field descriptions here become the descriptions in the CRD and what `kubectl explain` prints.
Defaults live here alone; the API server fills them in from the generated schema.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from autoglm_operator.api.types import (
    BYTES_PATTERN,
    CPU_PATTERN,
    DNS_NAME_PATTERN,
    ENDPOINT_PATTERN,
    IMAGE_PATTERN,
    MODEL_ID_PATTERN,
    PATH_PATTERN,
    REVISION_PATTERN,
    SERVED_NAME_PATTERN,
    VERSION_PATTERN,
    ApiModel,
    Duration,
)


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


class RolloutStrategy(StrEnum):
    """How pods of an old spec make room for the new ones."""

    ROLLING_UPDATE = "RollingUpdate"
    RECREATE = "Recreate"


class SecretKeyRef(ApiModel):
    """One key of a Secret in the same namespace."""

    name: Annotated[str, Field(min_length=1, max_length=253, description="Name of the Secret.")]
    key: Annotated[
        str,
        Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$", description="Key whose value is the token."),
    ] = "token"
    namespace: Annotated[
        str | None, Field(max_length=63, description="Not allowed: references stay inside the namespace.")
    ] = None


class PvcSource(ApiModel):
    """Model files on a PersistentVolumeClaim in the same namespace, mounted read-only."""

    claim_name: Annotated[str, Field(min_length=1, max_length=253, description="Name of the PersistentVolumeClaim.")]
    path: Annotated[
        str | None,
        Field(pattern=PATH_PATTERN, max_length=512, description="Folder of the model inside the volume."),
    ] = None
    namespace: Annotated[
        str | None, Field(max_length=63, description="Not allowed: references stay inside the namespace.")
    ] = None


class ModelSource(ApiModel):
    """Where the model's files come from; exactly one of the fields."""

    hugging_face: Annotated[
        str | None,
        Field(
            pattern=MODEL_ID_PATTERN,
            max_length=200,
            description="Model id on Hugging Face, `organisation/name`.",
        ),
    ] = None
    pvc: PvcSource | None = None


class Model(ApiModel):
    """The model to serve."""

    source: ModelSource
    revision: Annotated[
        str | None,
        Field(
            pattern=REVISION_PATTERN,
            max_length=128,
            description="Commit, tag or branch of the repository. Pin a commit so that every pod serves the same.",
        ),
    ] = None
    served_name: Annotated[
        str | None,
        Field(
            pattern=SERVED_NAME_PATTERN,
            max_length=200,
            description="Name that clients write in `model`; the name of the AutoGLMDeployment if left out.",
        ),
    ] = None
    context_length: Annotated[
        int | None,
        Field(
            ge=256,
            le=10_000_000,
            description="Longest prompt plus output in tokens; the model's own if left out.",
        ),
    ] = None
    token_secret_ref: Annotated[
        SecretKeyRef | None,
        Field(description="Hugging Face token for gated models, handed to the engine as HF_TOKEN."),
    ] = None


class Batching(ApiModel):
    """Limits of the continuous batch."""

    max_num_seqs: Annotated[int | None, Field(ge=1, le=65_536, description="Most requests in one batch.")] = None
    max_batched_tokens: Annotated[
        int | None,
        Field(ge=16, le=1_048_576, description="Most tokens, prefill and decode, in one iteration."),
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
            description="Engine version; picks the image and the flags.",
        ),
    ] = None
    image: Annotated[
        str | None,
        Field(pattern=IMAGE_PATTERN, max_length=512, description="Image to run instead of the version's own."),
    ] = None
    batching: Batching = Batching()
    quantization: Quantization | None = None
    kv_cache: KvCache = KvCache()
    simulator: Simulator | None = None


class Gpu(ApiModel):
    """GPUs of one replica."""

    product: Annotated[
        str | None,
        Field(
            pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$",
            max_length=63,
            description="Value of the node label nvidia.com/gpu.product that a node must carry; any GPU if left out.",
        ),
    ] = None
    count: Annotated[int, Field(ge=0, le=16, description="GPUs for each replica.")] = 1


class Parallelism(ApiModel):
    """How one replica is spread over its GPUs."""

    tensor: Annotated[int, Field(ge=1, le=16, description="Tensor-parallel ranks.")] = 1
    pipeline: Annotated[int, Field(ge=1, le=16, description="Pipeline stages.")] = 1


class Resources(ApiModel):
    """What one replica needs from its node."""

    gpu: Gpu = Gpu()
    parallelism: Parallelism = Parallelism()
    cpu: Annotated[
        str | None,
        Field(pattern=CPU_PATTERN, max_length=16, description="CPU request of the engine, such as 4 or 500m."),
    ] = None
    memory: Annotated[
        str | None,
        Field(
            pattern=BYTES_PATTERN, max_length=16, description="Memory request and limit of the engine, such as 64Gi."
        ),
    ] = None


class Objective(ApiModel):
    """The latency promised to users."""

    ttft_p99: Annotated[Duration, Field(alias="ttftP99", description="99th percentile of the time to first token.")] = (
        "2s"
    )
    itl_p99: Annotated[Duration, Field(alias="itlP99", description="99th percentile of the inter-token latency.")] = (
        "100ms"
    )


class QueueDepthSignal(ApiModel):
    """Scale on requests that wait."""

    target: Annotated[
        int | None,
        Field(
            ge=1,
            le=100_000,
            description="Waiting requests per replica. Calibrated unless given; then the HPA reads it too.",
        ),
    ] = None


class LatencySignal(ApiModel):
    """Scale on P99 latency."""

    target: Annotated[
        int | None,
        Field(
            ge=1,
            le=100,
            description="P99 TTFT in percent of the objective. Calibrated unless given; then the HPA reads it too.",
        ),
    ] = None


class MemorySignal(ApiModel):
    """Scale on memory pressure."""

    target: Annotated[
        int | None,
        Field(
            ge=1,
            le=100,
            description="KV-cache use in percent. Calibrated unless given; then the HPA reads it too.",
        ),
    ] = None


class Signals(ApiModel):
    """What the number of replicas follows; leave one out to ignore it."""

    queue_depth: QueueDepthSignal | None = None
    latency_p99: Annotated[LatencySignal | None, Field(alias="latencyP99")] = None
    memory_pressure: MemorySignal | None = None


class Autoscaling(ApiModel):
    """Bounds and goals of autoscaling. While it is set, the HPA writes `spec.replicas`."""

    min_replicas: Annotated[int, Field(ge=1, le=10_000, description="Fewest replicas.")] = 1
    max_replicas: Annotated[int, Field(ge=1, le=10_000, description="Most replicas.")]
    objective: Objective = Objective()
    signals: Signals = Signals(
        queue_depth=QueueDepthSignal(), latency_p99=LatencySignal(), memory_pressure=MemorySignal()
    )
    scale_down_hold: Annotated[
        Duration,
        Field(description="How long a lower need must last before replicas are removed; at most one hour."),
    ] = "5m"


class Rollout(ApiModel):
    """How a changed spec reaches the pods."""

    strategy: RolloutStrategy = RolloutStrategy.ROLLING_UPDATE


class Tracing(ApiModel):
    """OpenTelemetry traces of the engine."""

    endpoint: Annotated[
        str,
        Field(
            pattern=ENDPOINT_PATTERN,
            max_length=512,
            description="OTLP endpoint, such as http://otel-collector:4317.",
        ),
    ]
    sample_ratio: Annotated[float, Field(ge=0, le=1, description="Share of requests traced, 0 to 1.")] = 1.0


class Spec(ApiModel):
    """What the user wants."""

    model: Model
    engine: Engine = Engine()
    resources: Resources = Resources()
    replicas: Annotated[
        int,
        Field(
            ge=0,
            le=10_000,
            description="Replicas wanted. Leave it out of your file while `autoscaling` is set: the HPA writes it.",
        ),
    ] = 1
    autoscaling: Autoscaling | None = None
    rollout: Rollout = Rollout()
    tracing: Tracing | None = None

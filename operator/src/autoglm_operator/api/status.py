"""`autoglm.io/v1alpha1` AutoGLMDeployment: the status that the operator and the autoscaler write.

The autoscaler owns `autoscaling` and `serving`, the operator everything else; server-side apply keeps them apart.
"""

from typing import Annotated

from pydantic import Field

from autoglm_operator.api.types import ApiModel


class Condition(ApiModel):
    """One aspect of the state, in the form of Kubernetes' metav1.Condition."""

    type: Annotated[str, Field(max_length=64)]
    status: Annotated[str, Field(pattern="^(True|False|Unknown)$", max_length=7)]
    observed_generation: Annotated[int, Field(ge=0)]
    last_transition_time: Annotated[str, Field(max_length=32, json_schema_extra={"format": "date-time"})]
    reason: Annotated[str, Field(min_length=1, max_length=128, pattern="^[A-Za-z][A-Za-z0-9]*$")]
    message: Annotated[str, Field(max_length=1024)]


class ScalingDecision(ApiModel):
    """The last change of mind of the autoscaler, with its reason in words and numbers."""

    time: Annotated[str, Field(max_length=32, json_schema_extra={"format": "date-time"})]
    from_: Annotated[int, Field(alias="from", ge=0, description="Replicas asked for before.")]
    to: Annotated[int, Field(ge=0, description="Replicas asked for since.")]
    reason: Annotated[str, Field(min_length=1, max_length=64)]
    message: Annotated[str, Field(max_length=1024)]
    traceparent: Annotated[
        str | None,
        Field(
            max_length=55,
            pattern="^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$",
            description="W3C reference of the autoscaler's span of this decision; absent where it is not traced.",
        ),
    ] = None


class ScalingLimit(ApiModel):
    """Something that keeps the replicas from being what demand needs, whatever the autoscaler does."""

    reason: Annotated[str, Field(min_length=1, max_length=64, pattern="^[A-Za-z][A-Za-z0-9]*$")]
    message: Annotated[str, Field(max_length=512, description="One sentence: what, with its numbers, and what to do.")]


class Actuation(ApiModel):
    """Who writes `spec.replicas` at present: what the autoscaler goes by, told by the operator."""

    path: Annotated[
        str,
        Field(
            max_length=16,
            pattern="^(HPA|Direct|KEDA|Foreign|None)$",
            description="Foreign: somebody else's autoscaler, which is left alone. None: nobody, or a person.",
        ),
    ]
    message: Annotated[str, Field(max_length=512, description="One sentence: who, and why.")]


class AutoscalingStatus(ApiModel):
    """What the autoscaler sees and wants."""

    desired_replicas: Annotated[int | None, Field(ge=0)] = None
    ttft_p99: Annotated[str | None, Field(alias="ttftP99", max_length=16, description="Such as 812ms.")] = None
    itl_p99: Annotated[str | None, Field(alias="itlP99", max_length=16, description="Such as 41ms.")] = None
    draining: Annotated[
        int, Field(ge=0, description="Replicas that finish their requests before they are removed.")
    ] = 0
    decision: ScalingDecision | None = None
    limits: Annotated[tuple[ScalingLimit, ...], Field(max_length=8, description="The worst first.")] = ()


class AdapterStatus(ApiModel):
    """Where a LoRA adapter can be used: what the engines themselves list."""

    name: Annotated[str, Field(max_length=63)]
    ready_replicas: Annotated[int, Field(ge=0, description="Ready replicas that serve it.")] = 0


class PodFault(ApiModel):
    """Something wrong with a GPU or an engine, as its agent sees it."""

    pod: Annotated[str, Field(max_length=253)]
    code: Annotated[str, Field(max_length=64, description="Such as xid-79, or engine-hung.")]
    severity: Annotated[str, Field(max_length=16, description="info, warning or critical.")]
    action: Annotated[str, Field(max_length=16, description="What it asks for: none, not-ready, restart or drain.")]
    message: Annotated[str, Field(max_length=512)]


class Bottleneck(ApiModel):
    """What limits the replicas at present, and which knob moves it."""

    cause: Annotated[
        str,
        Field(
            max_length=32,
            pattern="^[a-z]+(-[a-z]+)*$",
            description="compute, memory-bandwidth, kv-cache, queue, network, client, idle or unknown.",
        ),
    ]
    evidence: Annotated[str, Field(max_length=512, description="One sentence with the numbers that tell it.")]
    knob: Annotated[str, Field(max_length=256, description="What to change in the spec.")] = ""


class Serving(ApiModel):
    """What the engines say of themselves."""

    kv_cache_tokens: Annotated[
        int | None, Field(ge=0, description="Tokens that the KV cache of one replica holds; the least of all replicas.")
    ] = None
    output_tokens_p99: Annotated[
        int | None, Field(alias="outputTokensP99", ge=0, description="99th percentile of the length of answers.")
    ] = None
    itl_p99_seconds: Annotated[
        float | None,
        Field(alias="itlP99Seconds", ge=0, description="99th percentile of the time between tokens, since the start."),
    ] = None
    adapters: Annotated[tuple[AdapterStatus, ...], Field(max_length=64, description="LoRA adapters of the spec.")] = ()
    faults: Annotated[tuple[PodFault, ...], Field(max_length=16, description="The worst first.")] = ()
    requested_max_num_seqs: Annotated[
        int | None,
        Field(
            ge=1, description="The least batch that an agent asks for under memory pressure; see batching.maxNumSeqs."
        ),
    ] = None
    bottleneck: Bottleneck | None = None


class ColdStartStage(ApiModel):
    """One stage of a start, over the last pods that became ready."""

    name: Annotated[str, Field(max_length=32)]
    last_seconds: Annotated[int, Field(ge=0)]
    median_seconds: Annotated[int, Field(ge=0)]
    p90_seconds: Annotated[int, Field(alias="p90Seconds", ge=0)]
    recent_seconds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(max_length=16)] = ()


class ColdStart(ApiModel):
    """How long a replica takes from wanted to answering, learned from those that did."""

    template: Annotated[str | None, Field(max_length=64, description="Hash of the pod template it holds for.")] = None
    observed_at: Annotated[str, Field(max_length=32, json_schema_extra={"format": "date-time"})]
    samples: Annotated[int, Field(ge=0, description="Pods learned from.")]
    total_seconds: Annotated[int, Field(ge=0, description="Median of the last ones.")]
    total_p90_seconds: Annotated[int, Field(alias="totalP90Seconds", ge=0)]
    recent_total_seconds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(max_length=16)] = ()
    stages: Annotated[tuple[ColdStartStage, ...], Field(max_length=16)] = ()


class ObservedFitStatus(ApiModel):
    """What the engines themselves report, beside the estimate."""

    kv_cache_tokens: Annotated[int, Field(ge=0, description="Tokens that the KV cache of one engine holds.")]
    error_percent: Annotated[
        float, Field(ge=-1_000_000, le=1_000_000, description="Of the estimate; positive where it promised too much.")
    ]
    message: Annotated[str, Field(max_length=1024)]


class FitStatus(ApiModel):
    """Whether the model fits its GPUs, as reckoned before it was started."""

    verdict: Annotated[str, Field(max_length=32, description="Fits, Tight, DoesNotFit, Unsupported or Unknown.")]
    message: Annotated[str, Field(max_length=4096)]
    weights_bytes: Annotated[int | None, Field(ge=0, description="On each GPU.")] = None
    kv_cache_tokens: Annotated[int | None, Field(ge=0, description="Expected of one engine.")] = None
    sequences: Annotated[int | None, Field(ge=0, description="Of the full context length, at once.")] = None
    observed: ObservedFitStatus | None = None


class WeightsStatus(ApiModel):
    """The last finished download of the weights."""

    identity: Annotated[str, Field(max_length=1024, description="Claim and folder.")]
    bytes: Annotated[int, Field(ge=0)]
    seconds: Annotated[float, Field(ge=0)]
    bytes_per_second: Annotated[int | None, Field(ge=0)] = None
    revision: Annotated[str | None, Field(max_length=128, description="Commit of the files.")] = None


class Status(ApiModel):
    """What is."""

    observed_generation: Annotated[int, Field(description="Generation of the spec this status is about.")] = -1
    replicas: Annotated[int, Field(ge=0, description="Engine pods that exist and are not being removed.")] = 0
    ready_replicas: Annotated[int, Field(ge=0, description="Engine pods that answer requests.")] = 0
    selector: Annotated[
        str | None,
        Field(max_length=512, description="Selector of the engine pods; read by the HPA through /scale."),
    ] = None
    model_name: Annotated[str | None, Field(max_length=256, description="Name that clients write in `model`.")] = None
    url: Annotated[str | None, Field(max_length=512, description="Base URL inside the cluster.")] = None
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16)] = ()
    fit: FitStatus | None = None
    cold_start: ColdStart | None = None
    weights: WeightsStatus | None = None
    actuation: Actuation | None = None
    autoscaling: AutoscalingStatus | None = None
    serving: Serving | None = None

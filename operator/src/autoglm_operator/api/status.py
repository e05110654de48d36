"""`autoglm.io/v1alpha1` AutoGLMDeployment: the status that the operator and the autoscaler write.

The operator owns everything but `autoscaling`, which the autoscaler owns; server-side apply keeps them apart.
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


class AutoscalingStatus(ApiModel):
    """What the autoscaler sees and wants."""

    desired_replicas: Annotated[int | None, Field(ge=0)] = None
    ttft_p99: Annotated[str | None, Field(alias="ttftP99", max_length=16, description="Such as 812ms.")] = None
    itl_p99: Annotated[str | None, Field(alias="itlP99", max_length=16, description="Such as 41ms.")] = None
    decision: ScalingDecision | None = None


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
    autoscaling: AutoscalingStatus | None = None

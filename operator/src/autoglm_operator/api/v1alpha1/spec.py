"""`autoglm.io/v1alpha1` AutoGLMDeployment: the spec a user writes."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from autoglm_operator.api.types import ENDPOINT_PATTERN, ApiModel
from autoglm_operator.api.v1alpha1.autoscaling import Autoscaling
from autoglm_operator.api.v1alpha1.engine import Engine
from autoglm_operator.api.v1alpha1.model import Model
from autoglm_operator.api.v1alpha1.resources import Resources, Scheduling
from autoglm_operator.api.v1alpha1.warmstart import WarmStart


class RolloutStrategy(StrEnum):
    """How pods of an old spec make room for the new ones."""

    ROLLING_UPDATE = "RollingUpdate"
    RECREATE = "Recreate"


class Tolerance(StrEnum):
    """How far memory and latency may stray before the agent speaks up or asks for less."""

    STRICT = "Strict"
    ELASTIC = "Elastic"
    RECOVERY = "Recovery"


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
    scheduling: Scheduling = Scheduling()
    warm_start: WarmStart = WarmStart()
    tolerance: Annotated[
        Tolerance,
        Field(
            description=(
                "Strict keeps within 10 % of the objective and never changes the batch; Elastic allows 25 % and asks "
                "for smaller batches under pressure; Recovery allows 30 % and gives up quality of service first."
            )
        ),
    ] = Tolerance.ELASTIC
    tracing: Tracing | None = None

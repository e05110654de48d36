"""`spec.autoscaling`: bounds, objective, signals, and who acts on what is decided."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from autoglm_operator.api.types import CRON_PATTERN, TIME_ZONE_PATTERN, ApiModel, Duration


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


class PredictionMode(StrEnum):
    """How far the autoscaler goes.

    `Auto`: ahead of demand, by the learned start time of a replica, and with it.
    `Reactive`: with what is measured now; nothing is ordered for what may come.
    `Advisory`: everything is computed and reported as with Auto, and nobody's replicas are changed.
    """

    AUTO = "Auto"
    REACTIVE = "Reactive"
    ADVISORY = "Advisory"


class Prediction(ApiModel):
    """How far the autoscaler goes."""

    mode: PredictionMode = PredictionMode.AUTO


class Actuator(StrEnum):
    """Who writes `spec.replicas`.

    `HPA`: a HorizontalPodAutoscaler that reads our metrics; a step of demand is written at once, as it would.
    `Direct`: the autoscaler itself, also without the metrics API.
    `KEDA`: a ScaledObject that reads our series from Prometheus.
    """

    HPA = "HPA"
    DIRECT = "Direct"
    KEDA = "KEDA"


class ScheduledBounds(ApiModel):
    """Other bounds for a while, again and again: for a launch, an office day, a nightly batch."""

    schedule: Annotated[
        str,
        Field(pattern=CRON_PATTERN, max_length=128, description='When they begin: a cron line such as "30 8 * * 1-5".'),
    ]
    duration: Annotated[Duration, Field(description="How long they hold each time; at most 168h.")]
    time_zone: Annotated[
        str, Field(pattern=TIME_ZONE_PATTERN, max_length=64, description="Of the schedule, such as Asia/Shanghai.")
    ] = "UTC"
    min_replicas: Annotated[int | None, Field(ge=1, le=10_000, description="Fewest replicas meanwhile.")] = None
    max_replicas: Annotated[int | None, Field(ge=1, le=10_000, description="Most replicas meanwhile.")] = None


class Autoscaling(ApiModel):
    """Bounds and goals of autoscaling. While it is set, `spec.replicas` is written by the actuator."""

    min_replicas: Annotated[int, Field(ge=1, le=10_000, description="Fewest replicas.")] = 1
    max_replicas: Annotated[int, Field(ge=1, le=10_000, description="Most replicas.")]
    objective: Objective = Objective()
    signals: Signals = Signals(
        queue_depth=QueueDepthSignal(), latency_p99=LatencySignal(), memory_pressure=MemorySignal()
    )
    scale_down_hold: Annotated[
        Duration,
        Field(description="How long a lower need must last before replicas are removed; at most one hour."),
    ] = "3m"
    prediction: Prediction = Prediction()
    actuator: Annotated[Actuator, Field(description="Who writes `spec.replicas`.")] = Actuator.HPA
    schedules: Annotated[
        tuple[ScheduledBounds, ...],
        Field(max_length=16, description="Other bounds at times; where several hold, the highest minimum and maximum."),
    ] = ()

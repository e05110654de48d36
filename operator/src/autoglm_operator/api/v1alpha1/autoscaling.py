"""`spec.autoscaling`: bounds, objective and signals."""

from typing import Annotated

from pydantic import Field

from autoglm_operator.api.types import ApiModel, Duration


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

"""Every reason that a condition can carry, with its meaning: the one list."""

from enum import StrEnum


class Reason(StrEnum):
    """Why a condition is as it is."""

    REPLICAS_READY = "ReplicasReady"
    SCALED_TO_ZERO = "ScaledToZero"
    STARTING = "Starting"
    ROLLING_OUT = "RollingOut"
    SCALING = "Scaling"
    UP_TO_DATE = "UpToDate"
    UNSCHEDULABLE = "Unschedulable"
    IMAGE_UNAVAILABLE = "ImageUnavailable"
    CONTAINER_NOT_CREATED = "ContainerNotCreated"
    ENGINE_CRASHING = "EngineCrashing"
    PODS_REJECTED = "PodsRejected"
    PROGRESS_DEADLINE_EXCEEDED = "ProgressDeadlineExceeded"
    INVALID_SPEC = "InvalidSpec"
    NAME_TAKEN = "NameTaken"
    CHILD_REJECTED = "ChildRejected"
    NOTHING_WRONG = "NothingWrong"
    AUTOSCALING_OFF = "AutoscalingOff"
    WAITING_FOR_HPA = "WaitingForHPA"

"""`autoglm.io/v1alpha1`: the spec a user writes.

Docstrings and field descriptions here become the descriptions in the CRD and what `kubectl explain` prints.
Defaults live here alone; the API server fills them in from the generated schema.
"""

from autoglm_operator.api.v1alpha1.autoscaling import (
    Actuator,
    Autoscaling,
    LatencySignal,
    MemorySignal,
    Objective,
    Prediction,
    PredictionMode,
    QueueDepthSignal,
    ScheduledBounds,
    Signals,
)
from autoglm_operator.api.v1alpha1.engine import (
    AdapterSource,
    Batching,
    Engine,
    EngineType,
    ExtraEnv,
    KvCache,
    KvCacheDType,
    Lora,
    LoraAdapter,
    Quantization,
    Sampling,
    Simulator,
    Speculative,
    SpeculativeMethod,
)
from autoglm_operator.api.v1alpha1.model import DType, Model, ModelSource, OciImageSource, PullPolicy
from autoglm_operator.api.v1alpha1.references import PvcSource, SecretKeyRef
from autoglm_operator.api.v1alpha1.resources import (
    Gpu,
    GpuAllocation,
    Parallelism,
    Resources,
    Scheduling,
    Toleration,
    TopologySpread,
)
from autoglm_operator.api.v1alpha1.spec import Rollout, RolloutStrategy, Spec, Tolerance, Tracing
from autoglm_operator.api.v1alpha1.warmstart import AccessMode, Cache, WarmStart, WarmStartMode

__all__ = [
    "AccessMode",
    "Actuator",
    "AdapterSource",
    "Autoscaling",
    "Batching",
    "Cache",
    "DType",
    "Engine",
    "EngineType",
    "ExtraEnv",
    "Gpu",
    "GpuAllocation",
    "KvCache",
    "KvCacheDType",
    "LatencySignal",
    "Lora",
    "LoraAdapter",
    "MemorySignal",
    "Model",
    "ModelSource",
    "Objective",
    "OciImageSource",
    "Parallelism",
    "Prediction",
    "PredictionMode",
    "PullPolicy",
    "PvcSource",
    "Quantization",
    "QueueDepthSignal",
    "Resources",
    "Rollout",
    "RolloutStrategy",
    "Sampling",
    "ScheduledBounds",
    "Scheduling",
    "SecretKeyRef",
    "Signals",
    "Simulator",
    "Spec",
    "Speculative",
    "SpeculativeMethod",
    "Tolerance",
    "Toleration",
    "TopologySpread",
    "Tracing",
    "WarmStart",
    "WarmStartMode",
]

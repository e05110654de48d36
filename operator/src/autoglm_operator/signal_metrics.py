"""The gauge of the Object metrics: the autoscaler serves it, and a ScaledObject asks Prometheus for it."""

from typing import Final

from autoglm_operator.api.signals import SIGNALS
from autoglm_operator.metric import DEPLOYMENT, Label, Metric

SIGNAL: Final = Metric(
    "autoglm_autoscaler_signal",
    "gauge",
    "",
    "What the metrics API serves for each AutoGLMDeployment, in base units; absent while it has no fresh value.",
    (
        *DEPLOYMENT,
        Label("metric", "Name in `custom.metrics.k8s.io`.", tuple(signal.name for signal in SIGNALS)),
    ),
)

"""Who writes the replicas of a deployment: pure.

```
None     nobody of ours: autoscaling is off, or only advises
Foreign  an autoscaler of somebody else acts on the deployment: it is left alone, and so are the replicas
Direct   the autoscaler, through /scale: because the spec says so, or because nobody else could
KEDA     a ScaledObject that asks Prometheus
HPA      a HorizontalPodAutoscaler that reads the metrics API; the autoscaler is ahead of it when demand steps
```
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from autoglm_operator.api import names
from autoglm_operator.api.v1alpha1 import Actuator, PredictionMode, Spec
from autoglm_operator.decide.reasons import Reason
from autoglm_operator.observe.autoscalers import CUSTOM_METRICS, HPA, SCALED_OBJECT, Backend, Scaler
from autoglm_operator.observe.world import Observed
from autoglm_operator.settings import Scaling

_MESSAGE_LENGTH: Final = 512
_ITSELF: Final = "the autoscaler writes replicas itself"
#: The version that the chart registers and HPAs prefer.
_API: Final = f"v1beta2.{CUSTOM_METRICS}"


class Path(StrEnum):
    """Who writes, as `status.actuation.path` says it."""

    HPA = "HPA"
    DIRECT = "Direct"
    KEDA = "KEDA"
    FOREIGN = "Foreign"
    NONE = "None"


#: Where the number that the autoscaler serves is what is ordered.
OURS: Final = (Path.HPA, Path.DIRECT)


@dataclass(frozen=True, slots=True)
class Actuation:
    """Who writes, and why.

    Attributes:
        message: one sentence.
    """

    path: Path
    reason: Reason
    message: str

    def record(self) -> dict[str, Any]:
        """Return `status.actuation`."""
        return {"path": self.path.value, "message": self.message[:_MESSAGE_LENGTH]}


def actuation(spec: Spec, observed: Observed, scaling: Scaling) -> Actuation:
    """Return who writes the replicas.

    Args:
        spec: of the deployment.
        observed: among it the autoscalers that act on the deployment.
        scaling: how replicas can be written in this cluster.
    """
    foreign = _foreign(observed)
    autoscaling = spec.autoscaling
    if autoscaling is None:
        return _resting(Reason.AUTOSCALING_OFF, "spec.autoscaling is not set", spec, foreign)
    if autoscaling.prediction.mode is PredictionMode.ADVISORY:
        why = "spec.autoscaling.prediction.mode is Advisory, and status.autoscaling says what would be done"
        return _resting(Reason.ADVISORY_MODE, why, spec, foreign)
    if foreign is not None:
        return Actuation(Path.FOREIGN, Reason.FOREIGN_AUTOSCALER, _cure(foreign, observed.deployment.name))
    if autoscaling.actuator is Actuator.DIRECT:
        return _direct(Reason.DIRECT_ACTUATOR, "spec.autoscaling.actuator is Direct")
    if autoscaling.actuator is Actuator.KEDA:
        return _keda(observed, scaling)
    return _hpa(observed, scaling)


def _resting(reason: Reason, why: str, spec: Spec, foreign: Scaler | None) -> Actuation:
    if foreign is None:
        return Actuation(Path.NONE, reason, f"{why}: replicas stay at {spec.replicas}")
    return Actuation(Path.FOREIGN, reason, f"{why}; {_act(foreign)}")


def _act(foreign: Scaler) -> str:
    return f"{foreign.kind} {foreign.name} scales {foreign.target_kind} {foreign.target}"


def _cure(foreign: Scaler, name: str) -> str:
    if foreign.target_kind == names.KIND:
        return (
            f"{_act(foreign)}, and two autoscalers would fight: delete it to have the operator's, or remove "
            "spec.autoscaling to keep it"
        )
    return (
        f"{_act(foreign)}, whose replicas the operator sets to spec.replicas: delete it, or let it scale {names.KIND} "
        f"{name} and remove spec.autoscaling"
    )


def _foreign(observed: Observed) -> Scaler | None:
    """Return the first autoscaler that is not made by us.

    What KEDA makes of a ScaledObject is judged by that, where ScaledObjects can be seen: it stays for a moment after
    ours is gone.
    """
    judged_by = {names.KIND, *({SCALED_OBJECT[1]} & observed.kinds)}
    others = [scaler for scaler in observed.scalers if scaler.maker[0] not in judged_by]
    return min(others, key=lambda scaler: (scaler.kind, scaler.name), default=None)


def _direct(reason: Reason, why: str) -> Actuation:
    return Actuation(Path.DIRECT, reason, f"{why}: {_ITSELF}")


def _keda(observed: Observed, scaling: Scaling) -> Actuation:
    asked = "spec.autoscaling.actuator is KEDA"
    version, kind = SCALED_OBJECT
    if kind not in observed.kinds:
        missing = f"{asked}, and the cluster does not serve {kind} ({version}); until KEDA is installed"
        return Actuation(Path.DIRECT, Reason.NO_KEDA, f"{missing}, {_ITSELF}")
    if not scaling.prometheus:
        missing = f"{asked}, and it is not known which Prometheus to ask; until the chart's value prometheus.address"
        return Actuation(Path.DIRECT, Reason.NO_PROMETHEUS_ADDRESS, f"{missing} is set, {_ITSELF}")
    made = f"{kind} {observed.deployment.name} writes replicas, by what Prometheus at {scaling.prometheus} says"
    return Actuation(Path.KEDA, Reason.WAITING_FOR_KEDA, made)


def _hpa(observed: Observed, scaling: Scaling) -> Actuation:
    backends = observed.cluster.backends
    if backends is None:
        if not scaling.metrics_registered:
            return _direct(Reason.NO_METRICS_API, "the chart did not register the metrics API (metricsAPI.enabled)")
    elif scaling.metrics_service:
        backend = max(backends, key=lambda item: (item.priority, item.version), default=None)
        if backend is None:
            return _direct(Reason.NO_METRICS_API, f"APIService {_API} is absent, so that an HPA could read nothing")
        if backend.service != scaling.metrics_service:
            return _direct(Reason.METRICS_API_OF_OTHERS, _owned(backend, scaling.metrics_service))
    made = f"{HPA[1]} {observed.deployment.name} writes replicas; a step of demand is written at once, as it would"
    return Actuation(Path.HPA, Reason.WAITING_FOR_HPA, made)


def _owned(backend: Backend, ours: str) -> str:
    owner = f"Service {backend.service}" if backend.service else "the API server itself"
    return f"APIService {backend.name} belongs to {owner}, and not to {ours}, so that an HPA could not read our metrics"

"""HorizontalPodAutoscaler: turns the autoscaler's figures into `spec.replicas` of the AutoGLMDeployment."""

from typing import Any, Final

from autoglm_operator.api import names
from autoglm_operator.api.signals import DESIRED_REPLICAS, KV_CACHE_UTILIZATION, QUEUE_DEPTH, TTFT_P99, Signal
from autoglm_operator.api.types import seconds
from autoglm_operator.api.v1alpha1 import Autoscaling
from autoglm_operator.decide.scaling.bounds import widest
from autoglm_operator.observe.world import Deployment
from autoglm_operator.render.meta import metadata

#: Two replicas of the autoscaler answer in turn: for a moment one may know less than the other.
_AGREEMENT_SECONDS: Final = 60


def horizontal_pod_autoscaler(deployment: Deployment, autoscaling: Autoscaling) -> dict[str, Any]:
    """Return the HPA: up at once and in full, down as soon as the law says so.

    It reads the scaling law's answer, and each raw signal that the user gave a target for. A raw signal without a
    target stays inside the law: as an HPA target of its own it would order again for pods that are still starting.
    """
    target = {"apiVersion": names.API_VERSION, "kind": names.KIND, "name": deployment.name}
    # The bounds of all times: the autoscaler's answer is inside those of now.
    least, most = widest(autoscaling)
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata(deployment),
        "spec": {
            "scaleTargetRef": target,
            "minReplicas": least,
            "maxReplicas": most,
            "metrics": _metrics(target, autoscaling),
            "behavior": behavior(autoscaling),
        },
    }


def behavior(autoscaling: Autoscaling) -> dict[str, Any]:
    """Return `spec.behavior` of an HPA: up at once and in full, down after the hold.

    What the law answers was held by the law; the HPA holds raw signals, which nobody did.
    """
    hold = int(seconds(autoscaling.scale_down_hold))
    return {
        # The law has its own dead band; a second one of 10 % would swallow the eleventh replica.
        "scaleUp": {
            "stabilizationWindowSeconds": 0,
            "selectPolicy": "Max",
            "tolerance": "0",
            "policies": [{"type": "Pods", "value": widest(autoscaling)[1], "periodSeconds": 15}],
        },
        "scaleDown": {
            "stabilizationWindowSeconds": hold if _raw(autoscaling) else min(hold, _AGREEMENT_SECONDS),
            "selectPolicy": "Max",
            "tolerance": "0",
            "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
        },
    }


def _raw(autoscaling: Autoscaling) -> bool:
    """Whether the HPA reads more than the law's answer."""
    signals = (autoscaling.signals.queue_depth, autoscaling.signals.latency_p99, autoscaling.signals.memory_pressure)
    return any(signal is not None and signal.target for signal in signals)


def _metrics(target: dict[str, str], autoscaling: Autoscaling) -> list[dict[str, Any]]:
    signals = autoscaling.signals
    metrics = [_object_metric(target, DESIRED_REPLICAS, {"type": "AverageValue", "averageValue": "1"})]
    if signals.queue_depth and signals.queue_depth.target:
        goal = {"type": "AverageValue", "averageValue": str(signals.queue_depth.target)}
        metrics.append(_object_metric(target, QUEUE_DEPTH, goal))
    if signals.latency_p99 and signals.latency_p99.target:
        milliseconds = seconds(autoscaling.objective.ttft_p99) * 10 * signals.latency_p99.target
        metrics.append(_object_metric(target, TTFT_P99, {"type": "Value", "value": quantity(milliseconds)}))
    if signals.memory_pressure and signals.memory_pressure.target:
        goal = {"type": "Value", "value": quantity(signals.memory_pressure.target * 10)}
        metrics.append(_object_metric(target, KV_CACHE_UTILIZATION, goal))
    return metrics


def quantity(thousandths: float) -> str:
    """Return a number of thousandths as Kubernetes writes it: `1500m`, `2`."""
    whole = max(1, round(thousandths))
    return str(whole // 1000) if whole % 1000 == 0 else f"{whole}m"


def _object_metric(target: dict[str, str], signal: Signal, goal: dict[str, str]) -> dict[str, Any]:
    return {
        "type": "Object",
        "object": {"describedObject": target, "metric": {"name": signal.name}, "target": goal},
    }

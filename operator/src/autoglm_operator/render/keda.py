"""ScaledObject: lets KEDA turn the autoscaler's figures into `spec.replicas`, by way of Prometheus."""

from typing import Any, Final

from autoglm_operator.api import names
from autoglm_operator.api.signals import DESIRED_REPLICAS
from autoglm_operator.api.v1alpha1 import Autoscaling
from autoglm_operator.decide.scaling.bounds import widest
from autoglm_operator.observe.autoscalers import SCALED_OBJECT
from autoglm_operator.observe.world import Deployment
from autoglm_operator.render.autoscaler import behavior
from autoglm_operator.render.meta import metadata
from autoglm_operator.signal_metrics import SIGNAL

#: Questions in vain, one each polling interval, until the number stays as it is.
_FAILURES: Final = 3


def scaled_object(deployment: Deployment, autoscaling: Autoscaling, prometheus: str) -> dict[str, Any]:
    """Return the ScaledObject: KEDA makes an HPA of it, with the same behavior as that of `horizontal_pod_autoscaler`.

    Args:
        deployment: whose replicas it writes.
        autoscaling: of its spec.
        prometheus: URL of the Prometheus that scrapes the autoscaler.
    """
    version, kind = SCALED_OBJECT
    least, most = widest(autoscaling)
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": metadata(deployment),
        "spec": {
            "scaleTargetRef": {"apiVersion": names.API_VERSION, "kind": names.KIND, "name": deployment.name},
            "minReplicaCount": least,
            "maxReplicaCount": most,
            # Without an answer the number stays; KEDA wants one for the other kinds of fallback all the same.
            "fallback": {"failureThreshold": _FAILURES, "replicas": least, "behavior": "currentReplicas"},
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": behavior(autoscaling)}},
            "triggers": [
                {
                    "type": "prometheus",
                    "metricType": "AverageValue",
                    "metadata": {
                        "serverAddress": prometheus,
                        "query": query(deployment),
                        "threshold": "1",
                        # No series is no figure: KEDA would take it for 0, and remove replicas.
                        "ignoreNullValues": "false",
                    },
                }
            ],
        },
    }


def query(deployment: Deployment) -> str:
    """Return what is asked of Prometheus: the replicas wanted; both replicas of the autoscaler tell them."""
    namespace, name, metric = SIGNAL.label_names
    matchers = f'{namespace}="{deployment.namespace}",{name}="{deployment.name}",{metric}="{DESIRED_REPLICAS.name}"'
    return f"max({SIGNAL.name}{{{matchers}}})"

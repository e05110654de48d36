"""The plan: what the children of a deployment should be, before they are written as objects."""

from dataclasses import dataclass
from typing import Final

from autoglm_operator.api.v1alpha1 import Spec
from autoglm_operator.decide.reasons import Reason
from autoglm_operator.errors import Terminal
from autoglm_operator.observe.world import Observed

#: Endpoints are withdrawn while the engine still serves: proxies on other nodes need this long to hear of it.
PRE_STOP_SECONDS: Final = 5
#: Longest answer a drain waits for: AutoGLM's 3,000 output tokens at 60 ms each.
DRAIN_SECONDS: Final = 180
#: After the drain the engine still has to free its memory and exit.
EXIT_SECONDS: Final = 15
#: Weights of the largest single-node models take this long to download and load.
STARTUP_SECONDS: Final = 3600


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run.

    Attributes:
        spec: the spec the plan is for.
        replicas: engine pods wanted.
        served_name: name that clients write in `model`.
        autoscaled: whether an HPA decides the replicas.
        monitored: whether a PodMonitor can be made.
        grace_seconds: from the order to stop until the kubelet kills.
    """

    spec: Spec
    replicas: int
    served_name: str
    autoscaled: bool
    monitored: bool
    grace_seconds: int = PRE_STOP_SECONDS + DRAIN_SECONDS + EXIT_SECONDS


def make_plan(observed: Observed) -> Plan:
    """Return the plan for the observed deployment.

    Raises:
        Terminal: its spec cannot be read.
    """
    deployment = observed.deployment
    if deployment.spec is None:
        raise Terminal(Reason.INVALID_SPEC, deployment.spec_error)
    return Plan(
        spec=deployment.spec,
        replicas=deployment.spec.replicas,
        served_name=deployment.spec.model.served_name or deployment.name,
        autoscaled=deployment.spec.autoscaling is not None,
        monitored="PodMonitor" in observed.kinds,
    )

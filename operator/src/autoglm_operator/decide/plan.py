"""The plan: what the children of a deployment should be, before they are written as objects."""

from dataclasses import dataclass, field

from autoglm_operator.api.v1alpha1 import Spec
from autoglm_operator.decide.reasons import Reason
from autoglm_operator.decide.timing import Timing
from autoglm_operator.errors import Terminal
from autoglm_operator.observe.world import Observed


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run.

    Attributes:
        spec: the spec the plan is for.
        replicas: engine pods wanted.
        served_name: name that clients write in `model`.
        autoscaled: whether an HPA decides the replicas.
        monitored: whether a PodMonitor can be made.
        timing: how long starting and stopping may take.
    """

    spec: Spec
    replicas: int
    served_name: str
    autoscaled: bool
    monitored: bool
    timing: Timing = field(default_factory=Timing)


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

"""The plan: what the children of a deployment should be, before they are written as objects."""

from dataclasses import dataclass

from autoglm_operator.api.v1alpha1 import Spec
from autoglm_operator.decide.decided import Decided, decided_before, shape
from autoglm_operator.decide.engine_image import engine_image, engine_version
from autoglm_operator.decide.reasons import Reason
from autoglm_operator.decide.timing import DRAIN_SECONDS, STARTUP_SECONDS, Timing, learned_drain
from autoglm_operator.errors import Terminal
from autoglm_operator.observe.world import Observed
from autoglm_operator.settings import Images


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run.

    Attributes:
        spec: the spec the plan is for.
        replicas: engine pods wanted.
        served_name: name that clients write in `model`.
        image: that the engine container runs.
        decided: what stays as it is until the spec asks for other pods.
        autoscaled: whether an HPA decides the replicas.
        monitored: whether a PodMonitor can be made.
    """

    spec: Spec
    replicas: int
    served_name: str
    image: str
    decided: Decided
    autoscaled: bool
    monitored: bool

    @property
    def engine_version(self) -> str:
        """Return the version of the engine inside the image."""
        return self.decided.version

    @property
    def timing(self) -> Timing:
        """Return how long starting and stopping may take."""
        return Timing(startup=self.decided.startup, drain=self.decided.drain)


def make_plan(observed: Observed, images: Images) -> Plan:
    """Return the plan for the observed deployment.

    Raises:
        Terminal: its spec cannot be read, or cannot work.
    """
    deployment = observed.deployment
    spec = deployment.spec
    if spec is None:
        raise Terminal(Reason.INVALID_SPEC, deployment.spec_error)
    image = engine_image(spec, images)
    return Plan(
        spec=spec,
        replicas=spec.replicas,
        served_name=spec.model.served_name or deployment.name,
        image=image,
        decided=_decided(observed, spec, image, images),
        autoscaled=spec.autoscaling is not None,
        monitored="PodMonitor" in observed.kinds,
    )


def _decided(observed: Observed, spec: Spec, image: str, images: Images) -> Decided:
    before = decided_before(observed, spec)
    if before is not None:
        return before
    serving = observed.deployment.status.get("serving") or {}
    return Decided(
        shape=shape(spec),
        drain=learned_drain(serving) or DRAIN_SECONDS,
        startup=STARTUP_SECONDS,
        version=engine_version(spec, image) or engine_version(spec, images.engines[spec.engine.type]) or "",
    )

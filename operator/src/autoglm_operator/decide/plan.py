"""The plan: what the children of a deployment should be, before they are written as objects."""

from dataclasses import dataclass, replace
from typing import Final

from autoglm_operator.api.v1alpha1 import Spec
from autoglm_operator.decide.allocated import CLAIM_TEMPLATE_KIND, Allocation, present_of
from autoglm_operator.decide.allocation import allocate
from autoglm_operator.decide.decided import Decided, decided_before, shape
from autoglm_operator.decide.engine_image import engine_image
from autoglm_operator.decide.fit import Fit, refuse
from autoglm_operator.decide.fitted import fit_of, shape_of
from autoglm_operator.decide.parallel import Parallel, check
from autoglm_operator.decide.probe import Probe, kept_probe, probe
from autoglm_operator.decide.reasons import Reason
from autoglm_operator.decide.release import Release, release
from autoglm_operator.decide.scaling.actuation import Actuation, actuation
from autoglm_operator.decide.start.startup import startup_seconds
from autoglm_operator.decide.start.timing import DRAIN_SECONDS, Timing, learned_drain
from autoglm_operator.decide.start.warmstart import Pods, WarmStart, plan_warm_start
from autoglm_operator.decide.surge import Surge, surge
from autoglm_operator.errors import Terminal
from autoglm_operator.observe.pod import Pod
from autoglm_operator.observe.world import ChildRef, Document, Observed, child_ref
from autoglm_operator.settings import Images

_NO_IMAGE_VOLUMES: Final = (
    "spec.model.source.ociImage: the cluster is older than Kubernetes 1.35, whose kubelets mount images as volumes: "
    "upgrade it, or use pvc, huggingFace or url"
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run.

    Attributes:
        spec: the spec the plan is for.
        replicas: engine pods wanted.
        served_name: name that clients write in `model`.
        image: that the engine container runs.
        allocation: how its GPUs reach a pod.
        fit: whether the model fits; `None` if that was not judged.
        parallel: how a replica is laid out.
        pods: those that are.
        claims: templates of GPU claims that are.
        present_rollout: (maxSurge, maxUnavailable) of the workload that is.
        probe: what is known of the engine's version.
        warm: what is made ready before a pod needs it.
        decided: what stays as it is until the spec asks for other pods.
        autoscaled: whether the autoscaler decides how many replicas there should be.
        actuation: who writes them.
        monitored: whether a PodMonitor can be made.
        alerted: whether a PrometheusRule can be made.
    """

    spec: Spec
    replicas: int
    served_name: str
    image: str
    allocation: Allocation
    fit: Fit | None
    parallel: Parallel
    pods: tuple[Pod, ...]
    claims: tuple[Document, ...]
    present_rollout: tuple[int, int] | None
    probe: Probe
    warm: WarmStart
    decided: Decided
    autoscaled: bool
    actuation: Actuation
    monitored: bool
    alerted: bool

    @property
    def running(self) -> int:
        """Return the replicas that may be there now; none that would hold a GPU for nothing."""
        return 0 if self.decided.released or self.warm.pods is Pods.NONE else self.replicas

    @property
    def grouped(self) -> bool:
        """Return whether a replica is a group of pods on several nodes."""
        return self.spec.resources.parallelism.nodes > 1

    def rollout(self, newest: str) -> Surge:
        """Return how pods of other templates make room for those of the template with the hash `newest`."""
        return surge(self.pods, newest, self.replicas, self.present_rollout)

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
        Waiting: the cluster lacks what it needs.
    """
    deployment = observed.deployment
    spec = deployment.spec
    if spec is None:
        raise Terminal(Reason.INVALID_SPEC, deployment.spec_error)
    if spec.model.source.oci_image is not None and observed.cluster.image_volumes is False:
        raise Terminal(Reason.NO_IMAGE_VOLUMES, _NO_IMAGE_VOLUMES)
    image = engine_image(spec, images)
    before = decided_before(observed, spec)
    asked = probe(spec, image, observed, before.version if before else "")
    allocation = allocate(spec, observed.cluster, present_of(observed.workload))
    config = observed.model_config
    fit = fit_of(spec, allocation, config, asked.version)
    parallel = check(spec, shape=shape_of(spec, config), kinds=observed.kinds)
    if before is None and fit is not None:
        # What runs is not stopped by an estimate.
        refuse(fit)
    warm = plan_warm_start(
        spec,
        observed,
        observed.fetch_pods,
        image=image,
        version=asked.version,
        # Not what nodes happen to have now: the compile folder is part of the pod.
        gpu_product=spec.resources.gpu.product,
        checkpoint_bytes=fit.checkpoint_bytes if fit else None,
    )
    return Plan(
        spec=spec,
        replicas=spec.replicas,
        served_name=spec.model.served_name or deployment.name,
        image=image,
        allocation=allocation,
        fit=fit,
        parallel=parallel,
        pods=observed.pods,
        claims=tuple(child for child in observed.children.values() if child["kind"] == CLAIM_TEMPLATE_KIND),
        present_rollout=_present_rollout(observed.workload),
        probe=asked,
        warm=warm,
        decided=_decided(observed, spec, before, asked.version, _startup(spec, fit, warm)),
        autoscaled=spec.autoscaling is not None,
        actuation=actuation(spec, observed, images.scaling),
        monitored="PodMonitor" in observed.kinds,
        alerted="PrometheusRule" in observed.kinds,
    )


def kept(observed: Observed, plan: Plan) -> frozenset[ChildRef]:
    """Return the children to leave as they are: downloads, and a workload whose successor is not ready to be made."""
    workload = observed.workload
    stays = {child_ref(workload)} if workload is not None and plan.warm.pods is Pods.KEEP else set()
    return plan.warm.keep | stays | kept_probe(plan.probe, observed)


def _decided(observed: Observed, spec: Spec, before: Decided | None, version: str, startup: int) -> Decided:
    if before is None:
        serving = observed.deployment.status.get("serving") or {}
        drain = learned_drain(serving) or DRAIN_SECONDS
        return Decided(shape=shape(spec), drain=drain, startup=startup, version=version)
    given_up = release(
        observed,
        Release(Reason(before.released[0]), before.released[1]) if before.released else None,
        startup=before.startup,
    )
    return before if given_up is None else replace(before, released=(given_up.reason.value, given_up.message))


def _startup(spec: Spec, fit: Fit | None, warm: WarmStart) -> int:
    on_volume = spec.model.source.pvc is not None or spec.model.source.oci_image is not None
    return startup_seconds(
        fit.checkpoint_bytes if fit else None,
        download=warm.outcome.rate if warm.outcome else None,
        cached=warm.local or on_volume,
        nodes=spec.resources.parallelism.nodes,
    )


def _present_rollout(workload: Document | None) -> tuple[int, int] | None:
    spec = workload["spec"] if workload else {}
    update = (spec.get("strategy") or {}).get("rollingUpdate") or (spec.get("rolloutStrategy") or {}).get(
        "rollingUpdateConfiguration"
    )
    surge, unavailable = (update or {}).get("maxSurge"), (update or {}).get("maxUnavailable")
    return (surge, unavailable) if isinstance(surge, int) and isinstance(unavailable, int) else None

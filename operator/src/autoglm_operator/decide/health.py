"""How a deployment is: pure judgement of its workload, pods and HPA, each in one sentence with its numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

from autoglm_operator.api import names
from autoglm_operator.decide.plan import Plan
from autoglm_operator.decide.reasons import Reason
from autoglm_operator.observe.world import Document, Observed, Pod

READY = "Ready"
RECONCILING = "Reconciling"
STALLED = "Stalled"
SCALING_ACTIVE = "ScalingActive"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One condition, before it has a generation and a time."""

    type: str
    status: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Health:
    """The whole judgement.

    Attributes:
        wanted: engine pods that the spec asks for.
        replicas: those that exist and are not being removed.
        ready: those that answer requests.
        verdicts: one for each condition type.
    """

    wanted: int
    replicas: int
    ready: int
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True, slots=True)
class _Count:
    """Pods by what they run: the newest template, or an older one that is being replaced."""

    wanted: int
    current: tuple[Pod, ...]
    previous: tuple[Pod, ...]

    @property
    def ready(self) -> int:
        return sum(pod.ready for pod in self.current)

    @property
    def previous_ready(self) -> int:
        return sum(pod.ready for pod in self.previous)


def assess(observed: Observed, plan: Plan) -> Health:
    """Return the judgement of a deployment whose plan could be made."""
    workload = observed.child("Deployment")
    alive = [pod for pod in observed.pods if not pod.terminating]
    count = _count(alive, workload, plan.replicas)
    trouble = _trouble(count, workload)
    verdicts = (
        _ready(count, trouble),
        _reconciling(count),
        _stalled(trouble),
        _scaling_active(plan, observed.child("HorizontalPodAutoscaler")),
    )
    return Health(count.wanted, len(alive), count.ready + count.previous_ready, verdicts)


def refused(observed: Observed, reason: str, message: str) -> Health:
    """Return the judgement when children could not be made as wanted; what runs goes on running."""
    alive = [pod for pod in observed.pods if not pod.terminating]
    ready = sum(pod.ready for pod in alive)
    kept = f"; still answering requests: {_pods(ready)}" if ready else ""
    return Health(
        observed.deployment.spec.replicas if observed.deployment.spec else 0,
        len(alive),
        ready,
        (
            Verdict(READY, "False", reason, message + kept),
            Verdict(RECONCILING, "False", reason, message),
            Verdict(STALLED, "True", reason, message + kept),
            Verdict(SCALING_ACTIVE, "Unknown", reason, message),
        ),
    )


def _count(alive: Sequence[Pod], workload: Document | None, wanted: int) -> _Count:
    """Tell the pods of the newest template from the others, by the hash that template and pods carry."""
    template = workload["spec"]["template"]["metadata"] if workload else {}
    newest = (template.get("annotations") or {}).get(names.ANNOTATION_TEMPLATE)
    current = tuple(pod for pod in alive if pod.template == newest)
    return _Count(wanted, current, tuple(pod for pod in alive if pod.template != newest))


def _condition(obj: Document, kind: str) -> Document:
    conditions: list[Document] = (obj.get("status") or {}).get("conditions") or []
    return next((item for item in conditions if item["type"] == kind), {})


def _pods(number: int) -> str:
    return f"{number} replica" if number == 1 else f"{number} replicas"


def _trouble(count: _Count, workload: Document | None) -> tuple[Reason, str] | None:
    """Return what a person has to look at, the most telling first."""
    for pod in count.current or count.previous:
        if pod.trouble:
            return Reason(pod.trouble[0]), f"pod {pod.name}: {pod.trouble[1]}"
    lost = [pod for pod in count.current if pod.unschedulable is not None]
    if lost:
        return Reason.UNSCHEDULABLE, f"no node takes {_pods(len(lost))}: {lost[0].unschedulable}"
    if workload is None:
        return None
    failure = _condition(workload, "ReplicaFailure")
    if failure.get("status") == "True":
        return Reason.PODS_REJECTED, f"the API server refuses pods: {failure.get('message', '')}"
    if _condition(workload, "Progressing").get("reason") == "ProgressDeadlineExceeded":
        return Reason.PROGRESS_DEADLINE_EXCEEDED, "no replica became ready within the progress deadline"
    return None


def _ready(count: _Count, trouble: tuple[Reason, str] | None) -> Verdict:
    why = f"; {trouble[1]}" if trouble else ""
    if count.wanted == 0:
        return Verdict(READY, "False", Reason.SCALED_TO_ZERO, "0 replicas are wanted: no request is answered")
    if count.previous_ready:
        message = (
            f"{count.ready} of {count.wanted} replicas run the new spec, {count.previous_ready} of the old one answer"
        )
        return Verdict(READY, "False", trouble[0] if trouble else Reason.ROLLING_OUT, message + why)
    if count.ready:
        return Verdict(
            READY, "True", Reason.REPLICAS_READY, f"{count.ready} of {count.wanted} replicas answer requests"
        )
    message = f"0 of {count.wanted} replicas answer requests"
    return Verdict(READY, "False", trouble[0] if trouble else Reason.STARTING, message + why)


def _reconciling(count: _Count) -> Verdict:
    if count.previous:
        message = f"{len(count.previous)} pods of the previous spec are being replaced"
        return Verdict(RECONCILING, "True", Reason.ROLLING_OUT, message)
    if len(count.current) != count.wanted or count.ready < count.wanted:
        message = f"replicas: {count.wanted} wanted, {len(count.current)} existing, {count.ready} answering requests"
        return Verdict(RECONCILING, "True", Reason.SCALING, message)
    return Verdict(RECONCILING, "False", Reason.UP_TO_DATE, "everything is as the spec wants it")


def _stalled(trouble: tuple[Reason, str] | None) -> Verdict:
    if trouble:
        return Verdict(STALLED, "True", *trouble)
    return Verdict(STALLED, "False", Reason.NOTHING_WRONG, "nothing waits for a person")


def _scaling_active(plan: Plan, hpa: Document | None) -> Verdict:
    if not plan.autoscaled:
        message = f"spec.autoscaling is not set: replicas stay at {plan.replicas}"
        return Verdict(SCALING_ACTIVE, "False", Reason.AUTOSCALING_OFF, message)
    condition = _condition(hpa, SCALING_ACTIVE) if hpa else {}
    if not condition:
        message = "the HPA has not been evaluated yet; the controller-manager does so every 15 s"
        return Verdict(SCALING_ACTIVE, "Unknown", Reason.WAITING_FOR_HPA, message)
    reason = condition.get("reason") or Reason.WAITING_FOR_HPA
    return Verdict(SCALING_ACTIVE, condition["status"], reason, condition.get("message", ""))

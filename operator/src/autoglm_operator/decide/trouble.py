"""What keeps replicas from answering: the most telling of what pods, workload and download say."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from autoglm_operator.decide.failures import Failure
from autoglm_operator.decide.plan import Plan
from autoglm_operator.decide.platform import rejection_cure
from autoglm_operator.decide.reasons import Reason
from autoglm_operator.decide.release import failures
from autoglm_operator.decide.signatures import SIGNATURES, Outlook
from autoglm_operator.decide.start.warmstart import Pods
from autoglm_operator.observe.pod import Pod
from autoglm_operator.observe.world import Document, Observed

#: Reasons of engines that ran and exited.
_OF_CRASHES: Final = frozenset(signature.reason for signature in SIGNATURES) | {
    Reason.ENGINE_CRASHING,
    Reason.HOST_OUT_OF_MEMORY,
    Reason.STARTUP_DEADLINE_EXCEEDED,
    Reason.LIVENESS_FAILED,
}
_URGENCY: Final = (Outlook.PERMANENT, Outlook.OUTSIDE, Outlook.PASSING)


@dataclass(frozen=True, slots=True)
class Trouble:
    """What keeps replicas from answering.

    Attributes:
        waits_for_a_person: whether it will not pass by itself.
        wrong: whether it is a failure, and not only work that goes on.
    """

    reason: Reason
    message: str
    waits_for_a_person: bool = True
    wrong: bool = True


def condition(obj: Document, kind: str) -> Document:
    """Return the condition of an object; empty if it has none of that type."""
    conditions: list[Document] = (obj.get("status") or {}).get("conditions") or []
    return next((item for item in conditions if item["type"] == kind), {})


def replicas_in_words(number: int) -> str:
    """Return a number of replicas in words."""
    return f"{number} replica" if number == 1 else f"{number} replicas"


def released(plan: Plan) -> Trouble | None:
    """Return why the GPUs were given up; `None` if they were not."""
    if plan.decided.released is None:
        return None
    reason, message = plan.decided.released
    return Trouble(Reason(reason), f"{message}; the GPUs are released until the spec changes")


def waiting(plan: Plan) -> Trouble | None:
    """Return what pods wait for before they are made: the engine's version, the weights; `None` for nothing."""
    if plan.probe.pending:
        message = f"Job {plan.probe.job} asks {plan.image} for the version of its engine"
        return Trouble(Reason.PROBING_IMAGE, message, waits_for_a_person=False, wrong=False)
    if plan.warm.pods is Pods.RUN or plan.warm.reason is None:
        return None
    wrong = plan.warm.reason is not Reason.DOWNLOADING_WEIGHTS
    return Trouble(plan.warm.reason, plan.warm.message, plan.warm.hopeless, wrong)


def trouble_of_pods(observed: Observed, plan: Plan, current: Sequence[Pod], previous: Sequence[Pod]) -> Trouble | None:
    """Return what is wrong with the pods or with what makes them, the most telling first; `None` if nothing is.

    Args:
        observed: with the logs that were read.
        plan: what should be.
        current: leaders of the newest template.
        previous: leaders of older ones.
    """
    found = failures(observed, plan.timing.startup)
    by_pod = {pod.name: pod for pod in observed.pods}
    # Trouble of old pods ends with them, once there are new ones.
    template = current[0].template if current else None
    found = tuple(item for item in found if template is None or by_pod[item.pod].template == template)
    running = [item for item in found if item.reason is not Reason.UNSCHEDULABLE and not by_pod[item.pod].ended]
    if running:
        return _told(min(running, key=lambda item: _URGENCY.index(item.outlook)))
    lost = [item for item in found if item.reason is Reason.UNSCHEDULABLE]
    if lost:
        replicas = len({pod.name for pod in (*current, *previous)} & {item.pod for item in lost}) or len(lost)
        return Trouble(Reason.UNSCHEDULABLE, f"no node takes {replicas_in_words(replicas)}: {lost[0].text}")
    if found and sum(pod.ready for pod in current) < plan.replicas:
        return _told(found[0])
    return _trouble_of_workload(observed.workload) or _trouble_before(observed, plan, current)


def _trouble_before(observed: Observed, plan: Plan, current: Sequence[Pod]) -> Trouble | None:
    """Return the crash that was told last of a group that has been made anew since and does not answer yet.

    A group that crashes is removed with all that shows why; without this the trouble would come and go with it.
    """
    old = observed.deployment.conditions.get("Stalled")
    if not plan.grouped or old is None or old.observed_generation != observed.deployment.generation:
        return None
    if old.reason not in _OF_CRASHES or any(pod.ready for pod in current):
        return None
    return Trouble(Reason(old.reason), old.message, old.status == "True")


def _told(failure: Failure) -> Trouble:
    passing = failure.outlook is not Outlook.OUTSIDE
    message = failure.sentence + (f"; {failure.outlook.value}" if passing else "")
    return Trouble(failure.reason, message, failure.outlook is not Outlook.PASSING)


def _trouble_of_workload(workload: Document | None) -> Trouble | None:
    if workload is None:
        return None
    failure = condition(workload, "ReplicaFailure")
    if failure.get("status") == "True":
        message = failure.get("message", "")
        cure = rejection_cure(message)
        return Trouble(Reason.PODS_REJECTED, f"the API server refuses pods: {message}" + (f"; {cure}" if cure else ""))
    if condition(workload, "Progressing").get("reason") == "ProgressDeadlineExceeded":
        return Trouble(Reason.PROGRESS_DEADLINE_EXCEEDED, "no replica became ready within the progress deadline")
    return None
